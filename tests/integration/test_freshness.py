"""The checks that time alone can break: in every build, by themselves, and beside a month that is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from atom_dagster.assets.raw import hub_assets
from atom_dagster.definitions import build_defs
from atom_dagster.freshness import freshness_checks
from atom_dagster.resources import Home, World
from tests.conftest import Finished, atom_environment

NAMES = {
    "newest_complete_month_is_present",
    "newest_complete_month_is_whole",
    "newest_complete_month_is_measured",
    "daily_readings_have_no_hole",
}


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "dagster-home").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster-home")) as found:
        yield found


def _verdicts(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    evaluations = [found for found in result.get_asset_check_evaluations() if found.check_name in NAMES]
    assert not any(found.blocking for found in evaluations)
    return {found.check_name: found.passed for found in evaluations}


@pytest.mark.parametrize(
    ("now", "missing"),
    [
        ("2026-11-12T06:00:00Z", set()),
        # A month and more later nothing has been loaded since.
        ("2026-12-04T06:00:00Z", NAMES - {"daily_readings_have_no_hole"}),
    ],
)
def test_the_check_job_sees_what_is_missing_though_nothing_runs(
    sample: Finished,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    now: str,
    missing: set[str],
):
    for name, value in (sample.environment | {"ATOM_NOW": now}).items():
        monkeypatch.setenv(name, value)
    result = build_defs().resolve_job_def("check").execute_in_process(instance=instance)
    assert result.success
    verdicts = _verdicts(result)
    assert set(verdicts) == NAMES
    assert {name for name, passed in verdicts.items() if not passed} == missing


def test_a_build_publishes_what_the_checks_say(sample: Finished):
    rows = sample.rows(
        "select rule, passed, is_blocking from meta.checks where rule like 'newest%' order by 1"
    )
    assert [rule for rule, _, _ in rows] == sorted(NAMES - {"daily_readings_have_no_hole"})
    assert all(passed and not blocking for _, passed, blocking in rows)


def test_a_month_that_is_loaded_alone_does_not_trip_over_them(
    sample: Finished, home: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    home.mkdir()
    (home / "world").symlink_to(sample.home / "world")
    for name, value in atom_environment(home).items():
        monkeypatch.setenv(name, value)
    result = dg.materialize(
        [hub_assets, freshness_checks],
        partition_key="2025-06-01",
        resources={"home": Home(), "world": World()},
        instance=instance,
    )
    assert result.success
    # Loads of months yield no output, and Dagster skips what would follow one; a build evaluates them.
    assert _verdicts(result) == {}
    assert instance.get_materialized_partitions(dg.AssetKey(["raw", "hf_models"])) == {"2025-06-01"}
