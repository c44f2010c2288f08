"""Which archive fills a month, what happens when one does not answer, and how files are pulled at once."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

from atom_dagster.gathering import SILENCES, Gathered, Place, gather_hub
from atom_dagster.landing import Landing
from atom_dagster.settings import Archive
from atom_dagster.sources import BadAnswer, Unreachable, archive, archive_listing, http
from atom_dagster.sources.archive import Snapshot
from atom_dagster.worlds import open_world
from tests.unit._loopback import endpoints as fake_endpoints
from tests.unit._worlds import NOW, home, settings

WEEKLY, HISTORY, SERIES = "hub_weekly_snapshots", "hub-stats", "open_model_evolution_data"
NEXT_DAY = datetime(2026, 5, 21, 12, tzinfo=UTC)
DOWN = {"status": 500, "retry_after": 0}


def month(text: str) -> date:
    return date.fromisoformat(f"{text}-01")


class Gatherer:
    """Gathers months of the sample world into a landing of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.landing = Landing(folder / "landing")
        self.warnings: list[str] = []

    def __call__(self, *months: str, faults: list[dict[str, Any]] | None = None, **chosen: Any) -> Gathered:
        file = self.folder / "faults.json"
        file.write_text(json.dumps(faults or []))
        given = replace(settings(now=chosen.pop("now", NOW), faults=file), **chosen)
        with open_world(given) as found:
            gathered = gather_hub([month(text) for text in months], Place(self.landing, given), found)
        self.warnings = gathered.warnings
        return gathered

    def sources(self, gathered: Gathered) -> dict[str, list[str]]:
        """The archives that each month's pulls are of."""
        return {
            f"{first:%Y-%m}": sorted({pull.source for pull in pulls})
            for first, pulls in gathered.by_month.items()
        }


@pytest.fixture
def gather(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gatherer:
    assert home()
    monkeypatch.setattr(http.PATIENCE, "base", 0.0)
    monkeypatch.setattr(http.PATIENCE, "sleep", lambda _: None)
    return Gatherer(tmp_path)


def test_each_month_is_filled_by_the_first_archive_that_holds_it(gather: Gatherer) -> None:
    found = gather("2024-04", "2024-05", "2025-03", "2025-04")
    assert gather.sources(found) == {
        "2024-04": ["hub_archive"],
        "2024-05": ["hub_revisions"],
        "2025-03": ["hub_archive", "hub_series"],
        "2025-04": ["hub_series"],
    }
    assert not found.failed and not found.errors and not gather.warnings
    revisions = [str(archive.observed_on(pull)) for pull in found.by_month[month("2024-05")]]
    assert revisions == ["2024-05-01", "2024-05-08", "2024-05-15", "2024-05-22"]
    before = {pull.pull_id for pull in gather.landing.pulls()}
    gather("2024-04", "2024-05", "2025-03", "2025-04")
    assert {pull.pull_id for pull in gather.landing.pulls()} == before, "nothing is pulled twice"


def test_the_order_and_the_archives_are_those_of_the_settings(gather: Gatherer) -> None:
    only = ("hub_series", "hub_archive")
    found = gather("2024-05", "2025-03", "2025-08", archives=only)
    assert gather.sources(found) == {"2025-03": ["hub_series"], "2025-08": ["hub_archive"]}
    [why] = found.unobservable.values()
    assert why.startswith("No source of Hub readings can observe 2024-05: the live Hub knows only now,")
    assert "hub_archive holds 2023-11-01 to" in why


def test_the_first_archive_is_down_and_the_next_ones_fill_what_they_hold(gather: Gatherer) -> None:
    found = gather("2024-05", "2025-03", "2026-03", faults=[{"path": WEEKLY, **DOWN}])
    assert gather.sources(found) == {"2024-05": ["hub_revisions"], "2025-03": ["hub_series"]}
    assert list(found.failed) == [month("2026-03")]
    assert "The Hub's archive keeps answering with status 500" in found.failed[month("2026-03")]
    assert found.errors == [], "another archive answered"
    assert any("The Hub's archive keeps answering" in warning for warning in gather.warnings)


def test_every_archive_is_down(gather: Gatherer) -> None:
    found = gather("2024-05", "2025-03", faults=[{"path": "datasets", **DOWN}])
    assert set(found.failed) == {month("2024-05"), month("2025-03")}
    assert "The Hub's archive keeps answering" in found.errors[0]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_an_archive_that_is_gone_is_a_note(gather: Gatherer, status: int) -> None:
    found = gather("2024-05", "2025-04", "2026-03", faults=[{"path": HISTORY, "status": status}])
    assert gather.sources(found) == {"2025-04": ["hub_series"], "2026-03": ["hub_archive"]}
    assert not found.failed and not found.errors
    assert list(found.unobservable) == [month("2024-05")]
    [note] = gather.warnings
    assert f"status {status}" in note and HISTORY in note


def test_no_archive_lets_us_in(gather: Gatherer) -> None:
    found = gather("2024-05", faults=[{"path": "datasets", "status": 401}])
    assert "refused" in found.failed[month("2024-05")]
    assert len(found.errors) == 1


def test_a_file_that_fails_is_a_warning_when_the_next_archive_fills_its_month(gather: Gatherer) -> None:
    bad = [{"path": "resolve/main/models/2025-0[37]-12|2025-07-16", "status": 404}]
    found = gather("2025-03", "2025-07", faults=bad)
    assert gather.sources(found) == {
        "2025-03": ["hub_archive", "hub_series"],
        "2025-07": ["hub_archive"],
    }, "what came is loaded, although a month is not whole"
    assert "2025-07-16" in found.failed[month("2025-07")]
    [warning] = gather.warnings
    assert warning.startswith("2025-03: It was filled by hub_series, since ")
    assert "models/2025-03-12/models.parquet" in found.notes[month("2025-03")]
    found = gather("2025-03", "2025-07")
    assert not found.failed and not found.notes


def test_what_is_loaded_depends_on_landing_alone(gather: Gatherer) -> None:
    gather("2025-03", "2025-04")
    series = gather.landing.pulls("hub_series")
    down = gather("2025-03", "2025-04", faults=[{"path": "datasets", **DOWN}])
    up = gather("2025-03", "2025-04")
    assert len(series) == 1
    assert down.by_month == up.by_month
    assert series[0] in up.by_month[month("2025-03")]


def _on(day: str) -> dict[str, Any]:
    """The first choice is asked for the month under way, too."""
    return {"now": datetime.fromisoformat(f"{day}T12:00:00+00:00"), "archives": ("hub_series",)}


def test_every_series_that_landed_is_loaded(gather: Gatherer) -> None:
    gather("2025-04", **_on("2025-04-12"))
    [first] = gather.landing.pulls("hub_series")
    gather("2025-04", faults=[{"path": f"{SERIES}/resolve", "corrupt": ["half_rows"]}], **_on("2025-05-02"))
    found = gather("2025-04")
    series = [pull for pull in found.by_month[month("2025-04")] if pull.source == "hub_series"]
    assert first in series and len(series) == 2
    assert series == gather.landing.pulls("hub_series")


def test_a_series_that_has_grown_is_pulled_again_only_for_days_that_are_wanted(gather: Gatherer) -> None:
    def days_held() -> list[str]:
        return sorted(max(pull.facts["days"]) for pull in gather.landing.pulls("hub_series"))

    gather("2025-04", **_on("2025-04-12"))
    assert days_held() == ["2025-04-09"]
    gather("2025-04", **_on("2025-04-13"))
    assert days_held() == ["2025-04-09"], "it is as it was"
    gather("2025-04", **_on("2025-04-27"))
    assert days_held() == ["2025-04-09", "2025-04-23"]
    gather("2025-04", **_on("2025-05-20"))
    assert days_held() == ["2025-04-09", "2025-04-23"], "it has grown beyond the month"
    found = gather("2025-04", "2025-05", **_on("2025-05-20"))
    assert days_held() == ["2025-04-09", "2025-04-23", "2025-05-14"]
    assert set(found.by_month) == {month("2025-04"), month("2025-05")}


def test_a_failed_live_crawl_keeps_no_landed_snapshot_from_loading(gather: Gatherer) -> None:
    gather("2026-05")
    found = gather("2026-05", faults=[{"path": "^/hub/api/models", **DOWN}], now=NEXT_DAY)
    assert "The Hub keeps answering" in found.failed[month("2026-05")]
    assert gather.sources(found) == {"2026-05": ["hub_archive", "hub_live"]}


def test_one_unreadable_manifest_is_told_and_costs_no_other_month(gather: Gatherer) -> None:
    first = gather("2025-07", "2025-08")
    bad = first.by_month[month("2025-07")][0]
    (bad.path / "manifest.json").write_text("{")
    gather.landing = Landing(gather.landing.root)
    found = gather("2025-07", "2025-08")
    assert not found.failed
    [error] = found.errors
    assert error.startswith(bad.pull_id) and list(found.unreadable) == [bad.pull_id]
    assert len(found.by_month[month("2025-08")]) == len(first.by_month[month("2025-08")])
    assert len(found.by_month[month("2025-07")]) == len(first.by_month[month("2025-07")]), "pulled again"


def test_a_refused_shrink_is_no_less_refused_when_another_archive_fills_the_month(gather: Gatherer) -> None:
    found = gather("2025-03", faults=spoilt("2025-03-12"))
    assert "--accept-shrink 2025-03-12" in found.failed[month("2025-03")]
    assert gather.sources(found) == {"2025-03": ["hub_archive", "hub_series"]}


def test_a_shrink_that_was_accepted_in_vain_is_told(gather: Gatherer) -> None:
    days = frozenset({date(2025, 7, 16), date(2025, 7, 17)})
    gather("2025-07", accepted_shrinks=days)
    assert [warning.partition(" changed")[0] for warning in gather.warnings] == [
        "--accept-shrink 2025-07-16",
        "--accept-shrink 2025-07-17",
    ]
    gather("2026-03", faults=spoilt("2026-03-11"), accepted_shrinks=frozenset({date(2026, 3, 11)}))
    assert gather.warnings == []


def test_two_archives_that_read_one_day_are_both_kept(gather: Gatherer) -> None:
    first = gather("2024-06", archives=("hub_revisions",), archive_days=1)
    assert len(first.by_month[month("2024-06")]) == 10
    second = gather("2024-06", archives=("hub_archive", "hub_revisions"))
    days = [(pull.source, str(archive.observed_on(pull))) for pull in second.by_month[month("2024-06")]]
    assert {("hub_archive", "2024-06-05"), ("hub_revisions", "2024-06-05")} <= set(days)


def test_a_month_before_an_archive_began_is_not_asked_of_it(
    gather: Gatherer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    listing = archive_listing.snapshots

    def noted(found: Any, source: Archive, **options: Any) -> list[Snapshot]:
        asked.append(source.name)
        return listing(found, source, **options)

    monkeypatch.setattr(archive_listing, "snapshots", noted)
    gather("2024-05", archives=("hub_series", "hub_archive", "hub_revisions"))
    assert asked == ["hub_archive", "hub_revisions"]


def spoilt(day: str) -> list[dict[str, Any]]:
    """A quarter of a day's rows; the listing says no size, so that only the rows are wrong."""
    return [
        {"path": f"{WEEKLY}/tree", "replace": {'"size":': '"was":'}},
        {"path": f"resolve/main/models/{day}", "corrupt": ["half_rows", "half_rows"]},
    ]


@pytest.mark.parametrize("workers", [1, 4])
def test_a_shrunken_snapshot_is_measured_by_the_last_readable_one_before_it(
    gather: Gatherer, workers: int
) -> None:
    faults = [*spoilt("2026-03-11"), *spoilt("2026-03-18")[1:]]
    found = gather("2026-03", faults=faults, pull_workers=workers)
    [why] = found.failed.values()
    assert "--accept-shrink 2026-03-11" in why
    landed = [pull.scope for pull in gather.landing.pulls("hub_archive")]
    assert landed and sorted(landed) == ["2026-03-04", "2026-03-25"]
    accepted = frozenset({date(2026, 3, 11)})
    found = gather("2026-03", faults=faults, accepted_shrinks=accepted, pull_workers=workers)
    # Against the accepted one, the next is no smaller.
    assert not found.failed
    facts = {pull.scope: pull.facts for pull in found.by_month[month("2026-03")]}
    assert facts["2026-03-11"]["shrink_accepted_from_rows"] == facts["2026-03-04"]["rows"]
    assert "shrink_accepted_from_rows" not in facts["2026-03-18"]


def test_a_month_filled_first_refuses_what_the_whole_range_would(gather: Gatherer) -> None:
    day = "2026-03-04"
    with open_world(settings()) as found:
        [weekly] = [source for source in found.archives if source.name == "hub_archive"]
        [size] = [one.size for one in archive_listing.snapshots(found, weekly) if one.scope == day]
    # That one's size alone is not listed: only its rows are wrong.
    hidden = {"path": f"{WEEKLY}/tree", "replace": {f'"size":{size}': '"was":0'}}
    found = gather("2026-03", faults=[hidden, spoilt(day)[1]])
    assert f"--accept-shrink {day}" in found.failed[month("2026-03")]
    assert day not in {pull.scope for pull in gather.landing.pulls("hub_archive")}
    assert "2026-02-25" not in {pull.scope for pull in gather.landing.pulls("hub_archive")}


def test_a_snapshot_of_the_last_week_before_a_month_fails_for_that_month(
    pulling: Callable[..., Gathered],
) -> None:
    def fake(snapshot: Snapshot) -> None:
        if snapshot.folder_date == date(2026, 2, 27):
            raise BadAnswer("It is torn; run again.")

    found = pulling(fake, 2, days=[date(2026, 2, 27), date(2026, 3, 6)])
    assert found.failed == {month("2026-03"): "It is torn; run again."}


Fake = Callable[..., Any]
"""Called with a snapshot and, if it takes one, the patience it would be pulled with."""


TWELVE_DAYS = [date(2026, 3, day) for day in range(1, 13)]


@pytest.fixture
def pulling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Gathered]:
    """Gathers a month of twelve snapshots with a pull of the test's own."""

    def run(fake: Fake, workers: int, days: Sequence[date] = TWELVE_DAYS) -> Gathered:
        snapshots = [Snapshot(day, f"models/{day}", 1) for day in days]
        monkeypatch.setattr(archive_listing, "snapshots", lambda *_, **__: snapshots)
        takes = signature(fake).parameters
        monkeypatch.setattr(
            archive,
            "pull",
            lambda _, __, snapshot, **options: fake(snapshot, *(options[n] for n in takes if n in options)),
        )
        given = replace(settings(now=datetime(2026, 5, 1, tzinfo=UTC)), pull_workers=workers)
        place = Place(Landing(tmp_path / "landing"), given)
        return gather_hub([month("2026-03")], place, fake_endpoints("http://127.0.0.1:1"))

    return run


@pytest.mark.parametrize("workers", [1, 4])
def test_so_many_files_are_pulled_at_once(pulling: Callable[..., Gathered], workers: int) -> None:
    lock, together = threading.Lock(), threading.Barrier(workers)
    now, most = 0, 0

    def fake(_: Snapshot) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        together.wait(timeout=10)  # all of them are here, or this breaks
        with lock:
            now -= 1

    pulling(fake, workers)
    assert most == workers


@pytest.mark.parametrize("workers", [1, 4])
def test_who_does_not_answer_is_not_asked_for_every_file(
    pulling: Callable[..., Gathered], workers: int
) -> None:
    asked: list[Snapshot] = []

    def fake(snapshot: Snapshot) -> None:
        asked.append(snapshot)
        raise Unreachable("Nobody answers; run again later.")

    found = pulling(fake, workers)
    assert found.failed == {month("2026-03"): "Nobody answers; run again later."}
    assert SILENCES <= len(asked) <= SILENCES + workers - 1


def test_a_fault_of_our_own_is_not_taken_for_the_sources(pulling: Callable[..., Gathered]) -> None:
    def fake(_: Snapshot) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        pulling(fake, 4)


def test_an_interrupt_ends_the_waits_of_what_has_begun(
    pulling: Callable[..., Gathered], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One file of two fails as Ctrl-C does, while the other waits for its quota."""
    is_waiting, waits = threading.Event(), []

    def sleep(seconds: float) -> None:
        is_waiting.set()
        waits.append(seconds)
        time.sleep(0.01)

    def fake(snapshot: Snapshot, patience: http.Patience) -> None:
        if snapshot.folder_date == date(2026, 3, 1):
            patience.sleep(3600.0)
        is_waiting.wait(10)
        raise KeyboardInterrupt

    monkeypatch.setattr(http.PATIENCE, "sleep", sleep)
    with pytest.raises(KeyboardInterrupt):
        pulling(fake, 2)
    assert sum(waits) < 1800
