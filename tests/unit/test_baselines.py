"""What the next baseline is called, and which quarter it is of."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from atom_dagster import baselines
from atom_dagster.baselines import Definition, ProposalError, Quarter
from atom_dagster.settings import Settings
from atom_dagster.warehouse import Warehouse


def test_quarters_follow_each_other_and_hold_every_day():
    quarter, day = Quarter(2024, 1), date(2024, 1, 1)
    while day < date(2026, 1, 1):
        if day == quarter.next.first:
            quarter = quarter.next
        assert Quarter.of(day) == quarter
        assert quarter.first <= day < quarter.next.first
        day += timedelta(days=1)
    assert str(quarter) == "2025-Q4"


def test_a_quarter_is_written_in_one_way():
    assert Quarter.parse("2026-Q3") == Quarter(2026, 3)
    for wrong in ("2026-Q5", "2026-07", "Q3", "2026-Q33"):
        with pytest.raises(ProposalError, match="write it like 2026-Q3"):
            Quarter.parse(wrong)


@pytest.mark.parametrize(
    ("rule", "n", "name"),
    [
        ("nth", 10, "tenth_2026_q3"),
        ("nth", 5, "fifth_2026_q3"),
        ("nth", 7, "nth7_2026_q3"),
        ("median_of_top", 10, "median_top10_2026_q3"),
    ],
)
def test_names_are_those_of_the_seed(rule: str, n: int, name: str):
    assert baselines.name_of(rule, n, Quarter(2026, 3)) == name


def test_the_seed_is_read_and_written_as_it_stands():
    """A row is proposed in the very form its neighbours have."""
    header, *lines = baselines.SEED.read_text().splitlines()
    assert header == ",".join(baselines.SEED_TYPES)
    assert [row.as_csv() for row in baselines.seed_rows()] == lines


Q1 = Definition("median_top10_2026_q1", "median_of_top", date(2026, 2, 28), 10, True)
Q2 = Definition("tenth_2026_q2", "nth", date(2026, 5, 23), 10, True)
Q4 = Definition("tenth_2026_q4", "nth", date(2026, 12, 31), 10, True)
ROLLING = Definition("tenth_rolling", "nth", None, 10, False)


@pytest.mark.parametrize(
    ("rule", "n", "today", "newest"),
    [
        ("nth", 10, date(2026, 11, 2), Q2),
        ("median_of_top", 10, date(2026, 11, 2), Q1),
        ("nth", 5, date(2026, 11, 2), Q2),
        ("nth", 10, date(2026, 4, 1), Q1),
        ("nth", 10, date(2027, 1, 1), Q4),
        ("nth", 10, date(2026, 1, 1), None),
    ],
)
def test_the_newest_frozen_baseline_of_the_rule_if_there_is_one(
    rule: str, n: int, today: date, newest: Definition | None
):
    assert baselines.newest_frozen([ROLLING, Q4, Q2, Q1], rule, n, today) == newest


def test_the_quarter_to_propose():
    assert baselines.following(Q2, date(2026, 11, 2)) == Quarter(2026, 3)
    assert baselines.following(None, date(2026, 11, 2)) == Quarter(2026, 3)
    assert baselines.following(None, date(2026, 2, 2)) == Quarter(2025, 4)


def test_nothing_is_proposed_of_nothing(tmp_path: Path):
    settings = Settings.from_env({"ATOM_HOME": str(tmp_path / "home")})
    with pytest.raises(ProposalError, match="Nothing has been measured"):
        baselines.propose(settings)
    with Warehouse(settings.home / "warehouse.duckdb").writing("test"):
        pass
    with pytest.raises(ProposalError, match="run `atom run` first"):
        baselines.propose(settings)
    assert not (settings.home / "proposal").exists()
