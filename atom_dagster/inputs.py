"""What the marts are computed from, as digests: what is loaded, the code, the seeds, the vars.

Belongs here: telling whether standing marts, or a published build, are those of the present inputs.
Does not belong here: building (``assets.dbt``) or publishing (``assets.publish``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import duckdb

from atom_dagster import partitions
from atom_dagster.settings import DBT_PROJECT, Settings
from atom_dagster.sources.tables import TABLES

DBT_TARGET = DBT_PROJECT / "target"
_DBT_SOURCES = ("*.sql", "*.yml", "*.csv", "*.md")


LOADED_BY = {
    "hf_models": "hub",
    "hf_derivatives": "hub",
    "hf_probes": "hub",
    "openrouter_tokens": "openrouter",
    "openrouter_models": "openrouter_models",
    "tracked_models": "registry",
    "model_parameters": "registry",
    "organization_regions": "registry",
    "release_date_corrections": "registry",
}
"""The source that loads a raw table, as named in ``raw.loads``; every source writes the others."""


@dataclass(frozen=True)
class BuiltFrom:
    """What the standing marts were built from, all of them and with every dbt test passed."""

    digest: str
    vars: str


@dataclass(frozen=True)
class Origin:
    """What one table of the dbt project was built from."""

    table: str
    """Schema and name."""
    raw_tables: tuple[str, ...]
    """The raw tables its rows are computed from, directly or not."""
    digest: str
    """Of what they held, and of the code and seeds."""
    vars: str


def project_digest() -> str:
    """A digest of every file of the dbt project: models, seeds, macros, tests, configuration."""
    digest = hashlib.sha256()
    for pattern in _DBT_SOURCES:
        for file in sorted(DBT_PROJECT.rglob(pattern)):
            if DBT_TARGET not in file.parents:
                digest.update(str(file.relative_to(DBT_PROJECT)).encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()


def code_digest() -> str:
    """A digest of the package's code and of the dbt project."""
    package = Path(__file__).parent
    digest = hashlib.sha256(project_digest().encode())
    # The report page's template, style and script lie beside the modules.
    for file in sorted(path for kind in ("*.py", "*.j2", "*.css", "*.js") for path in package.rglob(kind)):
        digest.update(str(file.relative_to(package)).encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def build_vars(settings: Settings) -> str:
    """The dbt vars that come from outside the project, as JSON: the day, and of what instant, if any."""
    variables = {
        "today": settings.today().isoformat(),
        "first_month": partitions.FIRST_MONTH.isoformat(),
    }
    if settings.as_of:
        variables["as_of"] = settings.as_of.replace(tzinfo=None).isoformat(" ", "microseconds")
    return json.dumps(variables, sort_keys=True)


def as_of(variables: str) -> str | None:
    """The UTC instant these vars, as JSON, hold a build to; ISO 8601, None for the present."""
    instant = json.loads(variables).get("as_of")
    return f"{instant.replace(' ', 'T')}Z" if instant else None


def digest(connection: duckdb.DuckDBPyConnection) -> str:
    """A digest of all that is loaded and of the code and seeds; the vars stand beside it."""
    return _Present(connection).digest(None)


def origins(
    connection: duckdb.DuckDBPyConnection,
    parents: Mapping[str, Collection[str]],
    built: Collection[str],
    variables: str,
    views: Collection[str] = (),
) -> list[Origin]:
    """What these tables will have been built from, once they are built from what is loaded now.

    A table built on one that is not built with it and not up to date is left out: a part of it is older.

    Args:
        connection: To the warehouse.
        parents: The tables that each table of the dbt project reads; raw ones are named ``raw.…``.
        built: The tables to be built together.
        variables: Their dbt vars, as JSON.
        views: The tables that are views: they hold no rows, so no load makes them old.
    """
    present, standing = _Present(connection), {origin.table: origin for origin in _standing(connection)}

    @cache
    def raw_tables(table: str) -> tuple[str, ...]:
        found: set[str] = set()
        for parent in parents[table]:
            schema, _, name = parent.partition(".")
            found.update([name] if schema == "raw" else raw_tables(parent))
        return tuple(sorted(found))

    @cache
    def origin_of(table: str) -> Origin:
        held = () if table in views else raw_tables(table)
        return Origin(table, held, present.digest(held), variables)

    @cache
    def is_current(table: str) -> bool:
        if table in built:
            return all(is_current(parent) for parent in parents[table] if parent in parents)
        return standing.get(table) == origin_of(table)

    return [origin_of(table) for table in sorted(built) if is_current(table)]


def of_marts(connection: duckdb.DuckDBPyConnection) -> BuiltFrom | None:
    """What the standing marts were built from; None unless all of them are of what is loaded now."""
    marts = connection.execute(
        "select 'marts.' || table_name from duckdb_tables() where schema_name = 'marts'"
    ).fetchall()
    standing = {origin.table: origin for origin in _standing(connection)}
    found = [standing.get(name) for (name,) in marts]
    present = _Present(connection)
    variables = {origin.vars for origin in found if origin}
    if len(variables) != 1 or not all(o and o.digest == present.digest(o.raw_tables) for o in found):
        return None
    return BuiltFrom(present.digest(None), variables.pop())


@dataclass(frozen=True)
class Rebuild:
    """What has to be computed again in the incremental tables: all of it, or from a month on."""

    is_full: bool
    changed_from: date | None = None
    """The first month whose loads are not those the tables were built from; None: no month's are."""


def rebuild(connection: duckdb.DuckDBPyConnection, incremental: Collection[str], variables: str) -> Rebuild:
    """What these tables lack of what is loaded now.

    All of it is computed again when the code or seeds differ from those the tables were built with, when they
    were held to another instant (or to none), or when it is not known what they were built from.

    Args:
        connection: To the warehouse.
        incremental: The incremental tables to be built.
        variables: Their dbt vars, as JSON; the day alone changes no row of theirs.
    """
    standing = {origin.table: origin for origin in _standing(connection)}
    before, now = _Present(connection, "built_loads"), _Present(connection)
    for table in incremental:
        origin = standing.get(table)
        if (
            origin is None
            or _timeless(origin.vars) != _timeless(variables)
            or origin.digest != before.digest(origin.raw_tables)
        ):
            return Rebuild(is_full=True)
    scopes = {
        LOADED_BY[name]
        for table in incremental
        for name in standing[table].raw_tables
        if name in LOADED_BY and TABLES[name].dated_by
    }
    months = [month for scope, month, *_ in before.differing(now) if scope in scopes]
    return Rebuild(is_full=False, changed_from=min(months, default=None))


def _timeless(variables: str) -> dict[str, str]:
    return {name: value for name, value in json.loads(variables).items() if name != "today"}


def announce(connection: duckdb.DuckDBPyConnection, span: Rebuild) -> None:
    """Tell dbt's incremental models what to compute again (macro ``changed_from``).

    The loads are kept for ``note``: what is loaded while the build runs is a change for the next one.
    """
    connection.execute(
        "create or replace table raw.rebuild as select ?::date as changed_from", [span.changed_from]
    )
    connection.execute(
        "comment on table raw.rebuild is"
        " 'The first month the incremental models compute again; NULL: none has changed.'"
    )
    connection.execute("create or replace table raw.building_loads as from raw.loads")


def forget(connection: duckdb.DuckDBPyConnection, tables: Iterable[str]) -> None:
    """Forget what these tables were built from, before they are touched."""
    connection.execute(
        "create table if not exists raw.built_from (table_name varchar primary key,"
        " raw_tables varchar[] not null, digest varchar not null, vars varchar not null)"
    )
    connection.execute(
        "comment on table raw.built_from is"
        " 'What each table of the dbt project was built from; absent while it is not up to date.'"
    )
    connection.execute(
        "delete from raw.built_from where list_contains(?::varchar[], table_name)", [[*tables]]
    )


def note(connection: duckdb.DuckDBPyConnection, built: Iterable[Origin]) -> None:
    """Note what these tables were built from, which is what was loaded when it was announced."""
    connection.execute("create or replace table raw.built_loads as from raw.building_loads")
    # dbt started by hand knows of no build that was announced: it computes everything again.
    connection.execute("drop table raw.building_loads; drop table if exists raw.rebuild")
    for origin in built:
        connection.execute(
            "insert into raw.built_from values (?, ?, ?, ?)",
            [origin.table, list(origin.raw_tables), origin.digest, origin.vars],
        )


def _standing(connection: duckdb.DuckDBPyConnection) -> list[Origin]:
    try:
        rows = connection.execute(
            "select table_name, raw_tables, digest, vars from raw.built_from"
        ).fetchall()
    except duckdb.CatalogException:
        return []
    return [
        Origin(table, tuple(raw_tables), digest, variables) for table, raw_tables, digest, variables in rows
    ]


class _Present:
    """What is loaded now, or was when the standing tables were built (``built_loads``)."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, table: str = "loads") -> None:
        try:
            self._loads = connection.execute(f"select * from raw.{table} order by all").fetchall()
        except duckdb.CatalogException:
            self._loads = []
        self._code = code_digest()

    def digest(self, raw_tables: Iterable[str] | None) -> str:
        """A digest of what these raw tables hold (None: all of them), and of the code and seeds."""
        scopes = {LOADED_BY.get(table) for table in raw_tables or []}
        takes_all = raw_tables is None or None in scopes
        loads = [load for load in self._loads if takes_all or load[0] in scopes]
        return hashlib.sha256((self._code + repr(loads)).encode()).hexdigest()

    def differing(self, other: _Present) -> list[tuple[Any, ...]]:
        """The loads of one side that the other does not have."""
        mine, theirs = ({repr(load): load for load in side._loads} for side in (self, other))
        return [*(mine[key] for key in mine.keys() - theirs), *(theirs[key] for key in theirs.keys() - mine)]
