"""The oracle on every worked example of definitions.md, digit by digit, and on its edges.

Belongs here: the examples of sections 2 to 5 run on ``tests/oracle``. Does not belong here: which
readings count, falling counters and anomalies (``test_oracle_readings``); sections 6 and 7
(``test_oracle_shares``); the SQL models, which have the same examples as dbt unit tests.
"""

from __future__ import annotations

from collections.abc import Container
from datetime import date, timedelta

import polars as pl
import pytest

from tests.oracle import Switches, curve, downloads, identity, ram
from tests.oracle.cleaning import Reading
from tests.oracle.compare import raw_rows as frame
from tests.oracle.curve import Window
from tests.unit._oracle import SWITCHES, TODAY, a_model, drawn, month_of, reading

# ------------------------------------------------------------------------------ 3, a model's month


def test_two_points() -> None:
    c = drawn(reading(date(2025, 2, 1), a=1000), reading(date(2025, 4, 12), a=3800, w=2100))
    assert (date(2025, 3, 13).toordinal(), 1700.0) in zip(c.days, c.values, strict=True)
    assert c.at(date(2025, 3, 1).toordinal(), clean=True).value == 1490  # type: ignore[union-attr]
    assert c.at(date(2025, 4, 1).toordinal(), clean=True).value == 3030  # type: ignore[union-attr]
    assert month_of(c, date(2025, 3, 1)) == downloads.Measure(1540, "interpolated", 40, None)


def test_straight_line_without_the_window() -> None:
    c = drawn(reading(date(2025, 2, 1), a=1000), reading(date(2025, 4, 12), a=3800))
    start, end = (c.at(date(2025, m, 1).toordinal(), clean=True) for m in (3, 4))
    assert start and end
    assert (end.value - start.value, end.gap) == (1240, 70)
    assert month_of(c, date(2025, 3, 1)).reason == "gap_too_wide"


def test_weekly() -> None:
    c = drawn(
        reading(date(2025, 3, 26), a=1000),
        reading(date(2025, 4, 2), a=1210),
        reading(date(2025, 4, 30), a=2050),
        reading(date(2025, 5, 7), a=2330),
    )
    assert c.at(date(2025, 4, 1).toordinal(), clean=True).value == 1180  # type: ignore[union-attr]
    assert c.at(date(2025, 5, 1).toordinal(), clean=True).value == 2090  # type: ignore[union-attr]
    found = month_of(c, date(2025, 4, 1))
    assert (found.value, found.gap) == (910, 7)
    assert found.method == "observed"  # 04-02 and 04-30 lie one day from the edges


def test_windows() -> None:
    c = drawn(reading(date(2026, 5, 23), w=9000), reading(date(2026, 6, 19), w=11700))
    assert c.window(date(2026, 6, 1).toordinal()) == Window(
        9900, 27, (date(2026, 5, 23).toordinal(), date(2026, 6, 19).toordinal())
    )
    assert month_of(c, date(2026, 5, 1)) == downloads.Measure(10230, "window_30d", 27, None)
    assert downloads.cumulative(c, date(2026, 6, 1), a_model(), TODAY, SWITCHES) is None


@pytest.mark.parametrize(
    ("day", "value", "reason"),
    [
        (date(2026, 4, 21), 3100.0, None),  # ten days before the edge
        (date(2026, 5, 11), 3100.0, None),  # ten days after it
        (date(2026, 4, 20), None, "after_last_reading"),
        (date(2026, 5, 12), None, "before_first_reading"),
    ],
)
def test_nearest_window(day: date, value: float | None, reason: str | None) -> None:
    found = month_of(drawn(reading(day, w=3000)), date(2026, 4, 1))
    assert found.reason == reason
    assert found.value == (None if value is None else 3000 * 30 / 30)


def test_month_of_birth() -> None:
    born = date(2025, 5, 20)
    counted = drawn(reading(date(2025, 6, 3), a=1400), created=born)
    assert month_of(counted, date(2025, 5, 1)) == downloads.Measure(1200, "interpolated", 14, None)
    assert month_of(counted, date(2025, 4, 1)).reason == "before_first_reading"
    windows = drawn(reading(date(2025, 5, 31), w=500), reading(date(2025, 6, 20), w=2500))
    of_old = month_of(windows, date(2025, 5, 1))
    assert of_old.value == pytest.approx(600 * 31 / 30)
    late = drawn(reading(date(2025, 6, 25), w=9000), reading(date(2025, 5, 31), w=60), created=born)
    assert late.kinds == ["birth", "window_life"]


def test_birth_month_from_windows_is_not_scaled() -> None:
    c = drawn(reading(date(2025, 6, 5), w=500), created=date(2025, 5, 2))
    assert c.kinds == ["birth"]  # 34 days old: the window no longer holds the whole life
    assert month_of(c, date(2025, 5, 1)) == downloads.Measure(500, "window_30d", 4, None)


def test_open_month() -> None:
    c = drawn(reading(date(2026, 7, 1), a=1000), reading(date(2026, 7, 21), a=1600))
    today = date(2026, 7, 31)
    assert month_of(c, date(2026, 7, 1), today=today).reason == "month_open"
    assert downloads.to_date(c, date(2026, 7, 1), SWITCHES) == 600
    assert month_of(c, date(2026, 7, 1), today=date(2026, 8, 1)).reason == "after_last_reading"


def test_rounding_is_half_away_from_zero() -> None:
    assert [downloads.rounded(value) for value in (0.5, 1.5, 2.5, 2.4999)] == [1, 2, 3, 2]


def test_method_and_reach_of_an_edge() -> None:
    near = [reading(date(2025, 4, 2), a=0), reading(date(2025, 3, 31), a=0)]
    c = drawn(near[1], near[0], reading(date(2025, 5, 1), a=70))
    assert month_of(c, date(2025, 4, 1)).method == "observed"
    c = drawn(near[1], near[0], reading(date(2025, 5, 3), a=70))
    assert month_of(c, date(2025, 4, 1)).method == "interpolated"
    young = drawn(reading(date(2025, 4, 1), w=9), reading(date(2025, 5, 1), a=70), created=date(2025, 3, 9))
    assert month_of(young, date(2025, 4, 1)).method == "observed"  # 2.4 makes the window a point
    wide = drawn(reading(date(2025, 3, 10), a=0), reading(date(2025, 4, 24), a=450))
    assert month_of(wide, date(2025, 3, 1)).reason == "before_first_reading"
    assert wide.at(date(2025, 4, 1).toordinal(), clean=True).gap == 45  # type: ignore[union-attr]


# ------------------------------------------------------------------------------------ 2, the curve


def test_window_back_needs_a_free_place() -> None:
    both = reading(date(2025, 4, 12), a=3800, w=2100)  # reaches back to 03-13
    beside = drawn(reading(date(2025, 3, 6), a=1000), both)
    assert "window_back" not in beside.kinds
    free = drawn(reading(date(2025, 3, 5), a=1000), both)
    assert free.kinds == ["reading", "window_back", "reading"]
    born = drawn(both, created=date(2025, 3, 13))
    assert born.kinds == ["birth", "reading"]
    clamped = drawn(reading(date(2025, 2, 1), a=1800), both)
    assert clamped.values == [1800, 1800, 3800]


def test_window_life_and_window_chain() -> None:
    young = drawn(reading(date(2025, 1, 31), w=70), created=date(2025, 1, 1))
    assert young.kinds == ["birth", "window_life"]
    assert drawn(reading(date(2025, 2, 1), w=70), created=date(2025, 1, 1)).kinds == ["birth"]

    first = date(2025, 3, 5)
    weeks = [reading(first - timedelta(days=7 * k), w=300) for k in range(12, 0, -1)]
    c = drawn(*weeks, reading(first, a=5000, w=300), reading(first + timedelta(days=7), a=5070))
    chain = [
        (first.toordinal() - day, value)
        for day, value, kind in zip(c.days, c.values, c.kinds, strict=True)
        if kind in {"window_chain", "window_back"}
    ]
    assert chain == [(90, 4100.0), (60, 4400.0), (30, 4700.0)]
    assert month_of(c, date(2025, 1, 1)).method == "window_30d"
    torn = [week for week in weeks if not 20 <= first.toordinal() - week.day <= 35]
    short = drawn(*torn, reading(first, a=5000, w=300))
    assert len([kind for kind in short.kinds if kind.startswith("window")]) == 1


# --------------------------------------------------------------------------------------- 0, models


def test_aliases_follow_identity_redirects_and_renames() -> None:
    def seen(model_id: str, hf_id: str | None, day: int) -> dict[str, object]:
        return {"model_id": model_id, "hf_id": hf_id, "observed_on": date(2025, 1, day)}

    models = frame("hf_models", seen("a/x", "1", 1), seen("b/x", "1", 8), seen("c/y", None, 8))
    probe = {"model_id": "c/y", "status_code": 200, "resolved_id": "d/y"}
    probes = frame("hf_probes", probe | {"observed_on": date(2025, 1, 15)})
    found = identity.aliases(models, frame("hf_derivatives"), probes, [("THUDM/g", "zai-org/g")])
    assert found == {
        "a/x": "b/x",
        "b/x": "b/x",
        "c/y": "d/y",
        "d/y": "d/y",
        "THUDM/g": "zai-org/g",
        "zai-org/g": "zai-org/g",
    }


# --------------------------------------------------------------------------------------- 4, totals


def totals_of(
    values: dict[str, tuple[int | None, int | None]],
    anomalous: Container[tuple[str, int]] = (),
    **facts: object,
) -> pl.DataFrame:
    """April and May of models a, b, … whose values are given as (April, May)."""
    born = {"c": date(2024, 1, 1), "d": date(2026, 5, 5)}
    models = {
        name: a_model(name, **{"created_on": born.get(name), **facts}) for name in values
    }  # fmt: skip
    months = (date(2026, 4, 1), date(2026, 5, 1))
    rows = [
        {"model_id": name, "month": month, "downloads": value, "downloads_cumulative": value,
         "is_anomalous": (name, month.month) in anomalous}
        for name, pair in values.items()
        for month, value in zip(months, pair, strict=True)
    ]  # fmt: skip
    switches = Switches(first_month=months[0])
    schema = {name: downloads.MODEL_MONTH[name] for name in rows[0]}
    return downloads.totals(
        pl.DataFrame(rows, schema=schema),
        models,
        lambda model: "k",
        date(2026, 6, 1),
        switches,
    ).filter(pl.col("month") < date(2026, 6, 1))


def test_totals_example() -> None:
    table = totals_of({"a": (100, 110), "b": (50, 60), "c": (None, 400), "d": (None, 30)})
    april, may = table.iter_rows(named=True)
    assert may["downloads"] == 600
    assert may["growth"] == pytest.approx(200 / 150 - 1, rel=1e-12)
    assert (may["coverage"], may["downloads_linked"]) == (1, 600)
    assert april["downloads_linked"] == pytest.approx(450, rel=1e-12)
    assert april["coverage"] == pytest.approx(150 / (100 + 50 + 400))
    assert (april["models_expected"], april["models_measured"]) == (3, 2)
    assert april["growth"] is None
    assert april["downloads_cumulative"] == 150


def test_totals_without_anomalies() -> None:
    given: dict[str, tuple[int | None, int | None]] = {"a": (100, 110), "b": (50, None)}
    table = totals_of(given, {("a", 5), ("b", 4), ("b", 5)})
    assert table["downloads"].to_list() == [150, 110]
    assert table["downloads_without_anomalies"].to_list() == [100, None]  # NULL, not 0: nothing is left
    assert totals_of(given)["downloads_without_anomalies"].to_list() == [150, 110]


def test_growth_counts_the_gone_as_nothing_and_needs_half_of_a_month() -> None:
    gone = {"is_gone": True, "last_seen": date(2026, 5, 9)}
    table = totals_of({"a": (100, None)}, **gone)
    assert table["growth"].to_list() == [None, None]  # nothing is measured in May
    assert table["models_expected"].to_list() == [1, 0]
    thin = totals_of({"a": (40, 40), "b": (60, None), "c": (None, 60)})
    assert thin["growth"].to_list() == [None, None]
    enough = totals_of({"a": (60, 40), "b": (40, None), "c": (None, 60)})
    assert enough["growth"][1] == pytest.approx(40 / 60 - 1)


def test_coverage_refers_to_the_nearest_measured_month() -> None:
    series = {date(2026, 1, 1): 10, date(2026, 5, 1): 50}
    assert downloads._reference(series, date(2026, 3, 1)) == 50  # as near: the later
    assert downloads._reference(series, date(2026, 2, 1)) == 10
    assert downloads._reference({}, date(2026, 2, 1)) == 0


# ------------------------------------------------------------------------------------------ 5, RAM

RELEASE = date(2025, 1, 6)
SNAPSHOT = date(2025, 3, 7)
POINTS = {
    "m1": {5: 400, 12: 1100, 60: 4000},
    "m2": {7: 900, 60: 2000},
    "m3": {5: 200, 12: 550, 60: 5000},
    "m4": {7: 150, 60: 900},
    "m5": {10: 500, 60: 3500},
}


def miniature(rule: str, extra: dict[str, dict[int, int]] | None = None) -> tuple[pl.DataFrame, ...]:
    points = POINTS | (extra or {})
    models = {
        name: a_model(name, created_on=RELEASE, release_date=RELEASE, size_bucket="<1B") for name in points
    }
    readings = {
        name: [reading(RELEASE + timedelta(days=day), a=a) for day, a in days.items()]
        for name, days in points.items()
    }
    definition = ram.Definition("mini", rule, SNAPSHOT, 3)
    base = ram.baselines([definition], models, readings, SNAPSHOT, SWITCHES)
    known = curve.curves(dict.fromkeys(models, RELEASE.toordinal()), readings, SWITCHES)
    scores = ram.scores(base, models, known, SNAPSHOT, SWITCHES)
    chosen = (pl.col("day") == 7) & (pl.col("size_bucket") == "<1B")
    return base.filter(chosen), scores.filter(chosen).sort("model_id")


def test_ram_miniature_nth() -> None:
    base, scores = miniature("nth")
    row = base.row(0, named=True)
    assert (row["downloads"], row["members"]) == (300, ["m2", "m1", "m3"])
    assert (row["pool_size"], row["members_measured"]) == (4, 3)
    assert scores["downloads_at_day"].to_list() == pytest.approx([600, 900, 300, 150, None])
    assert scores["downloads_low"].to_list() == [400, 900, 200, 150, 0]
    assert scores["downloads_high"].to_list() == [1100, 900, 550, 150, 500]
    assert scores["ram"].to_list() == [2.0, 3.0, 1.0, 0.5, None]
    assert scores["is_interpolated"].to_list() == [True, False, True, False, True]
    assert scores["null_reason"].to_list() == [None] * 4 + ["first_reading_after_day"]
    assert (scores["ram"] >= 1).sum() == 3


def test_ram_miniature_median_of_top() -> None:
    base, scores = miniature("median_of_top")
    row = base.row(0, named=True)
    assert (row["downloads"], row["members"]) == (450, ["m3", "m1", "m5"])
    assert row["members_measured"] == 2
    expected = [1.3333, 2.0, 0.6667, 0.3333, None]
    assert [r and round(r, 4) for r in scores["ram"].to_list()] == expected


def test_a_member_was_read_in_the_fourteen_days_before_the_snapshot() -> None:
    base, _ = miniature("median_of_top", {"near": {46: 9000}, "far": {45: 9999}})
    assert base.row(0, named=True)["members"] == ["near", "m3", "m1"]


def test_later_readings_do_not_move_a_frozen_baseline() -> None:
    base, _ = miniature("nth", {"late": {7: 10**6, 61: 2 * 10**6}})
    assert base.row(0, named=True)["downloads"] == 600  # read on day 7, before the snapshot
    base, scores = miniature("nth", {"late": {5: 10**5, 61: 10**5}})
    assert base.row(0, named=True)["downloads"] == 300  # bracketed only after the snapshot
    assert scores.filter(pl.col("model_id") == "late")["downloads_at_day"].to_list() == [10**5]


def test_ram_reasons_and_bounds() -> None:
    def at(*readings: Reading, created: date | None = RELEASE, day: int = 7) -> ram.AtDay:
        return ram.at_day(drawn(*readings, created=created), RELEASE, day, SWITCHES)

    def on(day: int, a: int | None = None, w: int | None = None) -> Reading:
        return reading(RELEASE + timedelta(days=day), a, w)

    assert at().reason == "no_counter"
    assert at(on(5, a=100), on(12, a=300)).value == pytest.approx(100 + 200 * 2 / 7)
    assert at(on(5, a=100), on(12, a=301)).reason == "gap_too_wide"
    assert at(on(6, a=100), day=7).reason == "gap_too_wide"
    assert at(on(5, w=100), on(12, w=200)).value == pytest.approx(100 + 100 * 2 / 7)
    assert at(on(5, w=100), on(80, w=200), day=60).reason == "no_counter"
    assert at(on(9, a=10), created=None).reason == "first_reading_after_day"
    assert at(on(20, a=10), created=RELEASE + timedelta(days=8)) == ram.AtDay(0, 0, 0, 0, None)


def test_ram_rows_without_size_date_or_baseline() -> None:
    sized = a_model("sized", created_on=RELEASE, release_date=RELEASE, size_bucket="<1B")
    models = {
        "sized": sized,
        "plain": a_model("plain", created_on=RELEASE, release_date=RELEASE),
        "dateless": a_model("dateless", size_bucket="<1B"),
    }
    readings = {name: [reading(RELEASE + timedelta(days=7), a=9)] for name in models}
    newest = RELEASE + timedelta(days=7)
    base = ram.baselines([ram.Definition("b", "nth", None, 3)], models, readings, newest, SWITCHES)
    created = {name: m.created_on.toordinal() if m.created_on else None for name, m in models.items()}
    scores = ram.scores(base, models, curve.curves(created, readings, SWITCHES), newest, SWITCHES)
    reasons = scores.filter(pl.col("day") == 7).select("model_id", "null_reason")
    assert dict(reasons.iter_rows()) == {
        "sized": "no_baseline",
        "plain": "no_size",
        "dateless": "no_release_date",
    }
    assert scores.filter((pl.col("model_id") == "sized") & (pl.col("day") > 7)).is_empty()
