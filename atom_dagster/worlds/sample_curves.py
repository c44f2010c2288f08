"""The sample world's counters: what each repository's all-time counter says on a day.

Belongs here: evaluating growth at 00:00 of any day. Does not belong here: why anything grows
(``sample_generate``) or what a service makes of it.

A lab's repository grows along knots, one at creation and one at each month's first day, joined by
monotone cubics: the knots hold the month's total, the cubic the days between. On top lies a
bounded ripple by day and week. Other repositories saturate: T·(1 − e^(−age/τ)). Both are closed
forms, so a day's number depends on the day alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from itertools import pairwise

import polars as pl

EPOCH = date(1970, 1, 1)
RIPPLE = 20.0
"""Days of one ripple: of all periods it parts the weekly growth of models' 30-day windows the most."""
KNOTS = pl.Schema(
    {
        "row": pl.UInt32,
        "d0": pl.Int32,
        "d1": pl.Int32,
        "c0": pl.Float64,
        "c1": pl.Float64,
        "s0": pl.Float64,
        "s1": pl.Float64,
        "phase": pl.Float64,
        "born": pl.Int32,
    }
)
"""A stretch of one repository's growth: days since 1970, counter and daily slope at both ends."""
Stretch = tuple[int, int, int, float, float, float, float, float, int]


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - EPOCH).days


def knots(
    row: int, days: Sequence[int], totals: Sequence[float], phase: float, launch: float = 1.6
) -> list[Stretch]:
    """Stretches through the points, with slopes that keep them monotone (Fritsch and Carlson).

    ``launch`` is the first day's pace over the first stretch's mean (at most 3).
    """
    secants = [(b - a) / (e - d) for (a, b), (d, e) in zip(pairwise(totals), pairwise(days), strict=True)]
    if not secants:
        return []
    slopes = [launch * secants[0]]
    for left, right in pairwise(secants):
        slopes.append(2 * left * right / (left + right) if left > 0 and right > 0 else 0.0)
    slopes.append(secants[-1])
    return [
        (row, d0, d1, c0, c1, s0, s1, phase, days[0])
        for (d0, d1), (c0, c1), (s0, s1) in zip(
            pairwise(days), pairwise(totals), pairwise(slopes), strict=True
        )
    ]


def smooth(points: Sequence[tuple[date, float]], asks: Sequence[date]) -> list[float]:
    """The monotone cubic through dated values, read on other dates; flat outside."""
    days = [day_number(day) for day, _ in points]
    values = [value for _, value in points]
    pieces = knots(0, days, values, 0.0, launch=1.0)
    found = []
    for ask in asks:
        x = day_number(ask)
        if x <= days[0]:
            found.append(values[0])
        elif x >= days[-1]:
            found.append(values[-1])
        else:
            _, d0, d1, c0, c1, s0, s1, _, _ = next(p for p in pieces if p[1] <= x < p[2])
            found.append(_hermite((x - d0) / (d1 - d0), d1 - d0, c0, c1, s0, s1))
    return found


def _hermite(t: float, h: float, c0: float, c1: float, s0: float, s1: float) -> float:
    return (
        (1 + 2 * t) * (1 - t) ** 2 * c0
        + t * (1 - t) ** 2 * h * s0
        + t * t * (3 - 2 * t) * c1
        + t * t * (t - 1) * h * s1
    )


class Curves:
    """All counters of the world, by row of its models table."""

    def __init__(self, stretches: pl.DataFrame, models: pl.DataFrame) -> None:
        self._stretches = stretches.sort("d0")
        self._rows = models.select(
            "row",
            "ceiling",
            "tau",
            born=pl.col("created_at").dt.date().cast(pl.Int32),
            gone=pl.col("gone_on").cast(pl.Int32),
        )

    def at(self, day: date) -> pl.Series:
        """The all-time counter of every repository at 00:00 of ``day``; 0 before creation."""
        x = pl.lit(day_number(day), pl.Int32)
        t = (x - pl.col("d0")) / (pl.col("d1") - pl.col("d0"))
        h = (pl.col("d1") - pl.col("d0")).cast(pl.Float64)
        cubic = (
            (1 + 2 * t) * (1 - t) ** 2 * pl.col("c0")
            + t * (1 - t) ** 2 * h * pl.col("s0")
            + t * t * (3 - 2 * t) * pl.col("c1")
            + t * t * (t - 1) * h * pl.col("s1")
        )
        slope = pl.col("s0") + (pl.col("s1") - pl.col("s0")) * t
        age = pl.min_horizontal(pl.lit(1.0), (x - pl.col("born")) / 21.0)
        ripple = 1.3 * (x * (2 * math.pi / RIPPLE) + pl.col("phase")).sin()
        wave = ripple + 0.2 * (x * (2 * math.pi / 7)).sin()
        labs = (
            self._stretches.lazy()
            .filter((pl.col("d0") <= x) & (x < pl.col("d1")))
            .select("row", grown=(cubic + slope * age * wave).clip(0))
        )
        since = (x - pl.col("born")).cast(pl.Float64)
        return (
            self._rows.lazy()
            .join(labs, on="row", how="left", maintain_order="left")
            .select(
                pl.when(pl.col("ceiling").is_null())
                .then(pl.col("grown").fill_null(0.0))
                .when(since <= 0)
                .then(0.0)
                .otherwise(pl.col("ceiling") * (1 - (-since / pl.col("tau")).exp()))
                .floor()
                .cast(pl.Int64)
                .alias("all_time")
            )
            .collect()
            .to_series()
        )
