"""Both stories of the sample world: what the marts measured against what the generator knows."""

from __future__ import annotations

import polars as pl
import pytest

from atom_dagster.worlds import truth
from tests.conftest import Finished


@pytest.fixture(params=["sample", "other_story"])
def told(request: pytest.FixtureRequest):
    finished: Finished = request.getfixturevalue(request.param)
    seed = 1 if request.param == "sample" else 2
    return finished, truth(seed, today=finished.today, folder=finished.home / "world")


def _frame(finished: Finished, sql: str) -> pl.DataFrame:
    with finished.connect() as connection:
        return connection.sql(sql).pl()


def test_downloads_of_a_month_by_organization(told):
    finished, known = told
    expected = (
        known.downloads.filter(pl.col("list_name") == "core")
        .group_by("organization", "month")
        .agg(pl.col("downloads").sum(), pl.col("downloads_cumulative").sum())
    )
    measured = _frame(
        finished,
        "select organization, month, downloads as measured, downloads_cumulative as measured_cumulative"
        " from marts.downloads_by_organization_monthly where downloads >= 100000",
    )
    both = measured.join(expected, on=["organization", "month"], how="left")
    assert both.height > 500
    assert both["downloads"].null_count() == 0
    # A month's edge lies between weekly readings: the error of a straight line over seven days.
    error = both.select((pl.col("measured") / pl.col("downloads") - 1).abs().alias("e"))["e"]
    assert error.median() < 0.01
    assert error.quantile(0.99) < 0.10
    cumulative = both.filter(pl.col("downloads_cumulative") > 1_000_000)
    error = cumulative.select(
        (pl.col("measured_cumulative") / pl.col("downloads_cumulative") - 1).abs().alias("e")
    )["e"]
    assert error.quantile(0.99) < 0.01


def test_the_ranking_of_organizations_is_the_generators(told):
    finished, known = told
    expected = (
        known.downloads.filter(pl.col("list_name") == "core", pl.col("month").cast(pl.String) == "2026-02-01")
        .group_by("organization")
        .agg(pl.col("downloads").sum())
        .sort("downloads", descending=True)["organization"]
        .to_list()[:5]
    )
    measured = finished.rows(
        "select organization from marts.downloads_by_organization_monthly"
        " where month = date '2026-02-01' order by rank limit 5"
    )
    assert [row[0] for row in measured] == expected


def test_new_derivatives_by_organization(told):
    finished, known = told
    expected = known.derivatives.group_by("month", "organization").agg(pl.col("new_derivatives").sum())
    measured = _frame(
        finished,
        "select month, organization, new_derivatives as measured"
        " from marts.derivatives_by_organization_monthly where relation = 'all' and min_downloads = 5"
        " and not community_only and month < date '2026-10-01' and share is not null",
    )
    both = measured.join(expected, on=["month", "organization"], how="left").fill_null(0)
    assert both.height > 300
    off = (both["measured"] - both["new_derivatives"]).abs()
    assert off.sum() < 0.02 * both["new_derivatives"].sum()


def test_tokens_are_exact(told):
    finished, known = told
    measured = _frame(
        finished,
        "select month, model, tokens as measured from marts.inference_by_model_monthly"
        " where month < date '2026-11-01'",
    )
    both = measured.join(known.tokens, on=["month", "model"], how="full", coalesce=True)
    assert both.height > 300
    assert both.filter(pl.col("measured").ne_missing(pl.col("tokens"))).is_empty()


def test_the_second_seed_has_another_leader(sample, other_story):
    query = (
        "select organization from marts.downloads_by_organization_monthly"
        " where month = date '2026-03-01' and rank = 1"
    )
    assert sample.rows(query) != other_story.rows(query)
