"""The main job in the sample world: the story its facts tell must come out of the marts."""

from __future__ import annotations

from datetime import date

import pytest

from tests.conftest import atom, copy_home

MARCH = date(2026, 3, 1)


def _crossing(finished, table, key, leader, trailer):
    """First month in which the leader's cumulative downloads exceed the trailer's."""
    [(month,)] = finished.rows(
        f"""
        select min(a.month) from marts.{table} as a join marts.{table} as b using (month)
        where a.{key} = ? and b.{key} = ? and a.downloads_cumulative > b.downloads_cumulative
        """,
        leader,
        trailer,
    )
    return month


@pytest.mark.parametrize(("region", "published"), [("china", 1.15e9), ("us", 723e6), ("eu", 163e6)])
def test_published_totals_by_region(sample, region, published):
    [(measured,)] = sample.rows(
        "select downloads_cumulative from marts.downloads_by_region_monthly where month = ? and region = ?",
        MARCH,
        region,
    )
    assert measured == pytest.approx(published, rel=0.03)


@pytest.mark.parametrize(
    ("table", "key", "value", "published"),
    [
        ("downloads_by_organization_monthly", "organization", "Qwen", 942.1e6),
        ("downloads_by_family_monthly", "family", "Llama", 476e6),
        ("downloads_by_organization_monthly", "organization", "Ai2", 14.8e6),
        ("downloads_by_family_monthly", "family", "Granite", 8.6e6),
    ],
)
def test_published_totals_by_organization(sample, table, key, value, published):
    [(measured,)] = sample.rows(
        f"select downloads_cumulative from marts.{table} where month = ? and {key} = ?",
        MARCH,
        value,
    )
    assert measured == pytest.approx(published, rel=0.03)


def test_qwen_passes_llama_in_september_2025(sample):
    assert _crossing(sample, "downloads_by_family_monthly", "family", "Qwen", "Llama") == date(2025, 9, 1)


def test_china_passes_the_us_in_summer_2025(sample):
    month = _crossing(sample, "downloads_by_region_monthly", "region", "china", "us")
    assert month in {date(2025, 7, 1), date(2025, 8, 1)}


@pytest.mark.parametrize(("month", "share"), [(date(2024, 1, 1), 0.01), (date(2026, 2, 1), 0.69)])
def test_qwens_share_of_new_derivatives(sample, month, share):
    [(measured,)] = sample.rows(
        "select share from marts.derivatives_by_organization_monthly where month = ?"
        " and organization = 'Qwen' and relation = 'all' and min_downloads = 5"
        " and not community_only",
        month,
    )
    assert measured == pytest.approx(share, abs=0.02)


def test_another_seed_tells_another_story(sample, other_story):
    query = (
        "select organization from marts.downloads_by_organization_monthly where month = ?"
        " order by rank limit 5"
    )
    assert sample.rows(query, MARCH) != other_story.rows(query, MARCH)
    assert _crossing(other_story, "downloads_by_family_monthly", "family", "Qwen", "Llama") != date(
        2025, 9, 1
    )


def test_every_month_to_date_is_measured(sample):
    months = sample.rows(
        "select month, count(downloads) from marts.downloads_by_model_monthly group by 1 order by 1"
    )
    assert months[0][0] == date(2023, 11, 1)
    closed = [count for month, count in months if month < sample.today.replace(day=1)]
    assert len(closed) == 36
    assert all(count > 0 for count in closed)


def test_the_sample_world_is_called_synthetic(sample):
    assert sample.rows("select is_synthetic from meta.world") == [(True,)]
    assert "synthetic" in sample.stderr
    assert "synthetic" in sample.stdout


def test_every_table_and_column_is_described(sample):
    assert (
        sample.rows(
            "select table_name from duckdb_tables() where schema_name in ('marts', 'meta')"
            " and comment is null"
        )
        == []
    )
    assert (
        sample.rows(
            "select table_name, column_name from duckdb_columns()"
            " where schema_name in ('marts', 'meta') and comment is null"
        )
        == []
    )


def test_a_second_run_with_nothing_new_builds_nothing(sample, home):
    copy_home(sample.home, home)
    before = (home / "published").resolve()
    assert before.name == sample.published.parent.name
    done = atom("run", environment=sample.environment | {"ATOM_HOME": str(home)})
    assert done.returncode == 0, done.stderr
    assert "Nothing new" in done.stdout
    assert (home / "published").resolve() == before
