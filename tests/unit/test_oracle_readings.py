"""The oracle on which readings count (definitions 1.2 to 1.5, 1.7), and on what is anomalous (3.8).

Belongs here: flags of readings, whole snapshots, models that are gone, spikes. Does not belong
here: a falling counter (``test_oracle_falls``); the curve, totals and RAM (``test_oracle_examples``).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta

import pytest

from tests.oracle import Switches, cleaning, downloads, identity
from tests.oracle.cleaning import Reading
from tests.oracle.compare import raw_rows as frame
from tests.unit._oracle import SWITCHES, TODAY, a_model, drawn, flags_of, month_of, reading, seen

# ------------------------------------------------------------------------------- 1.2, one reading a day


def test_the_order_of_sources_then_the_later_pull() -> None:
    day, first, second = date(2025, 1, 1), datetime(2025, 1, 1, 9), datetime(2025, 1, 1, 10)
    rows = [
        seen(day, 900, 10, pull_id="z"),
        seen(day, 1000, 10, pull_id="a", source="hub_live"),
        seen(day, 1005, 10, pull_id="b", source="hub_live"),
    ]
    pulls = [{"pull_id": pull, "fetched_at": at} for pull, at in (("z", second), ("a", first), ("b", second))]
    judged = cleaning.judged(
        frame("hf_models", *rows), frame("pulls", *pulls), {"lab/m": "lab/new"}, [], SWITCHES
    )
    used = Reading(day.toordinal(), 1005, 10, "sources_disagree")
    assert cleaning.candidates(judged, ["lab/new"]) == {"lab/new": [used]}
    assert cleaning.candidates(judged, ["lab/m"]) == {}
    assert flags_of(*rows, pulls=pulls) == {
        ("hub_live", "lab/m", day): (True, "sources_disagree"),
        ("hub_archive", "lab/m", day): (False, "sources_disagree"),
    }


@pytest.mark.parametrize(
    ("theirs", "disagree"),
    [((990, 100), False), ((989, 100), True), ((1000, 98), True), ((None, 100), False), ((1011, 100), True)],
)
def test_sources_disagree_above_one_percent(theirs: tuple[int | None, int], disagree: bool) -> None:
    day = date(2025, 1, 1)
    found = flags_of(seen(day, 1000, 100, source="hub_live"), seen(day, *theirs))
    flag = "sources_disagree" if disagree else None
    assert found["hub_live", "lab/m", day] == (True, flag)
    assert found["hub_archive", "lab/m", day] == (False, flag or "superseded")


def test_the_newest_id_of_a_model_is_used() -> None:
    day = date(2025, 1, 1)
    rows = [seen(day, 500, model_id="lab/old"), seen(day, 100, model_id="lab/new")]
    names = {"lab/old": "lab/new", "lab/new": "lab/new"}
    found = flags_of(*rows, names=names)
    assert found["hub_archive", "lab/new", day] == (True, None)
    assert found["hub_archive", "lab/old", day] == (False, "superseded")  # one source, so no disagreement
    found = flags_of(*rows, seen(day, 100, model_id="lab/new", source="hub_live"), names=names)
    assert found["hub_live", "lab/new", day] == (True, "sources_disagree")
    assert found["hub_archive", "lab/new", day] == (False, "superseded")
    assert found["hub_archive", "lab/old", day] == (False, "sources_disagree")


# ------------------------------------------------------------------------------------------ 1.3, stale


def test_stale_readings_are_not_used() -> None:
    days = [date(2025, 1, day) for day in (1, 8, 15, 22)]

    def stale(*rows: dict[str, object]) -> list[bool]:
        return [flag == (False, "stale") for flag in flags_of(*rows).values()]

    repeated = [seen(day, 500, 100) for day in days[:3]] + [seen(days[3], 501, 100)]
    assert stale(*repeated) == [False, True, True, False]
    assert not any(stale(*(seen(day, 500, 99) for day in days)))
    assert stale(*(seen(day, None, 100) for day in days)) == [False, True, True, True]  # NULL equals NULL
    other = seen(days[1], 500, 100, model_id="lab/other")
    assert not any(stale(seen(days[0], 500, 100), other))
    lost = seen(days[1], 500, 100)  # what lost its day is neither stale nor what a later reading repeats
    won = seen(days[1], 600, 100, source="hub_live")
    found = flags_of(seen(days[0], 500, 100), lost, won, seen(days[2], 500, 90))
    assert [flag for _, flag in found.values()].count("stale") == 0


# --------------------------------------------------------------------------------- 1.4 and 1.5, snapshots

DAY = date(2025, 3, 5)


def snapshots_of(
    ratios: list[float],
    days: int = 7,
    before: int = 1000,
    source: str = "hub_archive",
    accepted: Iterable[tuple[str, date]] = (),
    extra: Iterable[dict[str, object]] = (),
) -> set[tuple[bool, str | None]]:
    """(is_used, flag) of a snapshot ``days`` after one with ``before``, W being ``ratios`` times it."""
    rows = list(extra)
    for at, ratio in enumerate(ratios):
        name = f"lab/{at:03d}"
        rows.append(seen(DAY - timedelta(days=days), 10**6, before, model_id=name, source=source))
        rows.append(seen(DAY, 10**6 + 1, round(before * ratio), model_id=name, source=source))
    found = flags_of(*rows, accepted=accepted)
    return {value for (where, name, day), value in found.items() if (where, day) == (source, DAY)}


USED, SUSPECT, FAULT = (True, None), (False, "suspect_date"), (True, "hub_fault")


@pytest.mark.parametrize(
    ("ratios", "days", "expected"),
    [
        ([1.0] * 200, 7, SUSPECT),
        ([1.0] * 199, 7, USED),
        ([1.0] * 200, 6, USED),
        ([1.0] * 100 + [1.25] * 100, 7, USED),  # deciles 1.25 and 1: not below 1.25
        ([1.0] * 100 + [1.249] * 100, 7, SUSPECT),
        ([1.0] * 179 + [9.0] * 21, 30, USED),
        ([1.0] * 180 + [9.0] * 20, 30, USED),  # the ninth decile lies a tenth of the way to the 9
        ([1.0] * 181 + [9.0] * 19, 30, SUSPECT),
        ([1.5] * 200, 7, SUSPECT),  # a suspect date goes before a fault
        ([0.999] * 200, 7, USED),  # the later W is below 1 000
    ],
)
def test_suspect_date(ratios: list[float], days: int, expected: tuple[bool, str | None]) -> None:
    assert snapshots_of(ratios, days) == {expected}


def test_a_suspect_snapshot_is_used_if_accepted_by_name() -> None:
    assert snapshots_of([1.0] * 200, accepted=[("hub_archive", DAY)]) == {USED}
    assert snapshots_of([1.5] * 200, accepted=[("hub_archive", DAY)]) == {FAULT}
    assert snapshots_of([1.0] * 200, accepted=[("hub_live", DAY)]) == {SUSPECT}
    assert snapshots_of([1.0] * 200, accepted=[("hub_archive", DAY - timedelta(days=1))]) == {SUSPECT}


def test_the_previous_snapshot_is_that_of_the_source() -> None:
    between = DAY - timedelta(days=1)
    assert snapshots_of([1.0] * 200, extra=[seen(between, 1, 1, source="hub_live")]) == {SUSPECT}
    assert snapshots_of([1.0] * 200, extra=[seen(between, 1, 1)]) == {USED}


def test_a_suspect_snapshot_is_the_previous_one_of_the_next() -> None:
    rows = [
        seen(DAY + timedelta(days=7 * week), 10**6 + week, w, model_id=f"lab/{at:03d}")
        for at in range(200)
        for week, w in enumerate((1000, 1100, 1300 if at % 2 else 1900))
    ]
    found = flags_of(*rows)
    assert found["hub_archive", "lab/000", DAY + timedelta(days=7)] == SUSPECT
    assert found["hub_archive", "lab/000", DAY + timedelta(days=14)] == FAULT  # against 1 100, not 1 000
    assert rows[2]["downloads_30d"] == 1900


def test_stale_readings_do_not_speak_for_their_snapshot() -> None:
    week = DAY - timedelta(days=7)
    copies = [
        seen(day, 5, 5000, model_id=f"lab/copy{at}") for at in range(300) for day in (week, DAY)
    ]  # fmt: skip
    assert snapshots_of([0.8, 1.2] * 60 + [1.0] * 79, extra=copies) == {USED, (False, "stale")}
    assert snapshots_of([1.2] * 30, extra=copies) == {FAULT, (False, "stale")}


@pytest.mark.parametrize(
    ("ratios", "days", "expected"),
    [
        ([0.88] * 30, 7, USED),
        ([0.8799] * 30, 7, FAULT),
        ([1.15] * 30, 7, USED),
        ([1.1501] * 30, 7, FAULT),
        ([1.2] * 29, 7, USED),
        ([1.2] * 30, 8, USED),
        ([1.2] * 30, 1, FAULT),
        ([1.0] * 15 + [1.32] * 15, 1, FAULT),  # the median of an even number is the middle: 1.16
        ([1.0] * 15 + [1.3] * 15, 1, USED),
    ],
)
def test_hub_fault(ratios: list[float], days: int, expected: tuple[bool, str | None]) -> None:
    assert snapshots_of(ratios, days, before=10_000) == {expected}


def test_a_month_is_anomalous_when_it_uses_a_fault() -> None:
    def reason(month: date, *readings: Reading) -> str | None:
        c = drawn(*readings)
        return downloads.anomaly(c, month, month_of(c, month))

    def on(month: int, day: int, a: int | None, w: int | None = None, is_faulty: bool = False) -> Reading:
        return reading(date(2026, month, day), a, w, is_faulty=is_faulty)

    edge = [on(5, 1, 100), on(6, 1, 200, is_faulty=True), on(7, 1, 300), on(8, 1, 400)]
    assert [reason(date(2026, m, 1), *edge) for m in (5, 6, 7)] == ["hub_fault", "hub_fault", None]
    inside = [on(6, 1, 100), on(6, 15, 200, is_faulty=True), on(7, 1, 300)]
    assert reason(date(2026, 6, 1), *inside) is None
    beside = [on(6, 1, 100), on(6, 28, 200, is_faulty=True), on(7, 5, 300)]
    assert reason(date(2026, 6, 1), *beside) == "hub_fault"
    windows = [on(5, 23, None, 900), on(6, 19, None, 1200, is_faulty=True)]
    assert reason(date(2026, 5, 1), *windows) == "hub_fault"
    nearest = [on(6, 10, None, 900), on(6, 27, None, 900, is_faulty=True)]
    assert reason(date(2026, 6, 1), *nearest) == "hub_fault"
    assert reason(date(2026, 6, 1), nearest[0], on(6, 27, None, 900)) is None
    unmeasured = [on(4, 1, 100), on(6, 2, 200, is_faulty=True)]
    assert month_of(drawn(*unmeasured), date(2026, 5, 1)).value is None
    assert reason(date(2026, 5, 1), *unmeasured) is None


def test_a_flagged_reading_has_no_second_point() -> None:
    early, late = reading(date(2025, 2, 1), a=1000), date(2025, 4, 12)
    assert "window_back" in drawn(early, reading(late, 3800, 2100)).kinds
    for flag in ("hub_fault", "sources_disagree"):
        assert "window_back" not in drawn(early, reading(late, 3800, 2100, flag=flag)).kinds


# ---------------------------------------------------------------------------- 1.7, gone and returned


def gone_of(rows: list[dict[str, object]], *probes: dict[str, object]) -> set[str]:
    models, asked = frame("hf_models", *rows), frame("hf_probes", *probes)
    return identity.gone_models(models, asked, {}, ["hub_archive"])[1]


def test_gone() -> None:
    def on(model_id: str, *days: int) -> list[dict[str, object]]:
        return [seen(date(2025, 1, day), model_id=model_id) for day in days]

    rows = on("a/stays", 1, 8, 15) + on("a/twice", 1) + on("a/once", 8) + on("a/asked", 8) + on("a/lives", 1)
    missing = {"model_id": "a/asked", "status_code": 404, "observed_on": date(2025, 1, 9)}
    alive = {"model_id": "a/lives", "status_code": 200, "observed_on": date(2025, 1, 15)}
    assert gone_of(rows, missing, alive) == {"a/twice", "a/asked"}
    models, asked = frame("hf_models", *rows), frame("hf_probes", missing, alive)
    assert identity.gone_models(models, asked, {}, [])[1] == {"a/asked"}  # silence of a selection
    back = on("a/asked", 15)
    assert gone_of([*rows, *back], missing, alive) == {"a/twice"}  # returned
    assert gone_of(on("a/stays", 1, 15) + on("a/m", 1)) == {"a/m"}  # fourteen days
    assert gone_of(on("a/stays", 1, 14) + on("a/m", 1)) == set()


def test_a_gone_model_keeps_its_cumulative_and_loses_its_months() -> None:
    c = drawn(reading(date(2026, 3, 1), a=1000), reading(date(2026, 4, 28), a=1580, w=300))
    gone = a_model(is_gone=True, last_seen=date(2026, 4, 28))
    assert month_of(c, date(2026, 4, 1)).method == "window_30d"  # three days before the edge
    assert month_of(c, date(2026, 4, 1), gone).reason == "after_last_reading"
    assert month_of(c, date(2026, 3, 1), gone).value is not None
    assert downloads.cumulative(c, date(2026, 6, 1), gone, TODAY, SWITCHES) == 1580
    assert downloads.cumulative(c, date(2026, 6, 1), a_model(), TODAY, SWITCHES) is None
    on_edge = a_model(is_gone=True, last_seen=date(2026, 5, 1))
    last = drawn(reading(date(2026, 4, 1), a=1000), reading(date(2026, 5, 1), a=1580))
    assert month_of(last, date(2026, 4, 1), on_edge).value == 580


@pytest.mark.parametrize(("away", "value"), [(45, 60 * 31 / 45), (46, None)])
def test_a_returned_model_is_interpolated_if_the_gap_allows(away: int, value: float | None) -> None:
    left = date(2026, 4, 25)
    c = drawn(reading(left, 1000), reading(left + timedelta(days=away), 1060))
    may = month_of(c, date(2026, 5, 1))
    assert may.value == (None if value is None else pytest.approx(value))
    assert may.reason == (None if value is not None else "gap_too_wide")


# --------------------------------------------------------------------------------------- 3.8, spikes

MAY = date(2026, 5, 1)


def is_spike(value: int, near: dict[int, int], release: date | None = None) -> bool:
    """Whether May is one, given months (1 to 12) of the same year."""
    series = {date(2026, month, 1): other for month, other in near.items()} | {MAY: value}
    return MAY in downloads.spikes(series, release)


def test_spike() -> None:
    near = {2: 20_000, 4: 20_000, 8: 20_000}
    assert is_spike(100_001, near)
    assert not is_spike(100_000, near)  # five times the median is not more than it
    assert is_spike(100_000, dict.fromkeys(near, 19_999))
    assert not is_spike(99_999, dict.fromkeys(near, 1))
    assert not is_spike(900_000, {2: 20_000, 8: 20_000})  # two months beside it
    assert not is_spike(900_000, {1: 20_000, 9: 20_000, 4: 20_000})  # four months away
    assert is_spike(102_501, {2: 20_000, 3: 20_000, 4: 21_000, 6: 90_000})  # median 20 500
    assert not is_spike(102_500, {2: 20_000, 3: 20_000, 4: 21_000, 6: 90_000})


def test_a_release_is_no_spike_for_ninety_days() -> None:
    near = dict.fromkeys((4, 6, 7), 10)
    assert not is_spike(10**6, near, MAY - timedelta(days=90))
    assert is_spike(10**6, near, MAY - timedelta(days=91))
    assert is_spike(10**6, near, None)


def test_the_reason_of_an_anomaly_is_the_first_that_applies() -> None:
    edges = [(2, 0), (3, 100), (4, 200), (5, 300), (6, 900_300), (7, 900_400)]
    facts = {6: {"is_faulty": True}}
    months = Switches(first_month=date(2026, 2, 1))

    def reasons(*readings: Reading) -> dict[date, str]:
        found = downloads.by_model({"lab/m": a_model()}, {"lab/m": drawn(*readings)}, TODAY, months)
        return dict(found.filter("is_anomalous").select("month", "anomaly_reason").iter_rows())

    plain = [reading(date(2026, month, 1), a) for month, a in edges]
    assert reasons(*plain) == {MAY: "spike"}
    faulty = [reading(date(2026, month, 1), a, **facts.get(month, {})) for month, a in edges]
    assert reasons(*faulty) == {MAY: "hub_fault", date(2026, 6, 1): "hub_fault"}
    low = reading(date(2026, 5, 10), 250, 20, is_faulty=True)
    assert reasons(*faulty[:4], low, *faulty[4:]) == {MAY: "correction", date(2026, 6, 1): "hub_fault"}
    anew = [reading(date(2026, 5, 5), 310, hf_id="1"), reading(date(2026, 5, 15), 5, hf_id="2")]
    assert reasons(*faulty[:4], *anew, *faulty[4:])[MAY] == "reset"


def test_last_reading_of_a_month() -> None:
    c = drawn(reading(date(2026, 6, 1), 10), reading(date(2026, 7, 5), 20))
    table = downloads.by_model(
        {"lab/m": a_model()}, {"lab/m": c}, TODAY, Switches(first_month=date(2026, 4, 1))
    )
    assert table["last_reading_on"].to_list() == [
        None,
        *[date(2026, 6, 1)] * 2,
        *[date(2026, 7, 5)] * 2,
    ]
    assert table["observations"].to_list() == [0, 1, 1, 1, 0]


def test_a_repository_made_anew_was_born_with_its_first_creation() -> None:
    def read(day: int, created: date) -> dict[str, object]:
        return seen(date(2025, 1, day), created_at=datetime.combine(created, datetime.min.time()))

    first, again = date(2024, 1, 1), date(2025, 1, 10)
    rows = frame("hf_models", read(1, first), read(15, again))
    created = identity.created_days(rows, {}, SWITCHES)
    assert created == {"lab/m": again}
    assert identity.first_created_days(rows, {}, created) == {"lab/m": first}
    late = frame("hf_models", read(11, first), read(15, again))  # read first when it was there anew
    assert identity.first_created_days(late, {}, created) == {}
    model = a_model(created_on=again, first_created_on=first, release_date=again)
    assert (model.born_on, model.birth) == (first, first)
    assert a_model(release_date=again).birth == again
