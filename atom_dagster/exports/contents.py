"""What a build holds: its tables with columns, keys and comments, and the sources behind them.

Belongs here: reading that from the build's DuckDB file, and what is known of each source. Does not
belong here: how it is written down (``datapackage``, ``card``).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import duckdb

from atom_dagster.quoting import quoted
from atom_dagster.worlds import OPENROUTER, REVISIONS, SERIES, SNAPSHOTS

# Without a primary key in the database: an index over every reading costs more than the table.
KEYS: Mapping[str, tuple[str, ...]] = {"observations": ("source", "model_id", "observed_on")}

NUMERIC = {"BIGINT", "INTEGER", "DOUBLE"}
_UNITS = (
    (
        r"^(share|coverage|growth|ratio|hhi|ram|(hit|base)_rate)(_|$)|_(share|ram|difference|error)$|^tolerance$",
        "1",
    ),
    (r"downloads|^counter_correction$", "downloads"),
    (r"^tokens", "tokens"),
    (r"(^|_)days?(_|$)", "days"),
    (r"_params_b$", "10^9 parameters"),
    (r"^likes$", "likes"),
    (r"^observations$", "readings"),
    (r"^(models|members|in_top10)(_|$)|_models$|^(new_derivatives|pool_size|n)$", "models"),
)
"""A number's unit, which its name tells: the first pattern that matches. 1 is a ratio."""


@dataclass(frozen=True)
class Column:
    """A column as the database has it."""

    name: str
    type: str
    """DuckDB's name of it."""
    description: str
    is_required: bool

    @property
    def is_nested(self) -> bool:
        """Whether its values are lists, which CSV holds as JSON text."""
        return self.type.endswith("[]")

    @property
    def unit(self) -> str | None:
        """The unit of a number that has one; a rank, say, has none."""
        if self.type not in NUMERIC:
            return None
        return next((unit for pattern, unit in _UNITS if re.search(pattern, self.name)), None)


@dataclass(frozen=True)
class Table:
    """A mart as the database has it."""

    name: str
    description: str
    rows: int
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    """The columns that identify a row."""


@dataclass(frozen=True)
class Licence:
    """Terms, with their SPDX name where they have one."""

    name: str
    title: str
    path: str | None = None


APACHE = Licence("Apache-2.0", "Apache License 2.0", "https://www.apache.org/licenses/LICENSE-2.0")
CC_BY = Licence(
    "CC-BY-4.0", "Creative Commons Attribution 4.0", "https://creativecommons.org/licenses/by/4.0/"
)
ODBL = Licence("ODbL-1.0", "Open Database License 1.0", "https://opendatacommons.org/licenses/odbl/1-0/")
HUB_TERMS = Licence(
    "other-hub-terms", "Hugging Face's terms of service", "https://huggingface.co/terms-of-service"
)
UNSTATED = Licence("other-unstated", "No licence is stated: ask before you pass its rows on")


@dataclass(frozen=True)
class Origin:
    """A source as it is to be named."""

    title: str
    path: str | None
    """Its address; None: not known."""
    licence: Licence

    @property
    def link(self) -> str:
        """Its title in Markdown, with its address where that is known."""
        return f"[{self.title}]({self.path})" if self.path else self.title


_HUB = "https://huggingface.co"
ORIGINS: Mapping[str, Origin] = {
    "hub_live": Origin("Hugging Face Hub API", f"{_HUB}/models", HUB_TERMS),
    "hub_archive": Origin("Hub weekly snapshots", f"{_HUB}/datasets/{SNAPSHOTS}", ODBL),
    "hub_revisions": Origin("hub-stats", f"{_HUB}/datasets/{REVISIONS}", APACHE),
    "hub_series": Origin("Open model evolution data", f"{_HUB}/datasets/{SERIES}", UNSTATED),
    "openrouter_rankings": Origin("OpenRouter", f"{OPENROUTER}/rankings", CC_BY),
    "openrouter_export": Origin("OpenRouter", f"{OPENROUTER}/rankings", CC_BY),
    "openrouter_models": Origin("OpenRouter model catalogue", f"{OPENROUTER}/models", UNSTATED),
    "registry": Origin("ATOM's tracked models", "https://github.com/Interconnects-AI/tracked-models", APACHE),
}
"""What is known of the sources that ``meta.pulls`` names."""
RANKINGS = frozenset({"openrouter_rankings", "openrouter_export"})
"""The sources that tokens come from."""
_TOKENS = "inference_by_region_monthly"
"""The table that tells how many days of a month's tokens there are."""


@dataclass(frozen=True)
class Source:
    """A source of this build, and how new what it says is."""

    name: str
    """As ``meta.pulls`` has it."""
    origin: Origin
    as_of: datetime
    """UTC instant that the newest answer stands for."""
    last_day: date | None
    """The newest day that its rows are of, which may lie long before; None where they are of no day."""
    pulls: int


@dataclass(frozen=True)
class Tokens:
    """The newest month of tokens: how many of its days are held, and up to which day they were asked for."""

    month: date
    days: int
    asked_until: date

    @property
    def last_day(self) -> date:
        """The last day held for sure: a day that was asked for may not have been served."""
        return min(self.asked_until, self.month + timedelta(days=self.days - 1))

    @property
    def is_whole(self) -> bool:
        """Whether every day up to that was served."""
        return self.last_day == self.asked_until


@dataclass(frozen=True)
class Contents:
    """A build: its row of ``meta.build``, its tables and sources by name, its newest tokens if it has any."""

    build: Mapping[str, Any]
    tables: tuple[Table, ...]
    sources: tuple[Source, ...]
    tokens: Tokens | None

    @property
    def is_synthetic(self) -> bool:
        """Whether every number is simulated."""
        return bool(self.build["is_synthetic"])

    @property
    def title(self) -> str:
        """The data's name, with its world."""
        kind = ": synthetic" if self.is_synthetic else ""
        return f"ATOM on Dagster, {self.build['world']} world{kind}"

    @property
    def caveat(self) -> str | None:
        """What a reader must know before any number of a world that is a selection; None of the others."""
        if not str(self.build["world"]).startswith("recorded"):
            return None
        return (
            "Computed from answers that somebody recorded. They hold what was recorded and no more: read"
            " `coverage` before you compare."
        )

    @property
    def licences(self) -> tuple[Licence, ...]:
        """The terms that hold for these rows, each once. What is simulated is this project's own."""
        if self.is_synthetic:
            return (APACHE,)
        return tuple({source.origin.licence.name: source.origin.licence for source in self.sources}.values())

    @property
    def attribution(self) -> str | None:
        """How OpenRouter wants its tokens to be cited; None without any of them."""
        as_of = max((source.as_of for source in self.sources if source.name in RANKINGS), default=None)
        if as_of is None or self.is_synthetic:
            return None
        return f"Source: OpenRouter (openrouter.ai/rankings), as of {as_of.isoformat(timespec='seconds')}Z."


def read(connection: duckdb.DuckDBPyConnection) -> Contents:
    """What the published database in this connection holds."""
    build = connection.execute("from meta.build")
    names = [column[0] for column in build.description or []]
    row = build.fetchone()
    assert row is not None  # noqa: S101 - every build has its row
    tables = _tables(connection)
    held = {table.name for table in tables}
    tokens = _newest_tokens(connection) if _TOKENS in held else None
    sources = _sources(connection, held, tokens)
    return Contents(dict(zip(names, row, strict=True)), tables, sources, tokens)


def _tables(connection: duckdb.DuckDBPyConnection) -> tuple[Table, ...]:
    columns: dict[str, list[Column]] = {}
    for table, *column, is_nullable in connection.execute(
        "select table_name, column_name, data_type, comment, is_nullable from duckdb_columns()"
        " where schema_name = 'marts' order by table_name, column_index"
    ).fetchall():
        name, kind, comment = column
        columns.setdefault(table, []).append(Column(name, kind, one_line(comment), not is_nullable))
    keys = dict(
        connection.execute(
            "select table_name, constraint_column_names from duckdb_constraints()"
            " where schema_name = 'marts' and constraint_type = 'PRIMARY KEY'"
        ).fetchall()
    )
    tables = connection.execute(
        "select table_name, comment from duckdb_tables() where schema_name = 'marts' order by 1"
    ).fetchall()
    return tuple(
        Table(
            name,
            one_line(comment),
            _count(connection, name),
            tuple(columns[name]),
            tuple(keys.get(name) or KEYS.get(name, ())),
        )
        for name, comment in tables
    )


def _count(connection: duckdb.DuckDBPyConnection, name: str) -> int:
    [(rows,)] = connection.execute(f"select count(*) from marts.{quoted(name)}").fetchall()
    return int(rows)


def _sources(
    connection: duckdb.DuckDBPyConnection, tables: Collection[str], tokens: Tokens | None
) -> tuple[Source, ...]:
    found = connection.execute(
        "select source, max(coalesce(as_of, fetched_at)), count(*) from meta.pulls group by 1 order by 1"
    ).fetchall()
    days = _last_days(connection, tables, tokens)
    return tuple(Source(name, _origin(name), as_of, days.get(name), pulls) for name, as_of, pulls in found)


def _last_days(
    connection: duckdb.DuckDBPyConnection, tables: Collection[str], tokens: Tokens | None
) -> dict[str, date]:
    """The newest day of each source whose rows have one, by its name."""
    days: dict[str, date] = {}
    if "observations" in tables:
        days |= connection.execute(
            "select source, max(observed_on) from marts.observations group by source"
        ).fetchall()
    if tokens is not None:
        asked = _tokens_asked(connection)
        days |= {source: min(until, tokens.last_day) for source, until in asked.items()}
    return days


def _newest_tokens(connection: duckdb.DuckDBPyConnection) -> Tokens | None:
    found = connection.execute(
        f"select month, max(days_present), last_day(month) from marts.{_TOKENS}"
        " group by month order by month desc limit 1"
    ).fetchone()
    if found is None:
        return None
    month, days, end = found
    return Tokens(month, int(days), min(end, max(_tokens_asked(connection).values(), default=end)))


def _tokens_asked(connection: duckdb.DuckDBPyConnection) -> dict[str, date]:
    """The last day that each source of tokens was asked for: the end of a pull's scope."""
    return dict(
        connection.execute(
            "select source, max(cast(split_part(scope, '_', 2) as date)) from meta.pulls"
            " where list_contains(?, source) group by source",
            [sorted(RANKINGS)],
        ).fetchall()
    )


def _origin(name: str) -> Origin:
    """What is known of a source; of one that nobody has described, its name, and no licence."""
    return ORIGINS.get(name) or Origin(name, None, UNSTATED)


def one_line(text: str | None) -> str:
    """Text without the line breaks a YAML file gave it."""
    return " ".join((text or "").split())
