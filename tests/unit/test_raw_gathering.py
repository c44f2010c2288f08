"""Which months of OpenRouter are asked for, and when they count as held."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from atom_dagster.gathering import Place, gather_rankings
from atom_dagster.landing import Landing
from atom_dagster.partitions import months_between
from atom_dagster.worlds import open_world
from tests.unit._worlds import home as world_home
from tests.unit._worlds import settings as world_settings


def _days_held(folder: Path, month: date) -> int:
    from atom_dagster.sources import openrouter

    days: set[date] = set()
    for pull in Landing(folder / "landing").pulls("openrouter_rankings"):
        frame = openrouter.read_rankings(pull).frames["openrouter_tokens"]
        days |= {day for day in frame["day"].to_list() if day.replace(day=1) == month}
    return len(days)


@pytest.fixture
def gather(tmp_path: Path):
    assert world_home()

    def run(*instant: int):
        settings = world_settings(now=datetime(*instant, 12, tzinfo=UTC))
        with open_world(settings) as endpoints:
            months = months_between(date(2025, 1, 1), settings.today())
            return gather_rankings(months, Place(Landing(tmp_path / "landing"), settings), endpoints)

    return run


def test_a_month_half_seen_before_a_long_pause_is_asked_for_again(gather, tmp_path):
    gather(2026, 2, 10)
    assert _days_held(tmp_path, date(2026, 2, 1)) == 9
    gathered = gather(2026, 5, 20)
    assert not gathered.errors
    assert _days_held(tmp_path, date(2026, 2, 1)) == 28


def test_the_same_question_again_makes_no_new_pull(gather, tmp_path):
    gather(2026, 5, 20)
    before = [pull.pull_id for pull in Landing(tmp_path / "landing").pulls()]
    gather(2026, 5, 20)
    assert [pull.pull_id for pull in Landing(tmp_path / "landing").pulls()] == before
