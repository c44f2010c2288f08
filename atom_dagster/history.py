"""What the schedules have asked for, as the instance's runs tell it.

Belongs here: which months still have to be asked for, and since when days have been observed. Does
not belong here: when anything is asked for (``schedules``), or what came of it (``freshness``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal, get_args

import dagster as dg

from atom_dagster.partitions import month_of, months_between, next_month

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
SCHEDULE = "dagster/schedule_name"
_SCHEDULED_FOR = ".dagster/scheduled_execution_time"
_MISSED = "atom/missed_months."
_MISSED_ALL = "all"
Scope = Literal["hub", "openrouter"]
"""A step of an ingest that asks for all its months."""
SCOPES: tuple[Scope, ...] = get_args(Scope)

_HOLDS = frozenset(
    {
        dg.DagsterRunStatus.SUCCESS,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.QUEUED,
    }
)
"""Ended well, or still may."""

REMEMBERED_RUNS = 100
"""So many of the newest ingests are looked at. That is enough, however old a hole is: every scheduled ingest
asks for all months that were open, so the newest ones name them."""


@dataclass(frozen=True)
class Asked:
    """One ingest: the months it asked for, on which UTC day, and which of them went well or still may."""

    months: Sequence[date]
    on: date
    done: Collection[date]
    is_scheduled: bool


def tell(instance: dg.DagsterInstance, run_id: str, scope: Scope, missed: Collection[date] | None) -> None:
    """Mark a run with the months that one of its steps missed; None: they cannot be told, so all."""
    said = _MISSED_ALL if missed is None else " ".join(month.isoformat() for month in sorted(missed))
    instance.add_run_tags(run_id, {_MISSED + scope: said})


def _done(months: Sequence[date], run: dg.DagsterRun) -> Collection[date]:
    """The months of a run that need not be asked for again: one that fails costs its neighbours nothing."""
    if run.status in _HOLDS:
        return months
    said: Mapping[str, str] = {scope: run.tags.get(_MISSED + scope, _MISSED_ALL) for scope in SCOPES}
    if _MISSED_ALL in said.values():
        return ()
    missed = {day for days in said.values() for day in days.split()}
    return [month for month in months if month.isoformat() not in missed]


def asked(instance: dg.DagsterInstance, job: str) -> list[Asked]:
    """The newest ingests of months, by schedule, command line or hand."""
    found = []
    for record in instance.get_run_records(dg.RunsFilter(job_name=job), limit=REMEMBERED_RUNS):
        tags = record.dagster_run.tags
        if RANGE_START in tags and RANGE_END in tags:
            first, last = (date.fromisoformat(tags[edge]) for edge in (RANGE_START, RANGE_END))
            months = months_between(first, last)
            done = _done(months, record.dagster_run)
            found.append(Asked(months, _day_of(record), done, SCHEDULE in tags))
    return found


def first_day_of(instance: dg.DagsterInstance, schedule: str) -> date | None:
    """The UTC day of the first run that this schedule asked for; None when there was none."""
    records = instance.get_run_records(dg.RunsFilter(tags={SCHEDULE: schedule}), limit=1, ascending=True)
    return _day_of(records[0]) if records else None


def _day_of(record: dg.RunRecord) -> date:
    """The day a run was meant for: a tick that was caught up counts for the day it was missed on."""
    scheduled = record.dagster_run.tags.get(_SCHEDULED_FOR)
    moment = datetime.fromisoformat(scheduled) if scheduled else record.create_timestamp
    return moment.astimezone(UTC).date()


def open_months(ingests: Iterable[Asked], today: date) -> list[date]:
    """The ended months that no ingest has asked for, with success or still under way, since they ended.

    They begin after the last month that was asked for so, or with the first that a schedule ever asked for,
    whichever is earlier; without any history only the month that ended last is open. What lies before is
    the business of `atom run`, which asks for everything.
    """
    ended = month_of(month_of(today) - timedelta(days=1))
    closed: set[date] = set()
    starts = [ended]
    for ingest in ingests:
        closed.update(month for month in ingest.done if ingest.on >= next_month(month))
        if ingest.is_scheduled:
            starts.append(min(ingest.months))
    if closed:
        starts.append(next_month(max(closed)))
    return [month for month in months_between(min(starts), ended) if month not in closed]
