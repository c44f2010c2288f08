"""The next quarter's RAM baseline, worked out before its row stands in the seed.

Belongs here: which row the next quarter needs, and what it would change. That is computed by the dbt
project's own models, in a scratch warehouse whose seed holds the row; the seed itself is never edited. Does
not belong here: the rules of a baseline (``dbt_project``), or how a proposal is shown
(``commands.baselines``).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from atom_dagster import inputs
from atom_dagster.assets.dbt import ensure_manifest
from atom_dagster.quoting import literal
from atom_dagster.settings import DBT_PROJECT, Settings
from atom_dagster.warehouse import Warehouse, WriterLock

SEED = DBT_PROJECT / "seeds" / "ram_baselines_defined.csv"
RULES = ("nth", "median_of_top")

SEED_TYPES = {
    "baseline": "varchar",
    "rule": "varchar",
    "snapshot_on": "date",
    "n": "integer",
    "is_frozen": "boolean",
}
_ORDINALS = {5: "fifth", 10: "tenth", 20: "twentieth"}
_SCORED_BY = {"int_readings": "canonical_id", "int_curve_points": "model_id"}
"""Of these tables only the rows of models that RAM scores are copied; most models of the Hub are none."""


class ProposalError(ValueError):
    """No row can be proposed; the message is one sentence that says why and what to do."""


@dataclass(frozen=True, order=True)
class Quarter:
    """Three months of a year."""

    year: int
    number: int
    """1 to 4."""

    @classmethod
    def parse(cls, text: str) -> Quarter:
        """The quarter written like 2026-Q3.

        Raises:
            ProposalError: it is written otherwise.
        """
        found = re.fullmatch(r"(\d{4})-?[Qq]([1-4])", text)
        if not found:
            raise ProposalError(f"{text!r} is not a quarter; write it like 2026-Q3.")
        return cls(int(found[1]), int(found[2]))

    @classmethod
    def of(cls, day: date) -> Quarter:
        """The quarter that holds a day."""
        return cls(day.year, (day.month + 2) // 3)

    def __str__(self) -> str:
        return f"{self.year}-Q{self.number}"

    @property
    def first(self) -> date:
        """Its first day."""
        return date(self.year, 3 * self.number - 2, 1)

    @property
    def next(self) -> Quarter:
        """The one after it."""
        return Quarter(self.year + self.number // 4, self.number % 4 + 1)


@dataclass(frozen=True)
class Definition:
    """A row of the seed."""

    baseline: str
    rule: str
    snapshot_on: date | None
    n: int
    is_frozen: bool

    def as_csv(self) -> str:
        """The row as it stands in the seed's file."""
        return f"{self.baseline},{self.rule},{self.snapshot_on or ''},{self.n},{str(self.is_frozen).lower()}"


@dataclass(frozen=True)
class Rows:
    """What a query returned."""

    names: list[str]
    rows: list[tuple[Any, ...]]

    def as_dicts(self) -> list[dict[str, Any]]:
        """Each row by the names of its columns."""
        return [dict(zip(self.names, row, strict=True)) for row in self.rows]


@dataclass(frozen=True)
class Proposal:
    """A row for the seed, and what the marts would hold with it."""

    row: Definition
    quarter: Quarter
    is_over: bool
    """Whether the quarter has ended; before that a later reading may still be its last."""
    compared_with: Definition | None
    """The newest frozen baseline of the same rule and n, else of any; None when the seed has none."""
    as_of: str | None
    """The UTC instant the marts are held to; None for the present."""
    baselines: Rows
    """One row for each size and day: downloads for a score of 1 under both, and members that changed."""
    scores: Rows
    """One row for each model and day whose score differs, those that cross 1 first."""


def propose(
    settings: Settings,
    *,
    quarter: Quarter | None = None,
    rule: str = "nth",
    n: int = 10,
    on_wait: Callable[[str], None] | None = None,
) -> Proposal:
    """The seed's row for a quarter, and the baselines and scores it would give in this world.

    Args:
        settings: Of the world.
        quarter: None for the one after the newest frozen baseline of this rule and n.
        rule: One of ``RULES``.
        n: Number of models the rule looks at.
        on_wait: Called with whoever holds the warehouse, when there is somebody to wait for.

    Raises:
        ProposalError: the quarter has no reading, its baseline is defined, or the marts are not up to date.
        RuntimeError: dbt failed; the message holds its last lines.
    """
    standing = seed_rows()
    scratch = settings.home / "proposal"
    warehouse = Warehouse(settings.home / "warehouse.duckdb")
    if not warehouse.path.exists():
        raise ProposalError(f"Nothing has been measured under {settings.home} yet; run `atom run` first.")
    with _cleared(scratch, on_wait):
        with warehouse.reading("atom baselines", on_wait=on_wait) as connection:
            built_from = inputs.of_marts(connection)
            if built_from is None:
                raise ProposalError(
                    "The marts are not those of what is loaded and of this code; run `atom run` first."
                )
            today = date.fromisoformat(json.loads(built_from.vars)["today"])
            compared_with = newest_frozen(standing, rule, n, today)
            quarter = quarter or following(compared_with, today)
            row = _row(connection, standing, quarter, rule, n, today)
            models = _copy_inputs(connection, scratch)
        _build(scratch, [*standing, row], models, built_from.vars)
        with duckdb.connect(str(scratch / "warehouse.duckdb"), read_only=True) as built:
            names = {"proposed": row.baseline, "present": compared_with and compared_with.baseline}
            return Proposal(
                row,
                quarter,
                is_over=today >= quarter.next.first,
                compared_with=compared_with,
                as_of=inputs.as_of(built_from.vars),
                baselines=_query(built, _BASELINES, names),
                scores=_query(built, _SCORES, names),
            )


def name_of(rule: str, n: int, quarter: Quarter) -> str:
    """What the baseline of a quarter is called."""
    kind = _ORDINALS.get(n, f"nth{n}") if rule == "nth" else f"median_top{n}"
    return f"{kind}_{quarter.year}_q{quarter.number}"


def seed_rows() -> list[Definition]:
    """The rows of the seed's file, whether built or not."""
    with duckdb.connect() as connection:
        rows = connection.execute(
            f"select baseline, rule, snapshot_on, n, is_frozen from read_csv(?, types = {SEED_TYPES})",
            [str(SEED)],
        ).fetchall()
    return [Definition(*row) for row in rows]


def newest_frozen(rows: list[Definition], rule: str, n: int, today: date) -> Definition | None:
    """The newest frozen baseline of this rule and n, else of any; None without one that has come."""
    frozen = [one for one in rows if one.is_frozen and one.snapshot_on and one.snapshot_on <= today]
    return max(
        frozen, key=lambda one: ((one.rule, one.n) == (rule, n), one.snapshot_on, one.baseline), default=None
    )


def following(newest: Definition | None, today: date) -> Quarter:
    """The quarter after the newest baseline's; without one, the one before the present."""
    if newest and newest.snapshot_on:
        return Quarter.of(newest.snapshot_on).next
    present = Quarter.of(today)
    return Quarter(present.year - (present.number == 1), (present.number + 2) % 4 + 1)


def _row(
    connection: duckdb.DuckDBPyConnection,
    standing: list[Definition],
    quarter: Quarter,
    rule: str,
    n: int,
    today: date,
) -> Definition:
    if quarter.first > today:
        raise ProposalError(f"{quarter} has not begun; propose its baseline when it is over.")
    baseline = name_of(rule, n, quarter)
    if any(one.baseline == baseline for one in standing):
        raise ProposalError(
            f"{SEED.name} has {baseline} already, and a published row is never edited; name another quarter."
        )
    found = connection.execute(
        "select max(observed_on) from intermediate.int_readings"
        " where is_used and observed_on >= ? and observed_on < ?"
        " and canonical_id in (select component_id from intermediate.int_ram_components)",
        [quarter.first, quarter.next.first],
    ).fetchone()
    if not found or found[0] is None:
        last = date(quarter.year, 3 * quarter.number, 1)
        raise ProposalError(
            f"No reading of {quarter} is held; `atom backfill --from {quarter.first:%Y-%m} --to {last:%Y-%m}`"
            " asks the archives for it."
        )
    return Definition(baseline, rule, found[0], n, is_frozen=True)


@contextmanager
def _cleared(scratch: Path, on_wait: Callable[[str], None] | None) -> Iterator[None]:
    """An empty folder that one proposal at a time has for itself."""
    with WriterLock(scratch).held("another proposal", on_wait=on_wait):
        # A killed process leaves its own.
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        try:
            yield
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _copy_inputs(connection: duckdb.DuckDBPyConnection, scratch: Path) -> list[str]:
    """Copy what RAM's models read into Parquet files named schema.table; return the models to be built."""
    manifest = json.loads(ensure_manifest().read_text())
    nodes, parents, children = manifest["nodes"], manifest["parent_map"], manifest["child_map"]
    seed = "seed.atom.ram_baselines_defined"
    models = _reached(seed, children) & _reached("model.atom.ram_scores", parents) | {"model.atom.ram_scores"}
    models = {name for name in models if name.startswith("model.")}
    for name in sorted({parent for model in models for parent in parents[model]} - models - {seed}):
        schema, table = nodes[name]["schema"], nodes[name]["alias"]
        scored = _SCORED_BY.get(table)
        only = (
            f" where {scored} in (select component_id from intermediate.int_ram_components)" if scored else ""
        )
        file = literal(scratch / f"{schema}.{table}.parquet")
        connection.execute(f"copy (select * from {schema}.{table}{only}) to {file}")
    return sorted(nodes[name]["name"] for name in models)


def _reached(start: str, edges: dict[str, list[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = set(edges.get(waiting.pop(), [])) - found
        found |= new
        waiting.extend(new)
    return found


def _build(scratch: Path, rows: list[Definition], models: list[str], variables: str) -> None:
    """Build RAM's models in a warehouse of their own, as if these rows stood in the seed."""
    seed = scratch / "seed.csv"
    seed.write_text("\n".join([",".join(SEED_TYPES), *(one.as_csv() for one in rows)]) + "\n")
    with duckdb.connect(str(scratch / "warehouse.duckdb")) as connection:
        for file in sorted(scratch.glob("*.parquet")):
            schema, table = file.stem.split(".")
            connection.execute(f"create schema if not exists {schema}")
            connection.execute(f"create view {schema}.{table} as from {literal(file)}")
        connection.execute("create schema if not exists seeds")
        connection.execute(
            "create table seeds.ram_baselines_defined as"
            f" from read_csv({literal(seed)}, types = {SEED_TYPES})"
        )
    target = scratch / "target"
    target.mkdir()
    parsed = inputs.DBT_TARGET / "partial_parse.msgpack"
    if parsed.exists():
        # Saves dbt half of its time; it parses anew by itself if this is not of the same vars.
        shutil.copy(parsed, target)
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "atom_dagster.dbt_launcher", "run", "--full-refresh", "--select", *models,
         "--vars", variables, "--target-path", str(target), "--log-path", str(target)],
        env=os.environ | {"ATOM_HOME": str(scratch)},
        capture_output=True,
        text=True,
        cwd=DBT_PROJECT,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(
            "dbt could not compute the proposed baseline:\n" + (done.stdout + done.stderr)[-3000:]
        )


def _query(connection: duckdb.DuckDBPyConnection, sql: str, parameters: dict[str, Any]) -> Rows:
    result = connection.execute(sql, parameters)
    return Rows([column[0] for column in result.description or []], result.fetchall())


_BASELINES = """
    select
        size_bucket,
        day,
        present.downloads,
        proposed.downloads as downloads_proposed,
        proposed.downloads / nullif(present.downloads, 0) as ratio,
        proposed.pool_size,
        len(proposed.members) - len(list_intersect(proposed.members, coalesce(present.members, [])))
            as members_joined,
        len(present.members) - len(list_intersect(proposed.members, present.members)) as members_left,
        proposed.null_reason
    from (from marts.ram_baselines where baseline = $proposed) as proposed
    left join (from marts.ram_baselines where baseline = $present) as present using (size_bucket, day)
    join seeds.size_buckets using (size_bucket)
    order by size_buckets.rank, day
"""

_SCORES = """
    select
        model_id,
        proposed.size_bucket,
        day,
        proposed.downloads_at_day,
        present.ram,
        proposed.ram as ram_proposed,
        proposed.ram / nullif(present.ram, 0) as ratio,
        case
            when present.ram is null then 'new'
            when proposed.ram is null then 'lost'
            when present.ram < 1 and proposed.ram >= 1 then 'up'
            when present.ram >= 1 and proposed.ram < 1 then 'down'
            else 'moved'
        end as change
    from (from marts.ram_scores where baseline = $proposed) as proposed
    left join (from marts.ram_scores where baseline = $present) as present using (model_id, day)
    where present.ram is distinct from proposed.ram
    order by change in ('up', 'down') desc, abs(ln(ratio)) desc nulls last, model_id, day
"""
