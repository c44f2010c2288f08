"""Jobs and when they run.

Belongs here: which assets run together, and their schedules. Does not belong here: what the assets
do (``assets``).
"""

from collections.abc import Iterator
from datetime import date, timedelta

import dagster as dg

from atom_dagster.assets.raw import LIST_UNOBSERVABLE
from atom_dagster.instance import recover
from atom_dagster.partitions import month_of

RAW = dg.AssetSelection.key_prefixes("raw")

INGEST = dg.define_asset_job(
    "ingest",
    RAW,
    description="Pull every source for the months of the run and load them into raw.",
)

BUILD = dg.define_asset_job(
    "build_and_publish",
    dg.AssetSelection.all() - RAW,
    description="Build the marts with dbt, check them, and publish if every blocking rule holds.",
)


@dg.schedule(
    job=INGEST,
    cron_schedule="0 5 * * *",
    execution_timezone="UTC",
    description="Every day at 05:00 UTC: one more reading of this month, and what came late for the last.",
)
def observe_daily(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Ask for the current month, and for the one before: snapshots come late, tokens are restated."""
    day = context.scheduled_execution_time.date()
    before = month_of(month_of(day) - timedelta(days=1))
    return _range(f"observe-{day}", before, month_of(day))


@dg.schedule(
    job=INGEST,
    cron_schedule="0 7 1 * *",
    execution_timezone="UTC",
    description="On the 1st at 07:00 UTC: close the month that has ended.",
)
def close_month(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Ask for the month that ended."""
    today = context.scheduled_execution_time.date()
    closed = month_of(today - timedelta(days=1))
    return _range(f"close-{closed:%Y-%m}", closed, closed)


def _range(run_key: str, first: date, last: date) -> dg.RunRequest:
    """One run over these months; those no source can observe (yet) are listed."""
    return dg.RunRequest(
        run_key=run_key,
        tags={
            "dagster/asset_partition_range_start": first.isoformat(),
            "dagster/asset_partition_range_end": last.isoformat(),
            **LIST_UNOBSERVABLE,
        },
    )


@dg.run_status_sensor(
    name="build_after_ingest",
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[INGEST],
    request_job=BUILD,
    description="Build and publish after every scheduled ingest, also one in which a source failed.",
)
def build_after_ingest(context: dg.RunStatusSensorContext) -> Iterator[dg.RunRequest]:
    """One build for each scheduled ingest that ended well."""
    yield from _build_for(context)


@dg.run_status_sensor(
    name="build_after_failed_ingest",
    run_status=dg.DagsterRunStatus.FAILURE,
    monitored_jobs=[INGEST],
    request_job=BUILD,
    description="A source that fails stops nobody: what loaded is built and published.",
)
def build_after_failed_ingest(context: dg.RunStatusSensorContext) -> Iterator[dg.RunRequest]:
    """One build for each scheduled ingest in which something failed."""
    yield from _build_for(context)


def _build_for(context: dg.RunStatusSensorContext) -> Iterator[dg.RunRequest]:
    # The command line builds by itself after its ingest.
    if "dagster/schedule_name" in context.dagster_run.tags:
        yield dg.RunRequest(run_key=context.dagster_run.run_id)


@dg.sensor(
    name="clear_killed_runs",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Fails runs whose process was killed and frees their slot in the writer's pool.",
)
def clear_killed_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """What the command line does when it starts, for those who only use the daemon."""
    gone = recover(context.instance)
    return dg.SkipReason(f"{len(gone)} killed runs were cleared." if gone else "No run was killed.")


JOBS = [INGEST, BUILD]
SCHEDULES = [observe_daily, close_month]
SENSORS = [build_after_ingest, build_after_failed_ingest, clear_killed_runs]

__all__ = ["BUILD", "INGEST", "JOBS", "SCHEDULES", "SENSORS"]
