"""A model's month (definitions 3) and the totals over keys (definitions 4).

Belongs here: downloads per model and month with method, gap and reason; totals, coverage, growth
and the linked series per organization, country, region, size or family. Does not belong here:
which readings count and the curve itself (``curve``).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from statistics import median

import polars as pl

from . import UNKNOWN, Switches
from .cleaning import Step
from .curve import Curve
from .identity import Model

SERIES_START = date(2023, 11, 1)
"""Start of +downloads_since_2023_11."""

SPIKE_DOWNLOADS, SPIKE_FACTOR, SPIKE_REACH, SPIKE_AGE = 100_000, 5, 3, 90
"""3.8: at least so many downloads, more than so many medians, of the months so near, days of age."""

MODEL_MONTH = pl.Schema(
    {
        "model_id": pl.String,
        "month": pl.Date,
        "downloads": pl.Int64,
        "unrounded": pl.Float64,
        "method": pl.String,
        "gap_days": pl.Int64,
        "null_reason": pl.String,
        "observations": pl.Int64,
        "last_reading_on": pl.Date,
        "downloads_to_date": pl.Int64,
        "downloads_cumulative": pl.Int64,
        "cumulative_unrounded": pl.Float64,
        "downloads_since_2023_11": pl.Int64,
        "is_anomalous": pl.Boolean,
        "anomaly_reason": pl.String,
        "counter_correction": pl.Float64,
    }
)
"""What ``by_model`` returns; the unrounded columns show where a tie was near, and
``counter_correction`` is not rounded; it is 0 where nothing was corrected."""

TOTAL = pl.Schema(
    {
        "month": pl.Date,
        "key": pl.String,
        "downloads": pl.Int64,
        "downloads_without_anomalies": pl.Int64,
        "share": pl.Float64,
        "share_of_three": pl.Float64,
        "rank": pl.Int64,
        "models_measured": pl.Int64,
        "models_expected": pl.Int64,
        "coverage": pl.Float64,
        "growth": pl.Float64,
        "downloads_linked": pl.Float64,
        "downloads_cumulative": pl.Int64,
        "share_cumulative": pl.Float64,
        "coverage_cumulative": pl.Float64,
    }
)
"""What ``totals`` returns, one row per month and key."""


def rounded(value: float) -> int:
    """The nearest whole number, halves away from zero."""
    return int(Decimal(value).to_integral_value(ROUND_HALF_UP))


def next_month(month: date) -> date:
    """First day of the month after ``month``."""
    return (month + timedelta(days=32)).replace(day=1)


def months(first: date, today: date) -> list[date]:
    """Every month from ``first`` to the one that holds ``today``."""
    found = [first]
    while next_month(found[-1]) <= today:
        found.append(next_month(found[-1]))
    return found


@dataclass(frozen=True)
class Measure:
    """Downloads of one month: the value with method and gap, or the reason why there is none.

    ``gap`` without a value is the one that is too wide. ``readings`` are the days of the
    readings it was computed from.
    """

    value: float | None = None
    method: str | None = None
    gap: int | None = None
    reason: str | None = None
    readings: tuple[int, ...] = field(default=(), compare=False)


def measure(curve: Curve, month: date, model: Model, today: date, switches: Switches) -> Measure:
    """Downloads of ``model`` in ``month`` by 3.1, else 3.2, else the reason of 3.3."""
    end = next_month(month)
    e0, e1, days = month.toordinal(), end.toordinal(), (end - month).days
    born = curve.created_on
    born_inside = born is not None and e0 <= born < e1
    if end > today:
        return Measure(reason="month_open")
    if not curve.readings:
        return Measure(reason="no_reading")
    if born is not None and born >= e1:
        return Measure(reason="before_first_reading")
    if model.gone_at(end):
        return Measure(reason="after_last_reading")

    start, stop = curve.at(e0, clean=True), curve.at(e1, clean=True)
    if stop is not None and stop.gap <= switches.max_gap_days:
        gap, from_zero, uses_chain, era = stop.gap, 0.0, stop.uses_chain, 0
        readings = stop.readings
        if not born_inside and start is not None:
            gap, from_zero, era = max(gap, start.gap), start.value, start.era
            uses_chain, readings = uses_chain or start.uses_chain, readings + start.readings
        is_known = (born_inside or start is not None) and stop.era == era
        if is_known and gap <= switches.max_gap_days:
            is_observed = curve.is_observed_near(e0, 1) and curve.is_observed_near(e1, 1)
            method = (
                "window_30d" if uses_chain else "observed" if is_observed else "interpolated"
            )  # fmt: skip
            return Measure(stop.value - from_zero, method, gap, None, readings)

    for window, reach in (
        (curve.window(e1), switches.max_gap_days),
        (curve.nearest_window(e1), switches.window_reach_days),
    ):
        if window is not None and window.gap <= reach:
            value = window.value if born_inside else window.value * days / 30
            return Measure(value, "window_30d", window.gap, None, window.readings)

    if e1 < curve.reading_days[0]:
        return Measure(reason="before_first_reading")
    if e1 > curve.reading_days[-1]:
        return Measure(reason="after_last_reading")
    if curve.touches_break(e0, e1):
        return Measure(reason="counter_break")
    if stop is not None and stop.gap <= switches.max_gap_days and start is None:
        return Measure(reason="before_first_reading")
    gaps = [edge.gap for edge in (start, stop) if edge is not None]
    return Measure(reason="gap_too_wide", gap=max(gaps, default=None))


def cumulative(curve: Curve, day: date, model: Model, today: date, switches: Switches) -> float | None:
    """``C`` on ``day``, the end of a month (3.7).

    None if only windows exist, in the future, across a wide gap, in a break or before the birth: a
    model born on ``day`` belongs to the month that begins there (0.2).
    """
    if not curve.counter_days or day > today:
        return None
    if curve.created_on is not None and curve.created_on >= day.toordinal():
        return None
    if model.gone_at(day):
        return curve.values[-1]
    value = curve.at(day.toordinal(), clean=False)
    return value.value if value and value.gap <= switches.max_gap_days_cumulative else None


def to_date(curve: Curve, month: date, switches: Switches) -> float | None:
    """Downloads of the open month so far (3.5): up to the last reading where ``C*`` is known."""
    e0 = month.toordinal()
    born_inside = curve.created_on is not None and curve.created_on >= e0
    start = curve.at(e0, clean=True)
    last = next((v for day in reversed(curve.reading_days) if (v := curve.at(day, clean=True))), None)
    last_day = curve.days[-1] if curve.days else e0 - 1
    if last is None or last_day < e0:
        return None
    if born_inside:
        return last.value if last.era == 0 else None
    if start is None or start.gap > switches.max_gap_days or start.era != last.era:
        return None
    return last.value - start.value


def steps_in(curve: Curve, month: date) -> list[Step]:
    """Falls booked in ``month``: those whose later reading lies in (e0, e1], so that ΔC holds."""
    e0, e1 = month.toordinal(), next_month(month).toordinal()
    return [step for step in curve.steps if e0 < step.day <= e1]


def spikes(series: Mapping[date, int], release_date: date | None) -> set[date]:
    """Months of one model that are spikes (3.8); ``series`` holds its measured months."""
    found = set()
    for month, value in series.items():
        near = [other for at, other in series.items() if 1 <= abs(_months_between(at, month)) <= SPIKE_REACH]
        is_old = release_date is None or month > release_date + timedelta(days=SPIKE_AGE)
        is_large = value >= SPIKE_DOWNLOADS and len(near) >= 3 and value > SPIKE_FACTOR * median(near)
        if is_large and is_old:
            found.add(month)
    return found


def _months_between(one: date, other: date) -> int:
    return (one.year - other.year) * 12 + one.month - other.month


def anomaly(curve: Curve, month: date, found: Measure) -> str | None:
    """Why ``month`` is anomalous by 1.5 or 1.6: the first of reset, correction, hub_fault."""
    kinds = {step.kind for step in steps_in(curve, month)}
    if not curve.fault_days.isdisjoint(found.readings):
        kinds.add("hub_fault")
    return next((kind for kind in ("reset", "correction", "hub_fault") if kind in kinds), None)


def by_model(
    models: Mapping[str, Model], curves: Mapping[str, Curve], today: date, switches: Switches
) -> pl.DataFrame:
    """Every model × every month from the first to the open one: MODEL_MONTH."""
    rows = []
    for model_id, model in models.items():
        curve = curves[model_id]
        base = _since_start(curve, model, today, switches)
        calendar = months(switches.first_month, today)
        measures = {month: measure(curve, month, model, today, switches) for month in calendar}
        series = {
            month: rounded(found.value) for month, found in measures.items() if found.value is not None
        }  # fmt: skip
        spiky = spikes(series, model.release_date)
        for month, found in measures.items():
            end = next_month(month)
            total = cumulative(curve, end, model, today, switches)
            first = bisect_left(curve.reading_days, month.toordinal())
            behind = bisect_right(curve.reading_days, end.toordinal())
            last = date.fromordinal(curve.reading_days[behind - 1]) if behind else None
            so_far = to_date(curve, month, switches) if end > today else None
            reason = anomaly(curve, month, found) or ("spike" if month in spiky else None)
            rows.append(
                {
                    "model_id": model_id,
                    "month": month,
                    "downloads": series.get(month),
                    "unrounded": found.value,
                    "method": found.method,
                    "gap_days": found.gap,
                    "null_reason": found.reason,
                    "observations": behind - first,
                    "last_reading_on": last,
                    "downloads_to_date": None if so_far is None else rounded(so_far),
                    "downloads_cumulative": None if total is None else rounded(total),
                    "cumulative_unrounded": total,
                    "downloads_since_2023_11": (
                        None if total is None or base is None else rounded(total - base)
                    ),
                    "is_anomalous": reason is not None,
                    "anomaly_reason": reason,
                    "counter_correction": sum(step.correction or 0.0 for step in steps_in(curve, month)),
                }
            )
    return pl.DataFrame(rows, schema=MODEL_MONTH)


def _since_start(curve: Curve, model: Model, today: date, switches: Switches) -> float | None:
    if curve.created_on is not None and curve.created_on >= SERIES_START.toordinal():
        return 0.0
    return cumulative(curve, SERIES_START, model, today, switches)


KEYS: dict[str, Callable[[Model], str]] = {
    "organization": lambda model: model.organization.name,
    "country": lambda model: model.organization.country or UNKNOWN,
    "region": lambda model: model.organization.region,
    "size_bucket": lambda model: model.size_bucket or UNKNOWN,
    "family": lambda model: model.family or UNKNOWN,
}
"""Column of a totals table → the key of a model."""


def totals(
    model_months: pl.DataFrame,
    models: Mapping[str, Model],
    key_of: Callable[[Model], str],
    today: date,
    switches: Switches,
) -> pl.DataFrame:
    """Totals of one kind of key (definitions 4): TOTAL, every key × every month.

    ``model_months`` has model_id, month, downloads, downloads_cumulative, is_anomalous for all
    ``models``.
    """
    anomalous: set[tuple[str, date]] = set()
    downloads: dict[str, dict[date, int]] = defaultdict(dict)
    cumulatives: dict[str, dict[date, int]] = defaultdict(dict)
    columns = ("model_id", "month", "downloads", "downloads_cumulative", "is_anomalous")
    for model_id, month, value, total, is_anomalous in model_months.select(columns).iter_rows():
        if is_anomalous:
            anomalous.add((model_id, month))
        if value is not None:
            downloads[model_id][month] = value
        if total is not None:
            cumulatives[model_id][month] = total
    members: dict[str, list[Model]] = defaultdict(list)
    for model in models.values():
        members[key_of(model)].append(model)
    calendar = months(switches.first_month, today)
    rows = [
        row
        for key, group in members.items()
        for row in _series(key, group, downloads, anomalous, cumulatives, calendar, today, switches)
    ]
    return _with_shares(rows)


@dataclass
class Total:
    """One key in one month, before shares and ranks."""

    month: date
    key: str
    downloads: int | None
    downloads_without_anomalies: int | None
    models_measured: int
    models_expected: int
    coverage: float | None
    growth: float | None
    downloads_cumulative: int | None
    coverage_cumulative: float | None
    downloads_linked: float | None = None


def _series(
    key: str,
    group: Sequence[Model],
    downloads: Mapping[str, Mapping[date, int]],
    anomalous: Container[tuple[str, date]],
    cumulatives: Mapping[str, Mapping[date, int]],
    calendar: Sequence[date],
    today: date,
    switches: Switches,
) -> list[Total]:
    rows = []
    for month in calendar:
        end = next_month(month)
        measured = [m for m in group if month in downloads.get(m.model_id, {})]
        ordinary = [m for m in measured if (m.model_id, month) not in anomalous]
        expected = [m for m in group if (m.birth is None or m.birth < end) and not m.gone_at(end)]
        known = [m for m in group if month in cumulatives.get(m.model_id, {})]
        ref = {m.model_id: _reference(downloads.get(m.model_id, {}), month) for m in group}
        of_measured = sum(ref[m.model_id] for m in measured)
        of_expected = sum(ref[m.model_id] for m in expected)
        both = len({m.model_id for m in known} & {m.model_id for m in expected})
        rows.append(
            Total(
                month,
                key,
                sum(downloads[m.model_id][month] for m in measured) if measured else None,
                sum(downloads[m.model_id][month] for m in ordinary) if ordinary else None,
                len(measured),
                len(expected),
                of_measured / of_expected if of_expected else None,
                _growth(group, downloads, month, switches),
                sum(cumulatives[m.model_id][month] for m in known) if known else None,
                both / len(expected) if expected else None,
            )
        )
    _link(rows, today)
    return rows


def _reference(series: Mapping[date, int], month: date) -> int:
    """The model's value in its nearest measured month (4.2); of two the later; else 0."""
    if not series:
        return 0

    def distance(other: date) -> tuple[int, date]:
        return -abs((other.year - month.year) * 12 + other.month - month.month), other

    return series[max(series, key=distance)]


def _growth(
    group: Iterable[Model],
    downloads: Mapping[str, Mapping[date, int]],
    month: date,
    switches: Switches,
) -> float | None:
    """Growth over the models measured in both months, and those born in this one (4.3)."""
    end, before = next_month(month), (month - timedelta(days=1)).replace(day=1)
    matched_now = matched_before = born = total_now = total_before = 0
    is_measured_now = False
    for model in group:
        series = downloads.get(model.model_id, {})
        now, then = series.get(month), series.get(before)
        total_now += now or 0
        total_before += then or 0
        is_measured_now = is_measured_now or now is not None
        if then is not None and (now is not None or model.gone_at(end)):
            matched_now += now or 0
            matched_before += then
        elif now is not None and model.birth is not None and month <= model.birth < end:
            born += now
    if not matched_before or not is_measured_now:
        return None
    holds_before = matched_before >= switches.min_matched * total_before
    holds_now = matched_now + born >= switches.min_matched * total_now
    if not (holds_before or holds_now):
        return None
    return (matched_now + born) / matched_before - 1


def _link(rows: Sequence[Total], today: date) -> None:
    """Carry the anchor month's downloads both ways by growth (4.4), in place; ``rows`` by month."""
    closed = [
        at for at, row in enumerate(rows) if row.downloads is not None and next_month(row.month) <= today
    ]
    if not closed:
        return
    covered = [at for at in closed if (rows[at].coverage or 0) >= 0.95]
    anchor = covered[-1] if covered else max(closed, key=lambda at: (rows[at].coverage or 0, at))
    start = value = float(rows[anchor].downloads or 0)
    rows[anchor].downloads_linked = start
    for row in rows[anchor + 1 :]:
        if row.growth is None:
            break
        value *= 1 + row.growth
        row.downloads_linked = value
    value = start
    for at in range(anchor, 0, -1):
        growth = rows[at].growth
        if growth is None or growth == -1:
            break
        value /= 1 + growth
        rows[at - 1].downloads_linked = value


def _with_shares(rows: Sequence[Total]) -> pl.DataFrame:
    """Add share, share_of_three, rank and share_cumulative (4.6, 4.7)."""
    if not rows:
        return pl.DataFrame(schema=TOTAL)
    added = {"share", "share_of_three", "rank", "share_cumulative"}
    schema = {name: type_ for name, type_ in TOTAL.items() if name not in added}
    frame = pl.DataFrame([vars(row) for row in rows], schema=schema)
    downloads, total = pl.col("downloads"), pl.col("downloads_cumulative")
    is_three = pl.col("key").is_in(["us", "china", "eu"])
    three = downloads.filter(is_three).sum().over("month")
    is_measured = downloads.is_not_null()
    frame = frame.sort(
        ["month", "downloads", "key"], descending=[False, True, False], nulls_last=True
    ).with_columns(
        (downloads / downloads.sum().over("month")).alias("share"),
        pl.when(is_three).then(downloads / three).alias("share_of_three"),
        pl.when(is_measured).then(is_measured.cum_sum().over("month")).alias("rank"),
        (total / total.sum().over("month")).alias("share_cumulative"),
    )
    return frame.select([pl.col(name).cast(type_) for name, type_ in TOTAL.items()]).sort("month", "key")
