"""A build that a load overtakes, and the build that is asked for in its place.

Belongs here: whether a run may leave publication to a later one, and which run that was not yet made
good. Does not belong here: telling that marts are not of what is loaded (``inputs``), or refusing to
publish them (``assets.publish``).

A build computes from what is loaded when it begins. When more is loaded before it publishes, its marts
are of neither state and are not let out. The next build is right again, but none is sure to come by
itself: the load may be of somebody who builds nothing, or of an ingest that is canceled. So a build that
a sensor asked for ends well, marked by a tag, only where the sensor ``build_again`` is on: that one asks
for another until one of them was in time. Everybody else is told, and decides.
"""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg

# Dagster does not export how sensors mark the runs they ask for, nor what kinds of them it remembers.
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.storage.tags import SENSOR_NAME_TAG

SENSOR = "build_again"
TAG = "atom/overtaken"
"""Marks a run that has left publication to the next one."""
TRIED_TAG = "atom/builds_tried"
"""How many builds in a row, a run included, were asked for since one was overtaken."""
BUILDS_TRIED = 3
"""Builds in a row that may be overtaken by others' loads."""

SENTENCE = (
    "More was loaded while this build ran, so that its marts are of no state of what is loaded. Nothing was"
    f" published; the sensor {SENSOR} asks for another build."
)

_REMEMBERED_RUNS = 20


@dataclass(frozen=True)
class Overtaken:
    """A build that is to be made good: its run, and how many were tried in a row until then."""

    run_id: str
    tried: int


def may_give_way(run: dg.DagsterRun, instance: dg.DagsterInstance) -> bool:
    """Whether a build that was overtaken is sure to be followed by another."""
    return SENSOR_NAME_TAG in run.tags and _tried(run) < BUILDS_TRIED and not _is_turned_off(instance)


def give_way(run: dg.DagsterRun, instance: dg.DagsterInstance) -> None:
    """Mark a run that publishes nothing, for the sensor to see when it has ended."""
    instance.add_run_tags(run.run_id, {TAG: "true"})


def unsettled(instance: dg.DagsterInstance, job: str) -> Overtaken | None:
    """The build that gave way last, unless one has begun since, or waits to begin."""
    records = instance.get_run_records(dg.RunsFilter(job_name=job), limit=_REMEMBERED_RUNS)
    gave_way = [record for record in records if TAG in record.dagster_run.tags and record.end_time]
    if not gave_way:
        return None
    last = max(gave_way, key=lambda record: record.end_time or 0.0)
    for record in records:
        is_waiting = record.start_time is None and not record.dagster_run.is_finished
        if is_waiting or (record.start_time or 0.0) >= (last.end_time or 0.0):
            return None
    return Overtaken(last.dagster_run.run_id, _tried(last.dagster_run))


def _tried(run: dg.DagsterRun) -> int:
    return int(run.tags.get(TRIED_TAG, "1"))


def _is_turned_off(instance: dg.DagsterInstance) -> bool:
    """Whether somebody has turned the sensor off; it is on by itself."""
    states = instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
    return any(state.instigator_name == SENSOR and not state.is_running for state in states)
