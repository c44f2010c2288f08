"""Months that come, come late, go and are renamed: the incremental tables are those of a full build."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import duckdb
import polars as pl

from atom_dagster import inputs
from atom_dagster.warehouse import Warehouse
from tests.integration import _troubled

TABLES = (
    "intermediate.int_readings_ranked",
    "intermediate.int_snapshots",
    "intermediate.int_readings",
    "marts.observations",
)
READINGS = ("--select", "+observations")
LATE, NEWER = (date(2025, 3, 1), date(2025, 4, 1)), date(2025, 9, 1)


def test_incremental_tables_are_those_of_a_full_build(home: Path):
    home.mkdir()
    tables = _troubled.tables()
    # Without the models that move: they would have every build begin at their first reading.
    stays = pl.col("model_id").n_unique().over("hf_id") == 1
    readings = tables["hf_models"] = tables["hf_models"].filter(stays)
    with _writing(home) as connection:
        for name, rows in tables.items():
            connection.register("rows", rows)
            connection.execute(f"insert into raw.{name} by name from rows")
        _take_out(connection, f"observed_on >= date '{NEWER}' or {_within(*LATE)}")
    _troubled.run_dbt(home, *READINGS)
    with _connected(home) as connection:
        flags = dict(
            connection.execute("select flag, count(*) from marts.observations group by 1").fetchall()
        )
    assert {"stale", "dip", "correction"} <= flags.keys()

    with _writing(home) as connection:  # the newest months
        connection.register("rows", readings)
        connection.execute(f"insert into raw.hf_models by name from rows where observed_on >= date '{NEWER}'")
    starts = [_compare(home, NEWER)]
    with _writing(home) as connection:  # a month in the middle, late
        connection.register("rows", readings)
        connection.execute(f"insert into raw.hf_models by name from rows where {_within(*LATE)}")
    starts.append(_compare(home, LATE[0]))
    with _writing(home) as connection:  # a month goes, and with it what told two names apart
        _take_out(connection, _within(date(2026, 4, 1), date(2026, 5, 1)))
        connection.execute(
            "update raw.hf_models set hf_id = 'one'"
            " where model_id like '%Model-01%-8B' and observed_on >= date '2026-05-01'"
        )
    starts.append(_compare(home, date(2026, 4, 1)))
    assert starts[:2] == [date(2025, 8, 1), date(2025, 2, 1)]
    assert starts[2] < date(2025, 1, 1), "ids that became one model change its readings from the first on"


def _compare(home: Path, changed_from: date) -> date:
    """Build from the changed month on, and in a copy everything; the day the first began at."""
    with _writing(home) as connection:
        inputs.announce(connection, inputs.Rebuild(is_full=False, changed_from=changed_from))
    copy = home.with_name("full")
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    shutil.copy(home / "warehouse.duckdb", copy)
    _troubled.run_dbt(home, *READINGS)
    _troubled.run_dbt(copy, *READINGS, "--full-refresh")
    with _connected(home) as connection:
        connection.execute(f"attach '{copy / 'warehouse.duckdb'}' as whole (read_only)")
        for table in TABLES:
            [(missing, surplus)] = connection.execute(
                f"select (select count(*) from (from whole.{table} except all from {table})),"
                f" (select count(*) from (from {table} except all from whole.{table}))"
            ).fetchall()
            assert (missing, surplus) == (0, 0), f"{table} after {changed_from}"
        [(start_on,)] = connection.execute("select start_on from intermediate.int_rebuild").fetchall()
    return start_on


def _within(first: date, end: date) -> str:
    return f"(observed_on >= date '{first}' and observed_on < date '{end}')"


def _take_out(connection: duckdb.DuckDBPyConnection, where: str) -> None:
    connection.execute(f"delete from raw.hf_models where {where}")


@contextmanager
def _writing(home: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with Warehouse(home / "warehouse.duckdb").writing("test") as connection:
        yield connection


@contextmanager
def _connected(home: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        yield connection
