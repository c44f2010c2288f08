"""Which readings count (definitions 1.2, 1.3) and the curve of a model (definitions 2).

Belongs here: readings → used readings → points of ``C`` and ``C*`` → their value at a day. Does not
belong here: months, totals, baselines. Days are proleptic ordinals (``date.toordinal``) throughout.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from . import Switches
from .identity import canonical_ids


@dataclass(frozen=True)
class Reading:
    """One model on one day: ``a`` downloads since creation, ``w`` in the last 30 days."""

    day: int
    a: int | None
    w: int | None
    is_flagged: bool = False


@dataclass(frozen=True)
class Value:
    """``C`` or ``C*`` on a day, the values at the two points used, and their distance in days."""

    value: float
    low: float
    high: float
    gap: int
    uses_chain: bool


def used_readings(
    hf_models: pl.DataFrame,
    pulls: pl.DataFrame,
    names: Mapping[str, str],
    wanted: Sequence[str],
    switches: Switches,
) -> dict[str, list[Reading]]:
    """Canonical id → the readings that count, by day, for the ``wanted`` canonical ids.

    One reading a day: the first source of the configured order, in it the later pull, in it the
    newest id. Sources more than 1 % apart flag the day. Stale readings are left out.
    """
    order = {source: rank for rank, source in enumerate(switches.source_order)}
    rows = (
        hf_models.select(
            canonical_ids("model_id", names).alias("canonical"),
            "model_id",
            "observed_on",
            "pull_id",
            pl.col("source").replace_strict(order, default=len(order)).alias("rank"),
            pl.col("downloads_all_time").alias("a"),
            pl.col("downloads_30d").alias("w"),
        )
        .filter(pl.col("canonical").is_in(list(wanted)))
        .join(pulls.select("pull_id", "fetched_at").unique("pull_id"), on="pull_id", how="left")
        .with_columns((pl.col("model_id") != pl.col("canonical")).alias("is_old_id"))
        .sort(
            ["canonical", "observed_on", "rank", "fetched_at", "pull_id", "is_old_id", "model_id"],
            descending=[False, False, False, True, True, False, False],
        )
        .unique(["canonical", "observed_on", "rank"], keep="first", maintain_order=True)
    )
    by_day: dict[str, dict[int, Reading]] = {}
    for canonical, day, a, w in rows.select("canonical", "observed_on", "a", "w").iter_rows():
        days = by_day.setdefault(canonical, {})
        ordinal = day.toordinal()
        first = days.get(ordinal)
        if first is None:
            days[ordinal] = Reading(ordinal, a, w)
        elif _disagree(first.a, a) or _disagree(first.w, w):
            days[ordinal] = Reading(ordinal, first.a, first.w, is_flagged=True)
    return {
        canonical: without_stale([days[day] for day in sorted(days)]) for canonical, days in by_day.items()
    }


def _disagree(one: int | None, other: int | None) -> bool:
    if one is None or other is None:
        return False
    return abs(one - other) > 0.01 * max(one, other)


def without_stale(readings: Sequence[Reading]) -> list[Reading]:
    """The readings that do not merely repeat the previous one at W ≥ 100 (1.3)."""
    kept, previous = [], None
    for reading in readings:
        repeats = previous is not None and (reading.a, reading.w) == (previous.a, previous.w)
        if not (repeats and reading.w is not None and reading.w >= 100):
            kept.append(reading)
        previous = reading
    return kept


class Curve:
    """The points of one model (definitions 2), and ``C``, ``C*`` and ``W*`` over them."""

    def __init__(
        self, created_on: int | None, readings: Sequence[Reading], switches: Switches | None = None
    ) -> None:
        """``readings`` are the used ones in order of day; ``created_on`` an ordinal or None."""
        self.created_on = created_on
        self.readings = list(readings)
        self.reading_days = [reading.day for reading in self.readings]
        self.counter_days = [reading.day for reading in self.readings if reading.a is not None]
        self._window_days = [reading.day for reading in self.readings if reading.w is not None]
        self._windows = [reading.w for reading in self.readings if reading.w is not None]

        points = self._solid_points()
        solid = sorted((day, value) for day, (value, _) in points.items())
        for day, value in self._window_back():
            points.setdefault(day, (_clamp(day, value, solid), "window_back"))
        bracket = (switches or Switches()).chain_bracket_days
        for day, value in self._window_chain(bracket):
            points.setdefault(day, (_clamp(day, value, solid), "window_chain"))

        self.days = sorted(points)
        self.values = [float(points[day][0]) for day in self.days]
        self.kinds = [points[day][1] for day in self.days]
        self.clean: list[float] = []
        for value in self.values:
            self.clean.append(max(value, self.clean[-1]) if self.clean else value)

    def _solid_points(self) -> dict[int, tuple[float, str]]:
        """Rules 2.1, 2.2 and 2.4. On the day of creation a reading replaces the zero."""
        points: dict[int, tuple[float, str]] = {}
        if self.created_on is not None:
            points[self.created_on] = (0, "birth")
        for reading in self.readings:
            if reading.a is not None:
                points[reading.day] = (reading.a, "reading")
            elif (
                reading.w is not None
                and self.created_on is not None
                and 0 <= reading.day - self.created_on <= 30
            ):
                points[reading.day] = (reading.w, "window_life")
        return points

    def _window_back(self) -> list[tuple[int, float]]:
        """Rule 2.3: thirty days before a reading with both counters."""
        found: list[tuple[int, float]] = []
        for reading in self.readings:
            day = reading.day - 30
            if reading.a is None or reading.w is None or reading.is_flagged:
                continue
            if self.created_on is not None and day <= self.created_on:
                continue
            at = bisect_left(self.counter_days, day - 7)
            if at < len(self.counter_days) and self.counter_days[at] <= day + 7:
                continue
            found.append((day, reading.a - reading.w))
        return found

    def _window_chain(self, bracket: int) -> list[tuple[int, float]]:
        """Rule 2.5: window by window back from the first reading that has the all-time counter."""
        first = next((reading for reading in self.readings if reading.a is not None), None)
        if first is None or first.a is None:
            return []
        found, value = [], float(first.a)
        for step in range(1, 13):
            window = self.window(first.day - 30 * (step - 1))
            day = first.day - 30 * step
            if window is None or window[1] > bracket:
                break
            if self.created_on is not None and day <= self.created_on:
                break
            value -= window[0]
            found.append((day, value))
        return found

    def at(self, day: int, *, clean: bool) -> Value | None:
        """``C*`` (clean) or ``C`` on ``day``; None outside the points."""
        values = self.clean if clean else self.values
        at = bisect_left(self.days, day)
        if at == len(self.days):
            return None
        if self.days[at] == day:
            value = values[at]
            return Value(value, value, value, 0, self.kinds[at] == "window_chain")
        if at == 0:
            return None
        left, right = self.days[at - 1], self.days[at]
        low, high = values[at - 1], values[at]
        value = low + (high - low) * (day - left) / (right - left)
        return Value(value, low, high, right - left, "window_chain" in self.kinds[at - 1 : at + 1])

    def window(self, day: int) -> tuple[float, int] | None:
        """``W*`` on ``day`` and its bracket in days; None outside the window readings."""
        at = bisect_left(self._window_days, day)
        if at == len(self._window_days):
            return None
        if self._window_days[at] == day:
            return float(self._windows[at]), 0
        if at == 0:
            return None
        left, right = self._window_days[at - 1], self._window_days[at]
        low, high = self._windows[at - 1], self._windows[at]
        return low + (high - low) * (day - left) / (right - left), right - left

    def nearest_window(self, day: int) -> tuple[float, int] | None:
        """The window reading nearest to ``day`` and its distance in days; of two, the later."""
        at = bisect_left(self._window_days, day)
        near = [index for index in (at, at - 1) if 0 <= index < len(self._window_days)]
        if not near:
            return None
        index = min(near, key=lambda index: abs(self._window_days[index] - day))
        return float(self._windows[index]), abs(self._window_days[index] - day)

    def has_counter_near(self, day: int, reach: int) -> bool:
        """Whether a used reading with the all-time counter lies within ``reach`` days."""
        at = bisect_left(self.counter_days, day - reach)
        return at < len(self.counter_days) and self.counter_days[at] <= day + reach


def _clamp(day: int, value: float, solid: Sequence[tuple[int, float]]) -> float:
    """``value`` between its neighbours among birth and readings; never below 0."""
    at = bisect_left(solid, (day, float("-inf")))
    lower = solid[at - 1][1] if at > 0 else 0.0
    upper = solid[at][1] if at < len(solid) else float("inf")
    return max(lower, min(value, upper))


def curves(
    created: Mapping[str, int | None],
    readings: Mapping[str, Sequence[Reading]],
    switches: Switches,
    until: int | None = None,
) -> dict[str, Curve]:
    """Canonical id → curve for every id of ``created``, from readings dated ≤ ``until`` only."""
    return {
        model_id: Curve(
            born,
            [r for r in readings.get(model_id, ()) if until is None or r.day <= until],
            switches,
        )
        for model_id, born in created.items()
    }
