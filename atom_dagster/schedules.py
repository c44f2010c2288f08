"""Jobs and when they run.

Belongs here: which assets run together, and their schedules. Does not belong here: what the assets
do (``assets``), or what the instance's runs tell of earlier ticks (``history``).

Every schedule is off until it is turned on, in the UI or by ``ATOM_SCHEDULES``; nothing else has to be:
the sensors that build and publish after a scheduled ingest are always on. Of the ticks missed while the
machine was off, Dagster evaluates the newest of each schedule and drops the others. So every tick that
ingests asks not only for its own months, but for all that ended and were not asked for since.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import date, timedelta

import dagster as dg

from atom_dagster import history, overtaken
from atom_dagster.assets.raw import LIST_UNOBSERVABLE
from atom_dagster.freshness import freshness_checks
from atom_dagster.instance import recover
from atom_dagster.partitions import FIRST_MONTH, month_of, months_between, spans, unbroken

RAW = dg.AssetSelection.key_prefixes("raw")
_FRESHNESS = dg.AssetSelection.checks(freshness_checks)

LATE_MONTHS = 6
"""So many ended months are looked at weekly: snapshots were published weeks, at worst months, late."""

INGEST = dg.define_asset_job(
    "ingest",
    RAW - _FRESHNESS,
    description="Pull every source for the months of the run and load them into raw.",
)

BUILD = dg.define_asset_job(
    "build_and_publish",
    (dg.AssetSelection.all() - RAW) | _FRESHNESS,
    description="Build the marts with dbt, check them, and publish if every blocking rule holds.",
)

CHECK = dg.define_asset_job(
    "check",
    _FRESHNESS,
    description="See whether the newest complete month is there and no day went unobserved.",
)

Tick = Callable[[dg.ScheduleEvaluationContext], Iterator[dg.RunRequest | dg.SkipReason]]


def observe_daily(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Ask for the current month, and for the one before: snapshots come late, tokens are restated."""
    month = month_of(_day(context))
    yield from _requests({*_open_months(context), month_of(month - timedelta(days=1)), month})


def close_month(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Ask for the months that ended and that nobody has asked for since."""
    found = _open_months(context)
    if not found:
        yield dg.SkipReason("Every month that has ended was asked for after its end.")
    yield from _requests(found)


def catch_up_archive(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Ask again for the last months that ended, but not for the current one: that is a crawl of the Hub."""
    ended = month_of(_day(context)) - timedelta(days=1)
    reach = month_of(ended - timedelta(days=31 * (LATE_MONTHS - 1)))
    yield from _requests({*_open_months(context), *months_between(max(reach, FIRST_MONTH), ended)})


def check_freshness(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Evaluate what time alone can break."""
    del context
    yield dg.RunRequest()


_SCHEDULES: tuple[tuple[Tick, str, str, str], ...] = (
    (
        observe_daily,
        INGEST.name,
        "0 5 * * *",
        "Every day at 05:00 UTC: one more reading of this month, and what came late for the last.",
    ),
    (
        close_month,
        INGEST.name,
        "0 7 1-7 * *",
        "On the 1st at 07:00 UTC: close the month that has ended; up to the 7th if that has not worked yet.",
    ),
    (
        catch_up_archive,
        INGEST.name,
        "0 6 * * 4",
        f"Every Thursday at 06:00 UTC: what archives published late for the last {LATE_MONTHS} months.",
    ),
    (
        check_freshness,
        CHECK.name,
        "0 9 * * *",
        "Every day at 09:00 UTC: whether data is missing that should be there by now, also if nothing ran.",
    ),
)


def schedules(turned_on: Collection[str]) -> list[dg.ScheduleDefinition]:
    """Every schedule; those named are on until the UI turns them off."""
    return [
        dg.schedule(
            name=tick.__name__,
            job_name=job,
            cron_schedule=cron,
            execution_timezone="UTC",
            description=description,
            default_status=(
                dg.DefaultScheduleStatus.RUNNING
                if tick.__name__ in turned_on
                else dg.DefaultScheduleStatus.STOPPED
            ),
        )(tick)
        for tick, job, cron, description in _SCHEDULES
    ]


def _day(context: dg.ScheduleEvaluationContext) -> date:
    return context.scheduled_execution_time.date()


def _open_months(context: dg.ScheduleEvaluationContext) -> list[date]:
    """The ended months to be asked for; more than the newest one mean missed ticks or failed runs."""
    found = history.open_months(history.asked(context.instance, INGEST.name), _day(context))
    if found:
        context.log.info(f"Ended, and not asked for with success since: {spans(found)}.")
    return found


def _requests(months: Iterable[date]) -> Iterator[dg.RunRequest]:
    """One run for every unbroken run of months; those no source can observe (yet) are listed.

    Dagster takes a run for the one asked for only if its schedule, its scheduled instant and its key are
    equal: the key tells the runs of one tick apart, and never makes another tick skip.
    """
    for run in unbroken(sorted(months)):
        yield dg.RunRequest(
            run_key=f"{run[0]:%Y-%m}",
            tags={
                history.RANGE_START: run[0].isoformat(),
                history.RANGE_END: run[-1].isoformat(),
                **LIST_UNOBSERVABLE,
            },
        )


@dg.run_status_sensor(
    name="build_after_ingest",
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[INGEST],
    request_job=BUILD,
    default_status=dg.DefaultSensorStatus.RUNNING,
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
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="A source that fails stops nobody: what loaded is built and published.",
)
def build_after_failed_ingest(context: dg.RunStatusSensorContext) -> Iterator[dg.RunRequest]:
    """One build for each scheduled ingest in which something failed."""
    yield from _build_for(context)


def _build_for(context: dg.RunStatusSensorContext) -> Iterator[dg.RunRequest]:
    # The command line builds by itself after its ingest, and who materializes by hand decides by hand.
    if history.SCHEDULE in context.dagster_run.tags:
        yield dg.RunRequest(run_key=context.dagster_run.run_id)


@dg.sensor(
    name=overtaken.SENSOR,
    job=BUILD,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Builds again when a load came between a build that a sensor asked for and its publication.",
)
def build_again(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """One build in the place of the last one that was overtaken."""
    found = overtaken.unsettled(context.instance, BUILD.name)
    if found is None:
        return dg.SkipReason("No build waits for another.")
    return dg.RunRequest(run_key=found.run_id, tags={overtaken.TRIED_TAG: str(found.tried + 1)})


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


JOBS = [INGEST, BUILD, CHECK]
SENSORS = [build_after_ingest, build_after_failed_ingest, build_again, clear_killed_runs]

__all__ = ["BUILD", "CHECK", "INGEST", "JOBS", "SENSORS", "schedules"]
