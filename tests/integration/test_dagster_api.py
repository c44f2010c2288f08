"""Materializing months through Dagster's Python API, as a person's own code or a backfill would."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from atom_dagster import pool
from atom_dagster.assets import raw
from atom_dagster.assets.raw import hub_assets
from atom_dagster.landing import Landing, Pull
from atom_dagster.partitions import NO_MONTH
from atom_dagster.resources import Home, World
from atom_dagster.sources import archive_series
from tests.conftest import Finished, atom_environment

HF_MODELS = dg.AssetKey(["raw", "hf_models"])
RESOURCES = {"home": Home(), "world": World()}


@pytest.fixture
def empty_home(sample: Finished, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home of the sample world, whose generated files are shared."""
    home.mkdir()
    (home / "world").symlink_to(sample.home / "world")
    for name, value in atom_environment(home, ATOM_FAULTS=str(home / "faults.json")).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ATOM_WORLD", "sample")
    monkeypatch.setenv("ATOM_SEED", "1")
    return home


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "dagster-home").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster-home")) as found:
        yield found


def _months(home: Path) -> set[date]:
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        found = connection.execute(
            "select distinct date_trunc('month', observed_on)::date from raw.hf_models"
        ).fetchall()
    return {month for (month,) in found}


def test_one_month_is_materialized(empty_home: Path, instance: dg.DagsterInstance):
    result = dg.materialize([hub_assets], partition_key="2025-06-01", resources=RESOURCES, instance=instance)
    assert result.success
    assert instance.get_materialized_partitions(HF_MODELS) == {"2025-06-01"}
    assert _months(empty_home) == {date(2025, 6, 1)}
    event = instance.get_latest_materialization_event(HF_MODELS)
    assert event is not None
    metadata = event.asset_materialization.metadata  # type: ignore[union-attr]
    with duckdb.connect(str(empty_home / "warehouse.duckdb"), read_only=True) as connection:
        [(rows,)] = connection.execute("select count(*) from raw.hf_models").fetchall()
    assert metadata["dagster/partition_row_count"].value == rows > 1000
    assert metadata["quarantined"].value == 0
    assert len(metadata["pulls"].value) == 4  # type: ignore[arg-type]
    checks = [
        evaluation.check_name for evaluation in result.get_asset_check_evaluations() if evaluation.passed
    ]
    assert {"counters_agree", "pull_is_known", "no_reading_from_the_future"} <= set(checks)


def test_a_range_commits_its_good_months_and_names_the_bad_one(
    empty_home: Path, instance: dg.DagsterInstance
):
    (empty_home / "faults.json").write_text(
        json.dumps([{"path": "resolve/main/models/2025-07-16", "status": 404}])
    )
    month_range = {
        "dagster/asset_partition_range_start": "2025-06-01",
        "dagster/asset_partition_range_end": "2025-08-01",
    }
    result = dg.materialize(
        [hub_assets], tags=month_range, resources=RESOURCES, instance=instance, raise_on_error=False
    )
    assert not result.success
    [failure] = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    description = failure.user_failure_data.description  # type: ignore[union-attr]
    assert description.startswith("2025-07: ")
    assert "404" in description
    assert "2025-06" not in description
    assert instance.get_materialized_partitions(HF_MODELS) == {"2025-06-01", "2025-08-01"}
    # What landing holds of the bad month is loaded all the same; the month is not called materialized.
    assert _months(empty_home) == {date(2025, 6, 1), date(2025, 7, 1), date(2025, 8, 1)}
    assert _readings(empty_home, "2025-07") == {("2025-07", "hub_archive"): 4}
    with duckdb.connect(str(empty_home / "warehouse.duckdb"), read_only=True) as connection:
        [(state, reason)] = connection.execute(
            "select state, reason from raw.attempts where scope = 'hub' and month = '2025-07-01'"
        ).fetchall()
    assert state == "failed" and "404" in reason
    [observed] = [event for event in result.all_events if event.is_asset_observation]
    metadata = observed.asset_observation_data.asset_observation.metadata
    assert metadata["months_committed"].value == 3

    # The same range again, now that the file is there: only what is missing is pulled and loaded.
    (empty_home / "faults.json").write_text("[]")
    result = dg.materialize([hub_assets], tags=month_range, resources=RESOURCES, instance=instance)
    assert result.success
    assert instance.get_materialized_partitions(HF_MODELS) == {"2025-06-01", "2025-07-01", "2025-08-01"}
    unchanged = {
        event.partition: event.materialization.metadata["unchanged"].value
        for event in result.get_asset_materialization_events()
        if event.asset_key == HF_MODELS
    }
    assert unchanged == {"2025-06-01": True, "2025-07-01": False, "2025-08-01": True}


def test_a_month_asked_for_by_name_that_nothing_observes_fails(
    recorded_answers: Path, home: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    for name, value in atom_environment(home, ATOM_WORLD=f"recorded:{recorded_answers}").items():
        monkeypatch.setenv(name, value)
    result = dg.materialize(
        [hub_assets], partition_key="2023-12-01", resources=RESOURCES, instance=instance, raise_on_error=False
    )
    assert not result.success
    [failure] = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert "No source of Hub readings can observe 2023-12" in failure.user_failure_data.description  # type: ignore[union-attr]
    assert not instance.get_materialized_partitions(HF_MODELS)


def test_a_manifest_that_cannot_be_read_leaves_its_month_as_it_stands(
    empty_home: Path, instance: dg.DagsterInstance
):
    month_range = {
        "dagster/asset_partition_range_start": "2025-06-01",
        "dagster/asset_partition_range_end": "2025-07-01",
    }
    assert dg.materialize([hub_assets], tags=month_range, resources=RESOURCES, instance=instance).success
    before = _readings(empty_home, "2025-06", "2025-07")
    [manifest] = (empty_home / "landing" / "hub_archive").glob("hub_archive-2025-07-16-*/manifest.json")
    manifest.write_text("{")
    result = dg.materialize(
        [hub_assets], tags=month_range, resources=RESOURCES, instance=instance, raise_on_error=False
    )
    assert not result.success
    assert _readings(empty_home, "2025-06", "2025-07") == before
    assert {event.partition for event in result.get_asset_materialization_events()} == {"2025-06-01"}
    with duckdb.connect(str(empty_home / "warehouse.duckdb"), read_only=True) as connection:
        ledger = connection.execute(
            "select month, state, contains(reason, ?) from raw.attempts order by month",
            [manifest.parent.name],
        ).fetchall()
    assert ledger == [
        (NO_MONTH, "failed", True),
        (date(2025, 6, 1), "committed", None),
        (date(2025, 7, 1), "failed", True),
    ]


def _readings(home: Path, *months: str) -> dict[tuple[str, str], int]:
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        found = connection.execute(
            "select strftime(observed_on, '%Y-%m') as month, source, count(distinct observed_on)"
            " from raw.hf_models where list_contains(?::varchar[], month) group by all",
            [list(months)],
        ).fetchall()
    return {(month, source): days for month, source, days in found}


@pytest.mark.parametrize(
    ("month", "source", "folder_dates"),
    [("2025-03", "hub_archive", 4), ("2024-05", "hub_revisions", 4), ("2025-04", "hub_series", 0)],
)
def test_a_month_is_filled_by_the_archive_that_holds_it(
    empty_home: Path, instance: dg.DagsterInstance, month: str, source: str, folder_dates: int
):
    result = dg.materialize([hub_assets], partition_key=f"{month}-01", resources=RESOURCES, instance=instance)
    assert result.success
    assert _readings(empty_home, month) == {(month, source): 4}
    with duckdb.connect(str(empty_home / "warehouse.duckdb"), read_only=True) as connection:
        found = connection.execute(
            "select count(distinct folder_date), count(downloads_all_time) > 1000, count(downloads_30d) = 0"
            " from raw.hf_models"
        ).fetchall()
    assert found == [(folder_dates, True, source == "hub_series")]


def test_a_pull_of_many_months_is_verified_and_read_once(
    empty_home: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    looked: list[str] = []
    divided: list[list[date]] = []
    verify, divide = Landing.verify, archive_series.divide

    def verifying(landing: Landing, pull: Pull) -> list[str]:
        looked.append(pull.pull_id)
        return verify(landing, pull)

    def dividing(pull: Pull, months: Collection[date], folder: Path) -> dict[date, Path]:
        divided.append(sorted(months))
        return divide(pull, months, folder)

    monkeypatch.setattr(Landing, "verify", verifying)
    monkeypatch.setattr(archive_series, "divide", dividing)
    monkeypatch.setenv("ATOM_ARCHIVES", "hub_series")
    tags = {
        "dagster/asset_partition_range_start": "2025-03-01",
        "dagster/asset_partition_range_end": "2025-05-01",
    }
    result = dg.materialize([hub_assets], tags=tags, resources=RESOURCES, instance=instance)
    assert result.success
    assert _readings(empty_home, "2025-03", "2025-04", "2025-05") == {
        (f"2025-0{month}", "hub_series"): 4 for month in (3, 4, 5)
    }
    assert len(looked) == 1
    assert divided == [[date(2025, month, 1) for month in (3, 4, 5)]]
    assert not (empty_home / ".divided").exists()


def test_two_archives_that_disagree_about_a_day_are_both_loaded(
    empty_home: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    def load() -> None:
        # The rule that counters agree is violated, as it should be: the rows are loaded all the same.
        dg.materialize(
            [hub_assets],
            partition_key="2024-06-01",
            resources=RESOURCES,
            instance=instance,
            raise_on_error=False,
        )
        assert instance.get_materialized_partitions(HF_MODELS) == {"2024-06-01"}

    monkeypatch.setenv("ATOM_ARCHIVES", "hub_revisions")
    monkeypatch.setenv("ATOM_ARCHIVE_DAYS", "1")
    load()
    # The weekly copy of 2024-06-05 says another number of one model.
    (empty_home / "faults.json").write_text(
        json.dumps(
            [
                {"path": "tree/main/models", "replace": {'"size":': '"was":'}},
                {"path": "resolve/main/models/2024-06-05", "corrupt": ["counters"]},
            ]
        )
    )
    monkeypatch.setenv("ATOM_ARCHIVES", "hub_archive,hub_revisions")
    load()
    with duckdb.connect(str(empty_home / "warehouse.duckdb"), read_only=True) as connection:
        [(sources, apart)] = connection.execute(
            "select count(distinct source), count(distinct downloads_all_time) from raw.hf_models"
            " where observed_on = date '2024-06-05' and model_id = 'mistralai/Mistral-7B-v0.1'"
        ).fetchall()
    assert (sources, apart) == (2, 2)


def test_only_the_load_holds_the_writers_pool(
    empty_home: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    """While a source is pulled others may load, and who loads is seen in the queue."""
    storage = instance.event_log_storage
    storage.set_concurrency_slots("duckdb_writer", 1)
    held: dict[str, list[str]] = {}

    def note(when: str) -> None:
        info = storage.get_concurrency_info("duckdb_writer")
        held[when] = [slot.step_key for slot in info.claimed_slots]

    gather, replace = raw.gather_hub, raw.replace_month

    def gathering(*arguments: Any) -> Any:
        note("pull")
        return gather(*arguments)

    def loading(*arguments: Any, **options: Any) -> Any:
        note("load")
        return replace(*arguments, **options)

    monkeypatch.setattr(raw, "gather_hub", gathering)
    monkeypatch.setattr(raw, "replace_month", loading)
    result = dg.materialize([hub_assets], partition_key="2025-06-01", resources=RESOURCES, instance=instance)
    assert result.success
    note("end")
    assert held == {"pull": [], "load": ["hub (load)"], "end": []}


def test_a_load_waits_for_its_turn_in_the_pool(
    empty_home: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    storage = instance.event_log_storage
    storage.set_concurrency_slots("duckdb_writer", 1)
    assert storage.claim_concurrency_slot("duckdb_writer", "another-run", "dbt").is_claimed
    waited: list[float] = []

    def passing(seconds: float) -> None:
        waited.append(seconds)
        assert not (empty_home / "warehouse.duckdb").exists()
        storage.free_concurrency_slots_for_run("another-run")

    monkeypatch.setattr(pool.time, "sleep", passing)
    result = dg.materialize([hub_assets], partition_key="2025-06-01", resources=RESOURCES, instance=instance)
    assert result.success
    assert waited
