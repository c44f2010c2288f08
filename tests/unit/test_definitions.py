"""The shape of the graph as people see it: a change here is a change of the UI, and shows in review.

``definitions.txt`` beside this file holds every asset with its step and checks. After a change that is
meant: ``python -m tests.unit.test_definitions > tests/unit/definitions.txt``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import dagster as dg
import pytest

from atom_dagster import rules
from atom_dagster.definitions import build_defs
from atom_dagster.partitions import MONTHLY
from atom_dagster.settings import SCHEDULES

SNAPSHOT = Path(__file__).with_name("definitions.txt")


@cache
def definitions() -> dg.Definitions:
    return build_defs()


def graph() -> str:
    """A paragraph for each step: its name, its pool, its assets, and under each the checks on it."""
    found = definitions()
    checks: dict[dg.AssetKey, list[str]] = {}
    for node in found.resolve_asset_graph().asset_check_keys:
        spec = found.resolve_asset_graph().get_check_spec(node)
        checks.setdefault(node.asset_key, []).append(node.name + ("" if spec.blocking else "  (warns)"))
    lines = []
    for asset in sorted(found.resolve_asset_graph().assets_defs, key=lambda asset: sorted(asset.keys)):
        if not asset.keys:
            continue
        step = asset.op.name if asset.is_executable else "made by no step"
        pools = f" · pool {asset.op.pool}" if asset.is_executable else ""
        months = " · by month" if asset.partitions_def == MONTHLY else ""
        lines.append(f"{step}{pools}{months}")
        for key in sorted(asset.keys):
            lines.append(f"  {key.to_user_string()}")
            lines += [f"    {name}" for name in sorted(checks.get(key, []))]
    return "\n".join(lines) + "\n"


def test_assets_steps_and_checks_are_those_of_the_snapshot():
    assert graph() == SNAPSHOT.read_text(), f"if this is meant: python -m {__name__} > {SNAPSHOT}"


def test_every_asset_that_is_made_writes_through_the_one_pool():
    """Those that pull claim it for their load alone (``pool``), and queue in their source's."""
    pools = {
        asset.op.name: asset.op.pool
        for asset in definitions().resolve_asset_graph().assets_defs
        if asset.is_executable and asset.keys
    }
    pulling = {
        "hub": "hub",
        "openrouter_rankings": "openrouter",
        "openrouter_catalogue": "openrouter",
        "registry": "registry",
    }
    assert {name: pools[name] for name in pulling} == pulling
    assert {pool for name, pool in pools.items() if name not in pulling} == {"duckdb_writer"}


def test_only_dated_raw_tables_have_months():
    dated = {
        key.to_user_string()
        for asset in definitions().resolve_asset_graph().assets_defs
        if asset.partitions_def is not None
        for key in asset.keys
    }
    assert dated == {"raw/hf_models", "raw/hf_derivatives", "raw/hf_probes", "raw/openrouter_tokens"}


def test_jobs_divide_the_assets_and_run_in_one_process():
    graph = definitions().resolve_asset_graph()
    ingest = definitions().resolve_job_def("ingest")
    build = definitions().resolve_job_def("build_and_publish")
    made = {key.to_user_string() for key in graph.materializable_asset_keys}
    raw = {name for name in made if name.startswith("raw/")}
    assert _made_by(ingest) == raw
    assert _made_by(build) == made - raw
    assert ingest.partitions_def == MONTHLY
    assert build.partitions_def is None
    for job in (ingest, build):
        assert job.executor_def.name == "in_process"
        assert job.description


def _made_by(job: dg.JobDefinition) -> set[str]:
    return {key.to_user_string() for key in job.asset_layer.executable_asset_keys}


@pytest.mark.parametrize(
    ("name", "cron", "job"),
    [
        ("observe_daily", "0 5 * * *", "ingest"),
        ("close_month", "0 7 1-7 * *", "ingest"),
        ("catch_up_archive", "0 6 * * 4", "ingest"),
        ("check_freshness", "0 9 * * *", "check"),
    ],
)
def test_schedules_run_these_jobs_and_are_off(name: str, cron: str, job: str):
    schedule = definitions().resolve_schedule_def(name)
    assert (schedule.cron_schedule, schedule.execution_timezone) == (cron, "UTC")
    assert schedule.job_name == job
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED
    assert schedule.description


def test_what_a_schedule_asks_for_is_a_range_of_months_that_may_be_unobservable(tmp_path: Path):
    schedule = definitions().resolve_schedule_def("observe_daily")
    moment = datetime(2026, 11, 12, 5, tzinfo=UTC)
    with (
        dg.DagsterInstance.local_temp(str(tmp_path)) as instance,
        dg.build_schedule_context(instance, scheduled_execution_time=moment) as context,
    ):
        [request] = schedule.evaluate_tick(context).run_requests or []
    assert request.tags["dagster/asset_partition_range_start"] == "2026-10-01"
    assert request.tags["dagster/asset_partition_range_end"] == "2026-11-01"
    assert request.tags["atom/unobservable"] == "list"
    assert request.tags["dagster/schedule_name"] == "observe_daily"


def test_freshness_is_checked_in_every_build_and_by_itself():
    named = {"raw/hf_models:daily_readings_have_no_hole"} | {
        f"{'/'.join(rule.asset)}:{rule.name}" for rule in rules.RULES if rule.is_freshness
    }
    assert len(named) == 4
    for job, holds in (("ingest", False), ("build_and_publish", True), ("check", True)):
        checked = {
            f"{key.asset_key.to_user_string()}:{key.name}"
            for key in definitions().resolve_job_def(job).asset_layer.asset_graph.asset_check_keys
        }
        assert (named <= checked, named & checked != set()) == (holds, holds)
    assert not any(rule.is_blocking for rule in rules.RULES if rule.is_freshness)


def test_there_are_no_other_jobs_schedules_or_sensors():
    repository = definitions().get_repository_def()
    named = {job.name for job in repository.get_all_jobs()} - {"__ASSET_JOB"}
    assert named == {"ingest", "build_and_publish", "check"}
    assert {schedule.name for schedule in repository.schedule_defs} == set(SCHEDULES)
    # Those that build after a scheduled ingest are on: turning on a schedule is enough.
    assert {sensor.name: sensor.default_status.value for sensor in repository.sensor_defs} == {
        "build_after_ingest": "RUNNING",
        "build_after_failed_ingest": "RUNNING",
        "build_again": "RUNNING",
        "clear_killed_runs": "RUNNING",
    }


@pytest.mark.parametrize("name", ["build_after_ingest", "build_after_failed_ingest"])
@pytest.mark.parametrize(
    ("tags", "builds"),
    [({"dagster/schedule_name": "observe_daily"}, 1), ({"atom/pid": "17"}, 0), ({}, 0)],
)
def test_a_build_follows_a_scheduled_ingest_and_no_other(name: str, tags: dict[str, str], builds: int):
    sensor = definitions().resolve_sensor_def(name)
    assert sensor.job_name == "build_and_publish"

    @dg.op
    def nothing() -> None: ...

    @dg.job(name="ingest", tags=tags)
    def ingest() -> None:
        nothing()

    with dg.DagsterInstance.ephemeral() as instance:
        result = ingest.execute_in_process(instance=instance)
        with dg.build_run_status_sensor_context(
            sensor_name=name,
            dagster_event=result.get_run_success_event(),
            dagster_instance=instance,
            dagster_run=result.dagster_run,
        ) as context:
            requests = list(sensor(context))
    assert [request.run_key for request in requests] == [result.run_id] * builds


if __name__ == "__main__":
    print(graph(), end="")
