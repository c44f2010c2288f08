"""The oracle on a counter that falls (definitions 1.6): dips, resets, corrections, breaks.

Belongs here: what a fall does to flags, curve, months, RAM. Does not belong here: any other rule
about readings (``test_oracle_readings``).
"""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from tests.oracle import Switches, curve, downloads, ram
from tests.oracle.cleaning import Reading, Step, settle
from tests.unit._oracle import SWITCHES, TODAY, a_model, drawn, flags_of, month_of, reading, seen

START = date(2026, 6, 11)


def week(*readings: tuple[int, int | None], w: int | None = None, **facts: object) -> list[Reading]:
    """Readings (days after START, A)."""
    return [reading(START + timedelta(days=day), a, w, **facts) for day, a in readings]


def fallen(*readings: tuple[int, int | None], w: int | None = None) -> tuple[list[int], list[int]]:
    """(days of dips, days of steps), both after START."""
    _, steps, dips = settle(week(*readings, w=w))
    start = START.toordinal()
    return sorted(day - start for day in dips), [step.day - start for step in steps]


def test_fall_example() -> None:
    c = drawn(
        reading(date(2026, 6, 1), 9000),
        reading(START, 10_000),
        reading(date(2026, 6, 18), 9400, 700),
        reading(date(2026, 7, 1), 9600),
    )
    (step,) = c.steps
    assert (step.kind, c.readings[2].flag) == ("correction", "correction")
    assert step.downloads == pytest.approx(163.33, abs=0.005)
    assert step.correction == pytest.approx(-763.33, abs=0.005)
    before = c.at(date(2026, 6, 17).toordinal(), clean=False)
    assert before and before.value == pytest.approx(10_000 + 163.3333 * 6 / 7, abs=0.01)
    assert (before.low, before.high) == (10_000, pytest.approx(10_163.33, abs=0.005))
    assert c.at(date(2026, 6, 18).toordinal(), clean=False).value == 9400  # type: ignore[union-attr]
    assert c.clean == pytest.approx([9000, 10_000, 10_163.3333, 10_363.3333])
    june = month_of(c, date(2026, 6, 1))
    assert june.value == pytest.approx(1363.3333)
    assert june.value + step.correction == pytest.approx(9600 - 9000)
    assert downloads.anomaly(c, date(2026, 6, 1), june) == "correction"


def test_a_dip_is_back_within_fourteen_days_of_the_low_reading() -> None:
    assert fallen((0, 100), (7, 90), (21, 100)) == ([7], [])
    assert fallen((0, 100), (7, 90), (22, 100)) == ([], [7])
    assert fallen((0, 100), (7, 90), (14, 99)) == ([], [7])
    assert fallen((0, 100), (7, 90), (10, 80), (14, 95), (20, 130)) == ([7, 10, 14], [])
    assert fallen((0, 100), (7, 90), (8, None), (14, 100)) == ([7], [])  # a lone window stays
    other = week((0, 100), (14, 100), w=9, hf_id="1")
    low = week((7, 90), hf_id="2")
    assert settle([other[0], low[0], other[1]])[2] == {low[0].day}  # a dip, whatever the _id


def test_falls_are_judged_anew_when_the_dips_are_gone() -> None:
    """40 is a dip below 50; what is left falls from 100 to 50 and is a correction."""
    kept, steps, dips = settle(week((0, 100), (7, 50), (14, 40), (21, 60), (40, 110)))
    assert [day - START.toordinal() for day in dips] == [14]
    assert [(r.a, r.flag) for r in kept] == [(100, None), (50, "correction"), (60, None), (110, None)]
    (step,) = steps
    assert (step.since, step.day) == (START.toordinal(), START.toordinal() + 7)


def test_a_reset_adds_the_new_counter_to_the_old_one() -> None:
    old, new = week((0, 1000), hf_id="1"), week((7, 40), (20, 90), hf_id="2", w=40)
    kept, (step,), _ = settle([*old, *new])
    assert step == Step(old[0].day, new[0].day, "reset", 40.0, -1000.0)
    assert [r.flag for r in kept] == [None, "reset", None]
    c = drawn(*old, *new)
    assert c.values == [1000, 40, 90]
    assert c.clean == [1000, 1040, 1090]
    middle = c.at(START.toordinal() + 3, clean=True)
    assert middle and middle.value == pytest.approx(1000 + 40 * 3 / 7)
    unknown = week((7, 40), hf_id=None, w=40)
    assert settle([*old, *unknown])[1][0].kind == "correction"
    far = week((44, 40), hf_id="2")  # a reset knows its downloads over any gap
    assert settle([*old, *far])[1][0].downloads == 40


def test_another_day_of_creation_is_a_reset_and_the_old_months_stay() -> None:
    first, again = date(2024, 1, 1), date(2026, 6, 12)
    old = week((-41, 700), (-10, 900), created_on=first.toordinal())
    new = week((7, 20), (20, 60), created_on=again.toordinal())
    c = drawn(*old, *new, created=first)
    assert [step.kind for step in c.steps] == ["reset"]
    assert c.kinds == ["birth", "reading", "reading", "reading", "reading"]
    assert month_of(c, date(2026, 5, 1)).value == 200
    assert month_of(c, date(2026, 6, 1)).value == 60
    assert downloads.steps_in(c, date(2026, 6, 1))[0].correction == -900


def test_the_window_tells_a_gap_of_thirty_days_at_most() -> None:
    def of_gap(days: int, w: int | None) -> float | None:
        return settle([*week((0, 1000)), *week((days, 900), w=w)])[1][0].downloads

    assert of_gap(30, 60) == 60
    assert of_gap(31, 60) is None
    assert of_gap(7, None) is None
    assert of_gap(7, 0) == 0


def test_a_step_on_an_edge_belongs_to_the_month_that_ends_there() -> None:
    c = drawn(
        reading(date(2026, 6, 1), 1000),
        reading(date(2026, 7, 1), 900, 60),
        reading(date(2026, 8, 1), 980),
    )
    june, july = date(2026, 6, 1), date(2026, 7, 1)
    table = {
        row["month"]: row
        for row in downloads.by_model(
            {"lab/m": a_model()}, {"lab/m": c}, TODAY, Switches(first_month=june)
        ).iter_rows(named=True)
    }
    assert (table[june]["downloads"], table[july]["downloads"]) == (60, 80)
    assert [table[m]["counter_correction"] for m in (june, july)] == [-160, 0]
    assert [table[m]["anomaly_reason"] for m in (june, july)] == ["correction", None]
    assert [table[m]["is_anomalous"] for m in (june, july)] == [True, False]
    assert [table[m]["downloads_cumulative"] for m in (june, july)] == [900, 980]
    assert table[june]["last_reading_on"] == date(2026, 7, 1)


def test_every_month_obeys_the_identity() -> None:
    """3.7: ΔC = downloads + counter_correction, whatever falls where."""
    falls = [(0, 5000), (9, 5400), (16, 4900), (25, 5300), (33, 5200), (48, 5900), (55, 5901), (90, 7000)]
    c = drawn(*(reading(date(2026, 3, 28) + timedelta(days=day), a, 300) for day, a in falls))
    assert len(c.steps) == 2 and not c.breaks
    for month in (date(2026, 4, 1), date(2026, 5, 1)):
        end = downloads.next_month(month)
        low, high = (c.at(day.toordinal(), clean=False) for day in (month, end))
        assert low and high
        rest = sum(step.correction or 0 for step in downloads.steps_in(c, month))
        assert high.value - low.value == pytest.approx((month_of(c, month).value or 0) + rest)


BROKEN = [
    reading(date(2026, 5, 1), 800),
    reading(date(2026, 6, 1), 1000),
    reading(date(2026, 6, 15), 900),
    reading(date(2026, 7, 1), 950),
    reading(date(2026, 8, 1), 990),
]


def test_nothing_is_known_across_a_fall_of_unknown_size() -> None:
    c = drawn(*BROKEN)
    assert month_of(c, date(2026, 5, 1)).value == 200  # ends where the break begins
    assert month_of(c, date(2026, 6, 1)) == downloads.Measure(reason="counter_break")
    assert month_of(c, date(2026, 7, 1)).value == 40
    inside = date(2026, 6, 14)
    assert c.at(inside.toordinal(), clean=False) is None and c.at(inside.toordinal(), clean=True) is None
    assert downloads.cumulative(c, inside, a_model(), TODAY, SWITCHES) is None
    assert downloads.cumulative(c, date(2026, 6, 15), a_model(), TODAY, SWITCHES) == 900
    assert downloads.anomaly(c, date(2026, 6, 1), month_of(c, date(2026, 6, 1))) == "correction"
    assert downloads.to_date(c, date(2026, 7, 1), SWITCHES) == 40
    assert downloads.to_date(drawn(*BROKEN[:4]), date(2026, 6, 1), SWITCHES) is None
    assert downloads.to_date(drawn(*BROKEN[:4]), date(2026, 7, 1), SWITCHES) == 0


def test_a_break_on_an_edge_of_the_month() -> None:
    around = [reading(date(2026, 5, 25), 1000), reading(date(2026, 6, 8), 900), BROKEN[3]]
    c = drawn(BROKEN[0], *around, BROKEN[4])
    assert month_of(c, date(2026, 5, 1)).reason == "counter_break"  # its end lies in the break
    assert month_of(c, date(2026, 6, 1)).reason == "counter_break"  # its start does
    assert month_of(c, date(2026, 7, 1)).value == 40
    from_windows = drawn(BROKEN[0], around[0], around[1], reading(date(2026, 7, 1), 950, 66))
    assert month_of(from_windows, date(2026, 6, 1)) == downloads.Measure(66, "window_30d", 0)
    born = drawn(*BROKEN[1:], created=date(2026, 6, 1))
    assert month_of(born, date(2026, 6, 1)).reason == "counter_break"  # 0 at birth is on the other side
    behind = drawn(BROKEN[0], reading(date(2026, 5, 20), 900), reading(date(2026, 6, 1), 700), BROKEN[4])
    assert month_of(behind, date(2026, 6, 1)).reason == "gap_too_wide"  # it starts where the break ends


def test_ram_and_falls() -> None:
    release = START - timedelta(days=5)

    def at(c: curve.Curve, day: int) -> ram.AtDay:
        return ram.at_day(c, release, day, SWITCHES)

    broken = drawn(*week((0, 100), (7, 50), (25, 80)))
    assert at(broken, 5) == ram.AtDay(100, 100, 100, 0)
    for day in (7, 12, 14, 365):
        assert at(broken, day) == ram.AtDay(reason="counter_break")
    reset = drawn(*week((0, 100), hf_id="1"), *week((7, 50), hf_id="2"))
    assert at(reset, 12) == ram.AtDay(150, 150, 150, 0)
    assert at(reset, 7).value == pytest.approx(100 + 50 * 2 / 7)
    assert at(reset, 7).high == 150


def test_a_window_that_holds_a_fall_gives_no_second_point() -> None:
    before, low = reading(date(2026, 3, 1), 1000), reading(date(2026, 4, 1), 400, hf_id="2")
    late = reading(date(2026, 4, 20), 700, 500)  # 30 days before it lies 03-21, in the gap of the fall
    c = drawn(before, low, late)
    assert c.kinds == ["reading", "reading", "reading"]
    behind = drawn(before, low, reading(date(2026, 5, 20), 700, 200))
    assert behind.kinds == ["reading", "reading", "window_back", "reading"]


def test_a_baseline_does_not_see_a_dip_recover_after_its_snapshot() -> None:
    readings = {"lab/m": week((0, 1000), (7, 900), (12, 1100), w=30)}
    known = curve.curves({"lab/m": None}, readings, SWITCHES, until=START.toordinal() + 10)
    assert [step.kind for step in known["lab/m"].steps] == ["correction"]
    assert curve.curves({"lab/m": None}, readings, SWITCHES)["lab/m"].steps == []


def test_what_is_left_of_falls_is_the_running_maximum() -> None:
    """A window that holds a life may exceed the first counter: no fall of A, so C* alone evens it."""
    c = drawn(*week((5, None), w=90), *week((9, 70), (20, 95)), created=START)
    assert c.kinds == ["birth", "window_life", "reading", "reading"]
    assert (c.values, c.clean) == ([0, 90, 70, 95], [0, 90, 90, 95])


def test_flags_of_falls() -> None:
    days = [date(2025, 1, 1) + timedelta(days=7 * at) for at in range(8)]
    counters = [100, 90, 100, 80, 120, 60, 70, 30]
    ids = ["1"] * 7 + ["2"]
    rows = [
        seen(day, a, 40 + at, hf_id=hf_id)
        for at, (day, a, hf_id) in enumerate(zip(days, counters, ids, strict=True))
    ]
    other = [seen(day, 10 * at, model_id="lab/other") for at, day in enumerate(days)]
    found = flags_of(*rows, *other)
    assert [found["hub_archive", "lab/m", day] for day in days] == [
        (True, None),
        (False, "dip"),
        (True, None),
        (False, "dip"),
        (True, None),
        (True, "correction"),
        (True, None),
        (True, "reset"),
    ]
    assert {found["hub_archive", "lab/other", day] for day in days} == {(True, None)}
