"""ram_sensitivity and ram_backtest of the sample world, counted again by hand from the published scores."""

from __future__ import annotations

from collections import defaultdict
from itertools import product
from math import sqrt
from typing import Any

import pytest

from tests.conftest import Finished

BANDS = {"all": (0, None), "<0.5": (0, 0.5), "0.5-1": (0.5, 1), "1-2": (1, 2), "2+": (2, None)}


def _values(sample: Finished) -> dict[tuple[str, int], dict[str, float]]:
    """Downloads of each model, by size and day; they are the same under every baseline."""
    values: dict[tuple[str, int], dict[str, float]] = defaultdict(dict)
    for model, size, day, downloads in sample.rows(
        "select model_id, size_bucket, day, downloads_at_day from marts.ram_scores"
        " where baseline = 'tenth_rolling' and size_bucket is not null and downloads_at_day is not null"
    ):
        values[size, day][model] = downloads
    return values


@pytest.mark.parametrize(
    ("variant", "n", "takes"),
    [
        ("n5", 5, lambda _: True),
        ("n20", 20, lambda _: True),
        ("without_t5gemma", 10, lambda model: "t5gemma" not in model.lower()),
    ],
)
def test_another_rule(sample: Finished, variant: str, n: int, takes: Any):
    rows = sample.rows(
        "select size_bucket, day, model_id, ram, ram_reference, ratio, crosses_one, crosses_one_surely"
        " from marts.ram_sensitivity"
        " where variant = ? and ratio is not null",
        variant,
    )
    values = _values(sample)
    bounds = {
        (model, day): (low, high)
        for model, day, low, high in sample.rows(
            "select model_id, day, downloads_low, downloads_high from marts.ram_scores"
            " where baseline = 'tenth_rolling'"
        )
    }
    sure = 0
    for size, day, model, ram, reference, ratio, crosses_one, is_sure in rows:
        taking_part = [value for one, value in values[size, day].items() if takes(one)]
        assert takes(model)
        assert ram == values[size, day][model] / sorted(taking_part)[-n]
        assert ratio == ram / reference
        assert crosses_one == ((ram >= 1) != (reference >= 1))
        low, high = bounds[model, day]
        smaller, larger = sorted([sorted(taking_part)[-n], sorted(values[size, day].values())[-10]])
        assert is_sure == (low >= smaller and high < larger)
        sure += is_sure
    assert len(rows) == sum(
        sum(map(takes, models))
        for models in values.values()
        if len(models) >= 10 and sum(map(takes, models)) >= n
    )
    assert sure > 0 or variant == "without_t5gemma"


def test_the_backtest(sample: Finished):
    values = _values(sample)
    released = dict(sample.rows("select model_id, release_date from marts.models"))
    frozen = dict(
        sample.rows("select distinct baseline, snapshot_on from marts.ram_baselines where is_frozen")
    )
    early_scores: dict[tuple[str, int, str], dict[str, float]] = defaultdict(dict)
    for baseline, day, size, model, ram in sample.rows(
        "select baseline, day, size_bucket, model_id, ram from marts.ram_scores where ram is not null"
    ):
        early_scores[baseline, day, size][model] = ram
    sizes = sorted({size for size, _ in values})
    published = {
        row[:5]: row[5:]
        for row in sample.rows(
            "select baseline, early_day, later_day, size_bucket, ram_band, models, in_top10, hit_rate,"
            " hit_rate_low, hit_rate_high, models_out_of_sample, hit_rate_out_of_sample"
            " from marts.ram_backtest"
        )
    }
    seen = 0
    for baseline, early, later in product(
        sorted({key[0] for key in published}), (7, 14, 30, 60, 90), (90, 180, 365)
    ):
        if early >= later:
            continue
        for size, (band, (low, high)) in product(["all", *sizes], BANDS.items()):
            counted = [size] if size != "all" else [one for one in sizes if len(values[one, later]) >= 20]
            models, hits = set(), set()
            for one in counted:
                at_later = values[one, later]
                leaders = sorted(at_later, key=lambda model: (-at_later[model], model))[:10]
                mine = {
                    model
                    for model, ram in early_scores[baseline, early, one].items()
                    if model in at_later and ram >= low and (high is None or ram < high)
                }
                models |= mine
                hits |= mine.intersection(leaders)
            trials, rate = len(models), len(hits) / len(models) if models else None
            found = published.pop((baseline, early, later, size, band))
            assert found[:3] == (trials, len(hits), rate)
            if rate is not None:
                z2 = 1.959963984540054**2
                centre = (rate + z2 / (2 * trials)) / (1 + z2 / trials)
                half = sqrt(z2 * (rate * (1 - rate) / trials + z2 / (4 * trials**2))) / (1 + z2 / trials)
                assert found[3:5] == pytest.approx((centre - half, centre + half), abs=1e-12)
                seen += 1
            snapshot = frozen.get(baseline)
            outside = {model for model in models if snapshot and released[model] > snapshot}
            assert found[5] == (snapshot and len(outside))
            assert found[6] == (len(hits & outside) / len(outside) if outside else None)
    assert not published
    assert seen > 1000
