"""RAM (definitions 5): downloads at a day after release, baselines with members, scores.

Belongs here: the three kinds of baseline as the seed defines them, computed from readings up to
their snapshot. Does not belong here: monthly downloads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median

import polars as pl

from . import DAYS, SIZE_BUCKETS, Switches
from .cleaning import Reading
from .curve import Curve, curves
from .identity import Model

SCORE = pl.Schema(
    {
        "model_id": pl.String,
        "baseline": pl.String,
        "day": pl.Int64,
        "size_bucket": pl.String,
        "downloads_at_day": pl.Float64,
        "downloads_low": pl.Float64,
        "downloads_high": pl.Float64,
        "gap_days": pl.Int64,
        "is_interpolated": pl.Boolean,
        "baseline_downloads": pl.Float64,
        "ram": pl.Float64,
        "ram_low": pl.Float64,
        "ram_high": pl.Float64,
        "null_reason": pl.String,
    }
)
"""What ``scores`` returns."""

BASELINE = pl.Schema(
    {
        "baseline": pl.String(),
        "size_bucket": pl.String(),
        "day": pl.Int64(),
        "downloads": pl.Float64(),
        "members": pl.List(pl.String()),
        "pool_size": pl.Int64(),
        "members_measured": pl.Int64(),
        "is_frozen": pl.Boolean(),
        "snapshot_on": pl.Date(),
    }
)
"""What ``baselines`` returns; ``members`` in order."""


@dataclass(frozen=True)
class Definition:
    """One row of the seed: median_of_top or nth; without ``snapshot_on``, the newest reading."""

    baseline: str
    rule: str
    snapshot_on: date | None
    n: int


@dataclass(frozen=True)
class AtDay:
    """Downloads of a model one day after release, with hard bounds, or the reason why unknown."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    gap: int | None = None
    reason: str | None = None


def at_day(curve: Curve, release: date, day: int, switches: Switches) -> AtDay:
    """``C*`` on ``release`` + ``day`` (5.1, 5.2, 5.4); behind a fall of unknown size nothing is known."""
    when = release.toordinal() + day
    if all(kind == "birth" for kind in curve.kinds):
        return AtDay(reason="no_counter")
    if curve.created_on is not None and release.toordinal() <= when < curve.created_on:
        return AtDay(0.0, 0.0, 0.0, 0)
    if curve.breaks and when > curve.breaks[0][0]:
        return AtDay(reason="counter_break")
    found = curve.at(when, clean=True)
    first = next(d for d, kind in zip(curve.days, curve.kinds, strict=True) if kind != "birth")
    if found is None:
        if when < first:
            return AtDay(reason="first_reading_after_day")
        return AtDay(reason="gap_too_wide" if curve.counter_days else "no_counter")
    if found.high <= switches.ram_max_bound_ratio * found.low:
        return AtDay(found.value, found.low, found.high, found.gap)
    reason = "first_reading_after_day" if when < first else "gap_too_wide"
    return AtDay(None, found.low, found.high, found.gap, reason)


def newest_reading(readings: Mapping[str, Sequence[Reading]]) -> date:
    """Day of the newest used reading of any model."""
    return date.fromordinal(max(r[-1].day for r in readings.values() if r))


def baselines(
    definitions: Sequence[Definition],
    models: Mapping[str, Model],
    readings: Mapping[str, Sequence[Reading]],
    newest: date,
    switches: Switches,
) -> pl.DataFrame:
    """Every baseline × bucket × day (5.5 to 5.8): BASELINE."""
    created = {
        model_id: model.born_on.toordinal() if model.born_on else None for model_id, model in models.items()
    }
    rows = []
    for definition in definitions:
        snapshot = definition.snapshot_on or newest
        known = curves(created, readings, switches, until=snapshot.toordinal())
        for bucket in SIZE_BUCKETS:
            group = [model for model in models.values() if model.size_bucket == bucket]
            top = _top(definition, group, known, snapshot)
            for day in DAYS:
                measured = _measured(group, known, day, snapshot, switches)
                if definition.rule == "median_of_top":
                    members = [model_id for model_id, _ in top]
                    values = [measured[m] for m in members if m in measured]
                    enough = len(values) >= math.ceil(0.6 * definition.n)
                    downloads = median(values) if enough and values else None
                    pool = len(group)
                else:
                    ordered = sorted(measured.items(), key=_order)
                    members = [model_id for model_id, _ in ordered[: definition.n]]
                    values = [value for _, value in ordered[: definition.n]]
                    downloads = values[-1] if len(values) == definition.n else None
                    pool = len(ordered)
                rows.append(
                    {
                        "baseline": definition.baseline,
                        "size_bucket": bucket,
                        "day": day,
                        "downloads": downloads,
                        "members": members,
                        "pool_size": pool,
                        "members_measured": len(values),
                        "is_frozen": definition.snapshot_on is not None,
                        "snapshot_on": snapshot,
                    }
                )
    return pl.DataFrame(rows, schema=BASELINE)


def _order(item: tuple[str, float]) -> tuple[float, str]:
    return -item[1], item[0]


def _top(
    definition: Definition, group: Sequence[Model], known: Mapping[str, Curve], snapshot: date
) -> list[tuple[str, float]]:
    """The n models with the largest ``C`` at the snapshot or a reading ≤ 14 days before (5.6)."""
    found = {}
    for model in group:
        curve = known[model.model_id]
        is_read = any(kind != "birth" for kind in curve.kinds)
        if is_read and snapshot.toordinal() - 14 <= curve.days[-1] <= snapshot.toordinal():
            found[model.model_id] = curve.values[-1]
    return sorted(found.items(), key=_order)[: definition.n]


def _measured(
    group: Sequence[Model], known: Mapping[str, Curve], day: int, snapshot: date, switches: Switches
) -> dict[str, float]:
    """Model → downloads at ``day`` after release, for those that reached it by the snapshot."""
    found = {}
    for model in group:
        if model.release_date is None or model.release_date + timedelta(days=day) > snapshot:
            continue
        value = at_day(known[model.model_id], model.release_date, day, switches).value
        if value is not None:
            found[model.model_id] = value
    return found


def scores(
    baseline_rows: pl.DataFrame,
    models: Mapping[str, Model],
    known: Mapping[str, Curve],
    newest: date,
    switches: Switches,
) -> pl.DataFrame:
    """Every model × baseline × day that has come by ``newest`` (5.3, 5.9): SCORE."""
    level = {
        (baseline, bucket, day): value
        for baseline, bucket, day, value in baseline_rows.select(
            "baseline", "size_bucket", "day", "downloads"
        ).iter_rows()
    }
    names = baseline_rows.get_column("baseline").unique(maintain_order=True).to_list()
    rows = []
    for model in models.values():
        for day in DAYS:
            if model.release_date is None:
                found = AtDay(reason="no_release_date")
            elif model.release_date + timedelta(days=day) > newest:
                continue
            else:
                found = at_day(known[model.model_id], model.release_date, day, switches)
            for baseline in names:
                base = level.get((baseline, model.size_bucket, day))
                rows.append(_score(model, baseline, day, found, base))
    return pl.DataFrame(rows, schema=SCORE)


def _score(model: Model, baseline: str, day: int, found: AtDay, base: float | None) -> dict[str, object]:
    def over(value: float | None) -> float | None:
        return value / base if value is not None and base else None

    ram = over(found.value)
    reason = found.reason
    if reason != "no_release_date" and model.size_bucket is None:
        reason = "no_size"
    if reason is None and ram is None:
        reason = "no_baseline"
    return {
        "model_id": model.model_id,
        "baseline": baseline,
        "day": day,
        "size_bucket": model.size_bucket,
        "downloads_at_day": found.value,
        "downloads_low": found.low,
        "downloads_high": found.high,
        "gap_days": found.gap,
        "is_interpolated": None if found.gap is None else found.gap > 0,
        "baseline_downloads": base,
        "ram": ram,
        "ram_low": over(found.low),
        "ram_high": over(found.high),
        "null_reason": reason,
    }
