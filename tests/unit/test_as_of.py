"""What an instant to be held to means, and that every read of a raw table goes through its filter."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta

import duckdb
import pytest
import yaml

from atom_dagster import inputs, rules
from atom_dagster.resources import Home
from atom_dagster.settings import DBT_PROJECT, SettingsError, parse_as_of
from atom_dagster.warehouse import create_raw

STAGING = DBT_PROJECT / "models" / "staging"


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-04-08", datetime(2026, 4, 9, tzinfo=UTC) - timedelta(microseconds=1)),
        ("2026-04-08T06:30:00Z", datetime(2026, 4, 8, 6, 30, tzinfo=UTC)),
        ("2026-04-08T23:30:00-02:00", datetime(2026, 4, 9, 1, 30, tzinfo=UTC)),
        ("2026-04-08 06:30", datetime(2026, 4, 8, 6, 30, tzinfo=UTC)),
    ],
)
def test_a_day_means_its_end_and_an_instant_itself(text: str, instant: datetime):
    assert parse_as_of(text) == instant


@pytest.mark.parametrize("text", ["", "yesterday", "2026-04", "2026-04-31"])
def test_anything_else_is_one_sentence(text: str):
    with pytest.raises(SettingsError, match="write a day such as 2026-04-08"):
        parse_as_of(text)


def test_the_clock_of_a_build_as_of_then_shows_that_day(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ATOM_NOW", "2026-11-12T06:00:00Z")
    present, then = Home().settings, Home(as_of="2026-04-08").settings
    assert (present.today(), then.today()) == (date(2026, 11, 12), date(2026, 4, 8))
    assert present.now() == then.now()
    assert json.loads(inputs.build_vars(present)) == {"today": "2026-11-12", "first_month": "2023-11-01"}
    assert json.loads(inputs.build_vars(then)) == {
        "today": "2026-04-08",
        "first_month": "2023-11-01",
        "as_of": "2026-04-08 23:59:59.999999",
    }
    assert inputs.as_of(inputs.build_vars(present)) is None
    assert inputs.as_of(inputs.build_vars(then)) == "2026-04-08T23:59:59.999999Z"


def test_nothing_is_pulled_or_loaded_as_of_then():
    with pytest.raises(SettingsError, match="Nothing can be pulled or loaded as of 2026-04-08"):
        _ = Home(as_of="2026-04-08").landing


def test_every_select_from_a_raw_table_is_filtered():
    """A staging model that reads raw anywhere else would see what had not been fetched."""
    filtered = 0
    for file in DBT_PROJECT.rglob("models/**/*.sql"):
        for line in file.read_text().splitlines():
            if re.search(r"source\('raw', '(?!pulls')", line) or (
                file.stem == "stg_pulls" and "source(" in line
            ):
                assert line.endswith("}} {{ where_fetched_by_then() }}"), f"{file.name}: {line}"
                filtered += 1
    assert filtered == len(list(STAGING.glob("*.sql")))


def test_every_staging_model_shows_by_a_worked_example_that_it_is_held():
    for file in STAGING.glob("stg_*.yml"):
        tests = {test["name"]: test for test in yaml.safe_load(file.read_text()).get("unit_tests", [])}
        assert tests[f"{file.stem}__as_of"]["overrides"]["vars"] == {"as_of": "2025-03-04"}


def _rules(*names: str) -> list[rules.Rule]:
    return [
        rule for rule in rules.RULES if rule.name in names and rule.asset[1] in ("hf_models", "observations")
    ]


@pytest.fixture
def warehouse():
    """Readings of two pulls; the mart holds those of the first."""
    with duckdb.connect() as connection:
        create_raw(connection)
        for pull, day in (("early", "2026-04-08"), ("late", "2026-04-09")):
            connection.execute(
                "insert into raw.hf_models (source, model_id, observed_on, pull_id)"
                " values ('hub_live', 'a/x', ?, ?)",
                [day, pull],
            )
            connection.execute(
                "insert into raw.pulls values"
                " (?, 'hub_live', 'sample', 'x', cast(? as timestamp) + interval 6 hour, now(),"
                " true, 1, 1, 'x')",
                [pull, day],
            )
        connection.execute(
            "create schema marts; create table marts.observations as"
            " select source, model_id, observed_on from raw.hf_models where pull_id = 'early'"
        )
        yield connection


def test_rules_compare_the_marts_with_raw_as_of_then(warehouse):
    mine = _rules("every_reading_is_observed", "no_reading_from_the_future", "pull_is_known")
    assert len(mine) == 3
    then = datetime(2026, 4, 8, 6, tzinfo=UTC)
    assert all(verdict.passed for verdict in rules.evaluate(warehouse, mine, then.date(), then))
    missed = {v.rule.name for v in rules.evaluate(warehouse, mine, then.date()) if not v.passed}
    assert missed == {"every_reading_is_observed", "no_reading_from_the_future"}
    # A fault of that time is still found, and a missing table is still a violation.
    warehouse.execute("delete from marts.observations")
    [verdict] = rules.evaluate(warehouse, _rules("every_reading_is_observed"), then.date(), then)
    assert verdict.examples == [("hub_live", "a/x", date(2026, 4, 8))]
    warehouse.execute("drop table marts.observations")
    [verdict] = rules.evaluate(warehouse, _rules("every_reading_is_observed"), then.date(), then)
    assert "does not exist" in verdict.sentence()
    assert warehouse.execute("select current_database()").fetchall() == [("memory",)]
    assert warehouse.execute("select count(*) from raw.hf_models").fetchall() == [(2,)]
