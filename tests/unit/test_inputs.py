"""Which of the standing marts are those of what is loaded now, whatever was built in how many parts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

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
TODAY = '{"today": "2026-11-12"}'
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
    inputs.announce(connection, inputs.Rebuild(is_full=True))
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
        inputs.announce(warehouse, inputs.Rebuild(is_full=True))
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


READINGS = "intermediate.readings"
MONTHS = [date(2025, 1, 1), date(2025, 2, 1), date(2025, 3, 1)]


@pytest.fixture
def months(warehouse: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """A warehouse whose loads have months, with a table built from all of them."""
    warehouse.execute("drop table raw.loads")
    warehouse.execute(
        "create table raw.loads (scope varchar, month date, reader varchar, pull_ids varchar[])"
    )
    for month in MONTHS:
        warehouse.execute("insert into raw.loads values ('hub', ?, 'r', ['p'])", [month])
    warehouse.execute("insert into raw.loads values ('registry', '0001-01-01', 'r', ['l'])")
    _build_readings(warehouse)
    return warehouse


def _build_readings(connection: duckdb.DuckDBPyConnection, variables: str = TODAY) -> None:
    inputs.announce(connection, inputs.rebuild(connection, {READINGS}, variables))
    inputs.forget(connection, {READINGS})
    origins = inputs.origins(connection, {READINGS: {"raw.hf_models", "raw.pulls"}}, {READINGS}, variables)
    inputs.note(connection, origins)


def test_a_table_built_from_what_is_loaded_keeps_every_month(months):
    assert inputs.rebuild(months, {READINGS}, TODAY) == inputs.Rebuild(is_full=False)
    tomorrow = TODAY.replace("12", "13")
    assert inputs.rebuild(months, {READINGS}, tomorrow) == inputs.Rebuild(is_full=False)


@pytest.mark.parametrize(
    ("change", "first"),
    [
        ("insert into raw.loads values ('hub', '2025-04-01', 'r', ['p'])", date(2025, 4, 1)),
        ("update raw.loads set pull_ids = ['p', 'q'] where month >= '2025-02-01'", date(2025, 2, 1)),
        ("update raw.loads set reader = 's' where month = '2025-03-01'", date(2025, 3, 1)),
        ("delete from raw.loads where month = '2025-02-01'", date(2025, 2, 1)),
        ("update raw.loads set pull_ids = ['m'] where scope = 'registry'", None),
        ("insert into raw.loads values ('openrouter', '2025-01-01', 'r', ['p'])", None),
    ],
)
def test_months_are_computed_again_from_the_first_that_changed(months, change, first):
    months.execute(change)
    assert inputs.rebuild(months, {READINGS}, TODAY) == inputs.Rebuild(is_full=False, changed_from=first)
    _build_readings(months)
    assert inputs.rebuild(months, {READINGS}, TODAY) == inputs.Rebuild(is_full=False)


def test_what_is_loaded_during_a_build_is_a_change_for_the_next(months):
    months.execute("update raw.loads set pull_ids = ['p', 'q'] where month = '2025-02-01'")
    inputs.announce(months, inputs.rebuild(months, {READINGS}, TODAY))
    inputs.forget(months, {READINGS})
    origins = inputs.origins(months, {READINGS: {"raw.hf_models", "raw.pulls"}}, {READINGS}, TODAY)
    months.execute("update raw.loads set pull_ids = ['p', 'q'] where month = '2025-03-01'")
    inputs.note(months, origins)
    assert inputs.rebuild(months, {READINGS}, TODAY).changed_from == date(2025, 3, 1)


def test_everything_is_computed_again_after_a_build_that_failed(months):
    inputs.announce(months, inputs.rebuild(months, {READINGS}, TODAY))
    inputs.forget(months, {READINGS})
    assert inputs.rebuild(months, {READINGS}, TODAY).is_full


def test_everything_is_computed_again_for_another_instant_switch_or_code(months, monkeypatch):
    assert inputs.rebuild(months, {READINGS}, '{"as_of": "2026-04-08", "today": "2026-11-12"}').is_full
    assert inputs.rebuild(months, {READINGS, "intermediate.other"}, TODAY).is_full
    monkeypatch.setattr(inputs, "code_digest", lambda: "another")
    assert inputs.rebuild(months, {READINGS}, TODAY).is_full
