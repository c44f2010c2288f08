"""Both stories of the sample world: concentration, sizes, entrants and model sets, computed anew.

Belongs here: recomputation in polars from the published ``downloads_by_model_monthly`` and ``models``,
which the oracle and the truth vouch for. Does not belong here: those two (``test_oracle``,
``test_truth``).
"""

from __future__ import annotations

import re
from datetime import date

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from atom_dagster.worlds import truth
from tests.conftest import Finished

SINCE = date(2025, 8, 1)
FORMATS = re.compile(r"(gguf|onnx|mlx|openvino|awq|gptq)(-int.|-.bit)?$", re.IGNORECASE)
KEYS = ("organization", "country", "region", "size_bucket", "family")


def _frame(finished: Finished, sql: str) -> pl.DataFrame:
    with finished.connect() as connection:
        return connection.sql(sql).pl()


@pytest.fixture(params=["sample", "other_story"])
def told(request: pytest.FixtureRequest) -> Finished:
    return request.getfixturevalue(request.param)


@pytest.fixture
def model_months(told: Finished) -> pl.DataFrame:
    """One row per model and month, with what is known of the model; the open month's counters are unknown."""
    months = _frame(told, "select model_id, month, downloads, downloads_cumulative, is_anomalous,"
                          " case when not is_anomalous then downloads end as downloads_without_anomalies"
                          " from marts.downloads_by_model_monthly")  # fmt: skip
    models = _frame(told, "from marts.models").with_columns(pl.col(key).fill_null("unknown") for key in KEYS)
    is_open = pl.col("month") == told.today.replace(day=1)
    return months.join(models, on="model_id", how="left").with_columns(
        pl.when(~is_open).then(pl.col("downloads_cumulative")).alias("downloads_cumulative")
    )


def _same(actual: pl.DataFrame, expected: pl.DataFrame, key: list[str]) -> None:
    assert expected.height > 0
    columns = expected.columns
    assert_frame_equal(
        actual.select(columns).sort(key),
        expected.sort(key),
        check_dtypes=False,
        check_exact=False,
        rel_tol=1e-12,
        abs_tol=1e-12,
    )


@pytest.mark.parametrize("unit", ["organization", "model_id", "country", "family"])
@pytest.mark.parametrize("measure", ["downloads", "downloads_cumulative"])
def test_concentration(told: Finished, model_months: pl.DataFrame, unit: str, measure: str):
    totals = (
        model_months.filter(pl.col(measure).is_not_null())
        .group_by("month", unit)
        .agg(pl.col(measure).sum().cast(pl.Float64).alias("value"))
        .with_columns((pl.col("value") / pl.col("value").sum().over("month")).alias("share"))
    )
    known = totals.filter((pl.col(unit) != "unknown") & (pl.col("value") > 0))
    largest = known.sort("share", descending=True).group_by("month", maintain_order=True)
    expected = largest.agg(
        pl.len().alias("keys"),
        pl.col("share").pow(2).sum().alias("hhi"),
        *(pl.col("share").head(n).sum().alias(f"top{n}_share") for n in (1, 5, 10)),
    )
    unattributed = totals.group_by("month").agg(
        pl.col("share").filter(pl.col(unit) == "unknown").sum().alias("share_unattributed")
    )
    expected = expected.join(unattributed, on="month")
    expected = expected.with_columns(
        (
            pl.col("hhi")
            - pl.col("top1_share").pow(2)
            + (pl.col("top1_share") + pl.col("share_unattributed")).pow(2)
        ).alias("hhi_high")
    )
    name = "model" if unit == "model_id" else unit
    actual = _frame(
        told,
        f"from marts.downloads_concentration_monthly where unit = '{name}' and measure = '{measure}'",
    )
    _same(actual.filter(pl.col("null_reason").is_null()), expected, ["month"])
    flagged = model_months.filter("is_anomalous")
    first = flagged["month"].min()
    assert set(actual.filter("has_anomalies")["month"]) == (
        set(flagged.filter(pl.col("downloads").is_not_null())["month"])
        if measure == "downloads"
        else {month for month in actual["month"] if month >= first}
    )
    missing = actual.filter(pl.col("null_reason").is_not_null())
    assert missing["month"].to_list() == [told.today.replace(day=1)]
    assert missing["null_reason"].to_list() == ["month_open"]


@pytest.mark.parametrize("key", ["organization", "region"])
def test_sizes(told: Finished, model_months: pl.DataFrame, key: str):
    measures = ["downloads", "downloads_cumulative"]
    expected = model_months.group_by("month", key, "size_bucket").agg(
        *(
            pl.when(pl.col(measure).count() > 0).then(pl.col(measure).sum()).alias(measure)
            for measure in [*measures, "downloads_without_anomalies"]
        ),
        pl.col("downloads").count().alias("models_measured"),
    )
    for measure, suffix in zip(measures, ["", "_cumulative"], strict=True):
        value = pl.col(measure).cast(pl.Float64)
        expected = expected.with_columns(
            (value / value.sum().over("month", "size_bucket")).alias(f"share_of_size{suffix}"),
            (value / value.sum().over("month", key)).alias(f"share_of_{key}{suffix}"),
        )
    place = pl.struct(-pl.col("downloads"), key).rank("ordinal").over("month", "size_bucket")
    expected = expected.filter(pl.col("downloads").is_not_null()).with_columns(place.alias("rank_in_size"))
    actual = _frame(told, f"from marts.downloads_by_{key}_size_monthly")
    measured = actual.filter(pl.col("downloads").is_not_null())
    _same(measured, expected.fill_nan(None), ["month", key, "size_bucket"])
    assert measured.select(pl.col("month", "size_bucket").n_unique()).min_horizontal().item() > 5
    open_month = actual.filter(pl.col("month") == told.today.replace(day=1))
    assert open_month["null_reason"].unique().to_list() == ["month_open"]
    assert open_month["downloads_cumulative"].null_count() == open_month.height


def test_entrants(told: Finished, model_months: pl.DataFrame):
    before = (
        model_months.filter(pl.col("month") == date(2025, 7, 1))
        .group_by("organization")
        .agg(pl.col("downloads_cumulative").sum().alias("downloads_before"))
    )
    is_new = (pl.col("release_date") >= SINCE).fill_null(value=False)
    expected = (
        model_months.filter(pl.col("month") >= SINCE, pl.col("month") < told.today.replace(day=1))
        .group_by("month", "organization")
        .agg(
            pl.col("downloads").sum(),
            pl.col("downloads").filter(is_new).sum().alias("downloads_new_models"),
            pl.col("downloads_without_anomalies").sum().alias("without"),
        )
        .sort("organization", "month")
        .with_columns(
            pl.col("downloads").cum_sum().over("organization").alias("downloads_since"),
            pl.col("downloads_new_models").cum_sum().over("organization").alias("downloads_new_models_since"),
            pl.col("without").cum_sum().over("organization").alias("downloads_since_without_anomalies"),
        )
        .drop("without")
        .join(before, on="organization", how="left")
        .with_columns(pl.col("downloads_before").fill_null(0))
        .with_columns((pl.col("downloads_before") < 10_000_000).alias("is_entrant"))
    )
    place = pl.struct(-pl.col("downloads_since"), "organization").rank("ordinal").over("month")
    ranks = expected.filter("is_entrant").select("month", "organization", place.alias("rank_since"))
    expected = expected.join(ranks, on=["month", "organization"], how="left")
    actual = _frame(told, f"from marts.new_entrants_monthly where since = date '{SINCE}'")
    closed = actual.filter(pl.col("month") < told.today.replace(day=1)).with_columns(
        # NULL until something is left
        pl.col("downloads_since_without_anomalies").fill_null(0)
    )
    assert closed["downloads"].null_count() == 0
    assert set(closed["is_entrant"]) == {True, False}
    _same(closed, expected, ["month", "organization"])
    assert actual.height > closed.height


def test_nvidia_since_august_2025_is_the_reports(sample: Finished):
    """Claim C15: 30.7 million from August 2025 to March 2026, by an entrant."""
    [(measured, is_entrant)] = sample.rows(
        "select downloads_since, is_entrant from marts.new_entrants_monthly"
        " where since = ? and month = date '2026-03-01' and organization = 'NVIDIA'",
        SINCE,
    )
    assert measured == pytest.approx(30.7e6, rel=0.03)
    assert is_entrant


def test_model_sets_within_core(told: Finished, model_months: pl.DataFrame):
    names = pl.col("model_id")
    members = {
        "core": pl.lit(value=True),
        "core_without_t5gemma": ~names.str.to_lowercase().str.contains("t5gemma"),
        "core_without_formats": ~names.is_in(
            [name for name in model_months["model_id"].unique() if FORMATS.search(name)]
        ),
        "core_without_precision_variants": pl.col("precision_variant_of").is_null(),
    }
    sizes = set()
    for model_set, is_member in members.items():
        of_set = model_months.filter(is_member, pl.col("month") < told.today.replace(day=1))
        sizes.add(of_set["model_id"].n_unique())
        expected = of_set.group_by("month", "region").agg(
            pl.col("downloads").sum(),
            pl.col("downloads_cumulative").sum(),
            pl.col("downloads").count().alias("models_measured"),
            pl.when(pl.col("downloads_without_anomalies").count() > 0)
            .then(pl.col("downloads_without_anomalies").sum())
            .alias("downloads_without_anomalies"),
        )
        actual = _frame(
            told, f"from marts.downloads_by_model_set_monthly where model_set = '{model_set}'"
        ).filter(pl.col("month") < told.today.replace(day=1))
        _same(actual, expected, ["month", "region"])
    assert len(sizes) == len(members)


def test_both_lists_together_are_the_truth(told: Finished, request: pytest.FixtureRequest):
    seed = 1 if request.node.callspec.params["told"] == "sample" else 2
    known = truth(seed, today=told.today, folder=told.home / "world").downloads
    expected = (
        known.filter(pl.col("list_name").is_in(["core", "extra"]))
        .group_by("month")
        .agg(pl.col("downloads_cumulative").sum().alias("known"))
    )
    measured = _frame(
        told,
        "select month, sum(downloads_cumulative)::double as core_extra from"
        " marts.downloads_by_model_set_monthly where model_set = 'core_extra' group by month"
        " having core_extra is not null",
    )
    both = measured.join(expected, on="month", how="left")
    assert both.height == 36
    assert (both["core_extra"] / both["known"] - 1).abs().max() < 0.01


def test_the_set_of_all_models_was_not_built(told: Finished):
    rows = _frame(told, "from marts.downloads_by_model_set_monthly where model_set = 'all'")
    assert rows["null_reason"].unique().to_list() == ["set_not_built"]
    assert rows.select("downloads", "downloads_cumulative", "models_measured").null_count().row(0) == (
        rows.height, rows.height, rows.height
    )  # fmt: skip
