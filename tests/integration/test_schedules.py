"""The schedules' ticks over a year in which the machine was off and runs failed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import duckdb
import pytest

# Dagster offers no other way to learn when a schedule ticks, and what its daemon knows of it.
from dagster._core.remote_representation.external_data import ScheduleSnap
from dagster._core.utils import make_new_run_id
from dagster._utils.schedules import schedule_execution_time_iterator

from atom_dagster import freshness, history, schedules
from atom_dagster.definitions import build_defs
from atom_dagster.partitions import month_of, months_between, next_month
from atom_dagster.settings import SCHEDULES, Settings
from atom_dagster.warehouse import create_raw

FIRST, LAST = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
INGESTING = ("observe_daily", "close_month", "catch_up_archive")


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


OUTAGES = [
    (_at("2026-02-10T00:00"), _at("2026-02-11T00:00")),  # a day
    (_at("2026-03-09T02:00"), _at("2026-03-16T18:00")),  # a week
    (_at("2026-04-30T12:00"), _at("2026-05-02T03:00")),  # over the 1st
    (_at("2026-06-20T06:00"), _at("2026-08-20T10:00")),  # two months
    (_at("2026-09-30T23:00"), _at("2026-10-09T23:00")),  # over every tick that closes a month
]
FAILING = {date(2026, 2, 1), date(2026, 3, 20), date(2026, 12, 1), date(2026, 12, 2)}
"""Days on which every run fails."""


@dataclass(frozen=True)
class Run:
    schedule: str
    scheduled: datetime
    at: datetime
    """When the tick was evaluated, and the run made."""
    months: list[date]
    is_good: bool


@dataclass
class Year:
    """A machine with some schedules turned on, as Dagster's daemon would treat it."""

    instance: dg.DagsterInstance
    turned_on: tuple[str, ...]
    runs: list[Run] = field(default_factory=list)
    skipped: list[tuple[str, datetime]] = field(default_factory=list)

    def live(self) -> None:
        found = {schedule.name: schedule for schedule in schedules.schedules(self.turned_on)}
        waiting: dict[str, datetime] = {}
        moments = sorted(
            [(moment, name) for name in self.turned_on for moment in _ticks(found[name])]
            + [(end, "") for _, end in OUTAGES]
        )
        for moment, name in moments:
            if not name:  # the machine is back: the newest missed tick of each schedule, no other
                for late, scheduled in sorted(waiting.items(), key=lambda item: item[1]):
                    self._tick(found[late], scheduled, moment)
                waiting.clear()
            elif any(start <= moment < end for start, end in OUTAGES):
                waiting[name] = moment
            else:
                self._tick(found[name], moment, moment)

    def _tick(self, schedule: dg.ScheduleDefinition, scheduled: datetime, at: datetime) -> None:
        with dg.build_schedule_context(self.instance, scheduled_execution_time=scheduled) as context:
            context._instance = self.instance  # else Dagster opens it anew for every tick
            requests = schedule.evaluate_tick(context).run_requests or []
        if not requests:
            self.skipped.append((schedule.name, scheduled))
        keys = [request.run_key for request in requests]
        assert len(keys) == len(set(keys)), "Dagster would make one run of two"
        for request in requests:
            tags = {**request.tags, ".dagster/scheduled_execution_time": scheduled.isoformat()}
            is_good = at.date() not in FAILING
            _record(self.instance, tags, "SUCCESS" if is_good else "FAILURE")
            first, last = (date.fromisoformat(tags[t]) for t in (history.RANGE_START, history.RANGE_END))
            self.runs.append(Run(schedule.name, scheduled, at, months_between(first, last), is_good))

    def is_open(self, month: date, before: Run) -> bool:
        """Whether nothing had asked for the month with success, between its end and a run."""
        return not any(
            month in run.months and run.is_good and run.scheduled.date() >= next_month(month)
            for run in self.runs[: self.runs.index(before)]
            if run.scheduled != before.scheduled or run.schedule != before.schedule
        )


def _ticks(schedule: dg.ScheduleDefinition) -> Iterator[datetime]:
    for moment in schedule_execution_time_iterator(
        FIRST.timestamp(), schedule.cron_schedule, "UTC", ascending=True
    ):
        if moment >= LAST:
            return
        yield moment


def _record(instance: dg.DagsterInstance, tags: dict[str, str], status: str, job: str = "ingest") -> None:
    instance.add_run(dg.DagsterRun(job, make_new_run_id(), status=dg.DagsterRunStatus(status), tags=tags))


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as found:
        yield found


@pytest.mark.parametrize(
    "turned_on",
    [INGESTING, *((name,) for name in INGESTING)],
    ids=lambda names: "all" if names == INGESTING else names[0],
)
def test_a_year_with_outages(instance: dg.DagsterInstance, turned_on: tuple[str, ...]):
    year = Year(instance, turned_on)
    year.live()

    ended = months_between(date(2025, 12, 1), date(2026, 11, 1))
    for month in ended:
        end = datetime.combine(next_month(month), datetime.min.time(), UTC)
        chances = [run for run in year.runs if run.scheduled >= end and run.is_good]
        # Whatever was missed or failed: the first tick after its end whose runs went well asked for it.
        first = [run for run in chances if run.scheduled == chances[0].scheduled]
        assert any(month in run.months for run in first), (month, first)

    for run in year.runs:
        present = month_of(run.scheduled.date())
        before = month_of(present - timedelta(days=1))
        assert max(run.months) <= present
        own = {
            "observe_daily": {before, present},
            "close_month": set(),
            "catch_up_archive": set(months_between(present - timedelta(days=31 * 6), before)),
        }[run.schedule]
        assert all(month in own or year.is_open(month, run) for month in run.months), run
    if "close_month" in turned_on:
        # On the days after the 1st a closed month is left in peace.
        asked = sum(run.schedule == "close_month" for run in year.runs)
        assert 0 < asked < len([name for name, _ in year.skipped if name == "close_month"])

    # Every day without a reading is reported, no other: the days of the outages and of the failures.
    if "observe_daily" not in turned_on:
        return
    read = {run.at.date() for run in year.runs if run.is_good and month_of(run.at.date()) in run.months}
    with duckdb.connect() as connection:
        create_raw(connection)
        connection.executemany(
            "insert into raw.hf_models (source, model_id, observed_on, pull_id)"
            " values ('hub_live', 'a/x', ?, 'p')",
            [[day] for day in sorted(read)],
        )
        result = freshness.no_hole(connection, instance, _settings(LAST.date()))
    off = [
        *(_days("2026-02-01", "2026-02-01") + _days("2026-02-10", "2026-02-10")),
        *(_days("2026-03-09", "2026-03-15") + _days("2026-03-20", "2026-03-20")),
        *(_days("2026-05-01", "2026-05-01") + _days("2026-06-21", "2026-08-19")),
        *(_days("2026-10-01", "2026-10-08") + _days("2026-12-01", "2026-12-02")),
    ]
    assert result.metadata["missed_days"].value == [day.isoformat() for day in off]
    assert not result.passed
    assert result.severity == dg.AssetCheckSeverity.WARN
    # A hole fails the check for 45 days, and is told ever after.
    assert (result.description or "") == (
        "No live reading was taken on 2 of the 45 days since 2026-11-17: 2026-12-01 … 2026-12-02. They are"
        " gone for good. Before that, 79 days went unread: see missed_days."
    )


def _days(first: str, last: str) -> list[date]:
    start, end = date.fromisoformat(first), date.fromisoformat(last)
    return [start + timedelta(days=n) for n in range((end - start).days + 1)]


def _range(first: str, last: str, scheduled: str | None = None) -> dict[str, str]:
    tags = {history.RANGE_START: first, history.RANGE_END: last}
    if scheduled:
        tags |= {
            history.SCHEDULE: "observe_daily",
            ".dagster/scheduled_execution_time": f"{scheduled}T05:00:00+00:00",
        }
    return tags


def _asked(instance: dg.DagsterInstance, name: str, at: str) -> list[tuple[str, str]]:
    [schedule] = [schedule for schedule in schedules.schedules(()) if schedule.name == name]
    with dg.build_schedule_context(instance, scheduled_execution_time=_at(at)) as context:
        return [
            (request.tags[history.RANGE_START][:7], request.tags[history.RANGE_END][:7])
            for request in schedule.evaluate_tick(context).run_requests or []
        ]


def test_without_history_a_schedule_asks_for_its_own_months(instance: dg.DagsterInstance):
    assert _asked(instance, "observe_daily", "2026-11-12T05:00") == [("2026-10", "2026-11")]
    assert _asked(instance, "observe_daily", "2027-01-01T05:00") == [("2026-12", "2027-01")]
    assert _asked(instance, "close_month", "2027-01-01T07:00") == [("2026-12", "2026-12")]
    assert _asked(instance, "catch_up_archive", "2026-11-12T06:00") == [("2026-05", "2026-10")]
    assert _asked(instance, "catch_up_archive", "2024-01-04T06:00") == [("2023-11", "2023-12")]


@pytest.mark.parametrize(("status", "asks"), [("STARTING", False), ("STARTED", False), ("CANCELED", True)])
def test_what_is_under_way_is_not_asked_for_again(instance: dg.DagsterInstance, status: str, asks: bool):
    _record(instance, _range("2026-10-01", "2026-11-01", "2026-11-01"), status)
    assert bool(_asked(instance, "close_month", "2026-11-01T07:00")) == asks


def test_a_run_before_the_end_of_a_month_does_not_close_it(instance: dg.DagsterInstance):
    _record(instance, _range("2026-09-01", "2026-10-01", "2026-10-31"), "SUCCESS")
    assert _asked(instance, "close_month", "2026-11-01T07:00") == [("2026-10", "2026-10")]


def test_months_between_two_holes_are_not_asked_for(instance: dg.DagsterInstance):
    _record(instance, _range("2026-07-01", "2026-08-01", "2026-08-01"), "FAILURE")
    _record(instance, _range("2026-08-01", "2026-09-01", "2026-09-05"), "SUCCESS")
    assert _asked(instance, "close_month", "2026-10-01T07:00") == [
        ("2026-07", "2026-07"),
        ("2026-09", "2026-09"),
    ]


@pytest.mark.parametrize(
    ("missed", "asked"),
    [
        # One that fails for good is asked for alone, day after day; the others are closed.
        ({"hub": ["2026-07-01"], "openrouter": []}, [("2026-07", "2026-07")]),
        (
            {"hub": ["2026-07-01"], "openrouter": ["2026-09-01"]},
            [("2026-07", "2026-07"), ("2026-09", "2026-09")],
        ),
        ({"hub": None, "openrouter": []}, [("2026-07", "2026-09")]),
        # A step that did not come to its end.
        ({"hub": ["2026-07-01"]}, [("2026-07", "2026-09")]),
    ],
)
def test_a_month_that_fails_leaves_its_neighbours_closed(
    instance: dg.DagsterInstance, missed: dict[str, list[str] | None], asked: list[tuple[str, str]]
):
    _record(instance, _range("2026-07-01", "2026-10-01", "2026-10-05"), "FAILURE")
    [record] = instance.get_run_records()
    for scope, days in missed.items():
        given = None if days is None else [date.fromisoformat(day) for day in days]
        history.tell(instance, record.dagster_run.run_id, scope, given)
    assert _asked(instance, "close_month", "2026-10-06T07:00") == asked


def test_a_run_of_the_command_line_closes_months_too(instance: dg.DagsterInstance):
    today = datetime.now(UTC).date()
    _record(instance, _range("2023-11-01", month_of(today).isoformat()), "SUCCESS")
    assert _asked(instance, "close_month", f"{next_month(today)}T07:00") == [
        (f"{today:%Y-%m}", f"{today:%Y-%m}")
    ]
    # Other jobs say nothing of what was asked.
    _record(instance, _range("2026-01-01", "2026-02-01"), "SUCCESS", job="build_and_publish")
    assert len(history.asked(instance, "ingest")) == 1


def _settings(today: date, world: str = "sample") -> Settings:
    now = datetime.combine(today, datetime.min.time(), UTC)
    return Settings(world, Path("/nowhere"), seed=1, fixed_now=now, hub_scope="all", faults=None)


def test_a_day_is_missed_only_since_days_are_observed(instance: dg.DagsterInstance):
    today = _settings(date(2026, 11, 12))
    with duckdb.connect() as connection:
        create_raw(connection)
        assert freshness.no_hole(connection, instance, today).passed
        _record(instance, _range("2026-10-01", "2026-11-01", "2026-11-10"), "FAILURE")
        found = freshness.no_hole(connection, instance, today)
        assert found.metadata["missed_days"].value == ["2026-11-10", "2026-11-11"]
        connection.execute(
            "insert into raw.hf_models (source, model_id, observed_on, pull_id) values"
            " ('hub_live', 'a/x', '2026-11-10', 'p'), ('hub_archive', 'a/x', '2026-11-11', 'p')"
        )
        found = freshness.no_hole(connection, instance, today)
        assert found.metadata["missed_days"].value == ["2026-11-11"]
        assert not found.passed


def test_a_hole_fails_the_check_for_as_long_as_a_gap_may_be_wide(instance: dg.DagsterInstance):
    _record(instance, _range("2026-08-01", "2026-09-01", "2026-09-20"), "SUCCESS")
    with duckdb.connect() as connection:
        create_raw(connection)
        connection.execute(
            "insert into raw.hf_models (source, model_id, observed_on, pull_id)"
            " select 'hub_live', 'a/x', day::date, 'p'"
            " from range(date '2026-09-20', date '2026-11-20', interval 1 day) as r (day)"
            " where day != date '2026-09-27'"
        )
        hole = date(2026, 9, 27)
        for days, passes in ((0, True), (1, False), (45, False), (46, True)):
            found = freshness.no_hole(connection, instance, _settings(hole + timedelta(days=days)))
            assert found.passed == passes, days
            assert found.metadata["missed_days"].value == (["2026-09-27"] if days else [])
        assert found.description == (
            "The live Hub was read on every day since 2026-09-28."
            " Before that, 1 day went unread: see missed_days."
        )


def test_where_no_hub_is_live_no_day_is_missed(instance: dg.DagsterInstance):
    _record(instance, _range("2026-10-01", "2026-11-01", "2026-11-01"), "SUCCESS")
    with duckdb.connect() as connection:
        create_raw(connection)
        assert not freshness.no_hole(connection, instance, _settings(date(2026, 11, 12))).passed
        found = freshness.no_hole(connection, instance, _settings(date(2026, 11, 12), "recorded:/r"))
        assert found.passed
        assert found.description == "This world has no live Hub: no day of it can be missed."


def test_the_names_that_turn_schedules_on_are_theirs():
    assert [schedule.name for schedule in schedules.schedules(())] == list(SCHEDULES)
    statuses = {s.name: s.default_status.value for s in schedules.schedules({"close_month"})}
    assert [name for name, status in statuses.items() if status == "RUNNING"] == ["close_month"]


def test_the_environment_turns_schedules_on(monkeypatch: pytest.MonkeyPatch):
    def running() -> set[str]:
        repository = build_defs().get_repository_def()
        return {s.name for s in repository.schedule_defs if s.default_status.value == "RUNNING"}

    assert running() == set()
    monkeypatch.setenv("ATOM_SCHEDULES", "all")
    assert running() == set(SCHEDULES)


def test_dagster_evaluates_only_the_newest_missed_tick():
    """What the year above takes for granted: only schedules with a partition set are caught up in full."""
    repository = build_defs().get_repository_def()
    for schedule in repository.schedule_defs:
        assert ScheduleSnap.from_def(schedule, repository).partition_set_name is None
