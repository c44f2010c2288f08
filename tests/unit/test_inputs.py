"""Which of the standing marts are those of what is loaded now, whatever was built in how many parts."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from atom_dagster import inputs
from atom_dagster.assets import raw

PARENTS = {
    "staging.lists": {"raw.tracked_models"},
    "staging.readings": {"raw.hf_models"},
    "intermediate.models": {"staging.lists", "staging.readings"},
    "marts.organizations": {"staging.lists"},
    "marts.models": {"intermediate.models"},
}
EARLY = {"staging.lists", "marts.organizations"}
LATE = {"staging.readings", "intermediate.models", "marts.models"}


@pytest.fixture
def warehouse() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("create schema raw; create schema marts")
        connection.execute("create table raw.loads (scope varchar, pull varchar)")
        connection.execute("insert into raw.loads values ('registry', 'r1'), ('hub', 'h1')")
        connection.execute("create table marts.models (a int); create table marts.organizations (a int)")
        yield connection


def _build(connection: duckdb.DuckDBPyConnection, tables: set[str], variables: str = "{}") -> None:
    origins = inputs.origins(connection, PARENTS, tables, variables)
    inputs.forget(connection, tables)
    inputs.note(connection, origins)


def _load(connection: duckdb.DuckDBPyConnection, scope: str, pull: str) -> None:
    connection.execute("insert into raw.loads values (?, ?)", [scope, pull])


def test_marts_built_at_once_are_whole(warehouse):
    assert inputs.of_marts(warehouse) is None
    _build(warehouse, EARLY | LATE)
    assert inputs.of_marts(warehouse) == inputs.BuiltFrom(inputs.digest(warehouse), "{}")


def test_marts_built_in_two_runs_around_a_load_are_whole(warehouse):
    _build(warehouse, EARLY)
    assert inputs.of_marts(warehouse) is None
    _load(warehouse, "hub", "h2")  # nothing of EARLY comes from there
    _build(warehouse, LATE)
    assert inputs.of_marts(warehouse) is not None


def test_a_load_makes_what_comes_from_it_old(warehouse):
    _build(warehouse, EARLY | LATE)
    _load(warehouse, "registry", "r2")
    assert inputs.of_marts(warehouse) is None
    _build(warehouse, LATE)  # on lists that are still the old ones
    assert inputs.of_marts(warehouse) is None
    _build(warehouse, EARLY)
    assert inputs.of_marts(warehouse) is None  # LATE was built on the old lists
    _build(warehouse, LATE)
    assert inputs.of_marts(warehouse) is not None


def test_a_view_is_never_too_old_to_build_on(warehouse):
    def build(tables: set[str]) -> None:
        origins = inputs.origins(warehouse, PARENTS, tables, "{}", views={"staging.lists"})
        inputs.forget(warehouse, tables)
        inputs.note(warehouse, origins)

    build(EARLY | LATE)
    _load(warehouse, "registry", "r2")
    build({"marts.organizations"})
    assert inputs.of_marts(warehouse) is None
    build(LATE)
    assert inputs.of_marts(warehouse) is not None


def test_a_mart_built_on_an_old_table_is_old(warehouse):
    _build(warehouse, EARLY | LATE)
    _load(warehouse, "hub", "h2")
    _build(warehouse, {"marts.models"})
    assert inputs.of_marts(warehouse) is None


def test_a_build_that_did_not_end_leaves_its_tables_old(warehouse):
    _build(warehouse, EARLY | LATE)
    inputs.forget(warehouse, {"marts.models"})
    assert inputs.of_marts(warehouse) is None


def test_marts_of_two_days_are_not_whole(warehouse):
    _build(warehouse, EARLY, '{"today": "2026-11-11"}')
    _build(warehouse, LATE, '{"today": "2026-11-12"}')
    assert inputs.of_marts(warehouse) is None


def test_every_raw_table_that_one_source_loads_is_known():
    loaded = {key.path[-1] for asset in raw.ASSETS if asset not in raw.RECORDS for key in asset.keys}
    assert loaded == set(inputs.LOADED_BY)
