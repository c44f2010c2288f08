"""A load that comes between a build and its publication: who builds again, and who is told."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

# Dagster offers no other way to turn a sensor off from a test.
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus
from dagster._core.utils import make_new_run_id

from atom_dagster import overtaken, schedules
from atom_dagster.assets.publish import publish_asset, published_build
from atom_dagster.checks import marts_rules
from atom_dagster.resources import Home
from atom_dagster.warehouse import Warehouse
from tests.conftest import Finished, atom_environment

PUBLISHED = dg.AssetKey(["published"])
BY_SENSOR = {"dagster/sensor_name": "build_after_ingest"}
UNSEEN = "select * replace ('new/' || model_id as model_id) from raw.hf_models limit 1"
"""A reading that marts of an earlier state do not have; a blocking rule says that they must."""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "dagster-home").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster-home")) as found:
        yield found


class Built:
    """A home whose marts are built; ``load`` and ``unload`` change what is loaded beneath them."""

    def __init__(self, home: Path, instance: dg.DagsterInstance) -> None:
        self.home, self.instance = home, instance
        self.warehouse = Warehouse(home / "warehouse.duckdb")

    def load(self) -> None:
        with self.warehouse.writing("test") as connection:
            connection.execute(f"insert into raw.hf_models {UNSEEN}")
            connection.execute("insert into raw.loads values ('hub', '2020-01-01', 'r', ['p'])")

    def unload(self) -> None:
        with self.warehouse.writing("test") as connection:
            connection.execute("delete from raw.hf_models where model_id like 'new/%'")
            connection.execute("delete from raw.loads where month = '2020-01-01'")

    def publish(self, tags: dict[str, str]) -> dg.ExecuteInProcessResult:
        """What follows dbt in a build: the rules over the marts, and publication."""
        with self.warehouse.reading("test") as connection:
            marts = connection.execute(
                "select table_name from duckdb_tables() where schema_name = 'marts'"
            ).fetchall()
        everything = dg.AssetSelection.all() | dg.AssetSelection.checks(marts_rules)
        definitions = dg.Definitions(
            assets=[publish_asset([dg.AssetKey(["marts", name]) for (name,) in marts])],
            asset_checks=[marts_rules],
            jobs=[dg.define_asset_job(schedules.BUILD.name, everything)],
            resources={"home": Home()},
        )
        return definitions.resolve_job_def(schedules.BUILD.name).execute_in_process(
            instance=self.instance, tags=tags, raise_on_error=False
        )

    def tick(self) -> dg.RunRequest | None:
        with dg.build_sensor_context(self.instance) as context:
            found = schedules.build_again(context)
        return found if isinstance(found, dg.RunRequest) else None

    @property
    def build_id(self) -> str | None:
        found = published_build(self.home)
        return found and found["build_id"]


@pytest.fixture
def built(
    sample: Finished, home: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> Built:
    home.mkdir()
    shutil.copy(sample.warehouse, home)
    (home / "world").symlink_to(sample.home / "world")
    for name, value in atom_environment(home).items():
        monkeypatch.setenv(name, value)
    return Built(home, instance)


def test_an_automatic_build_that_was_overtaken_is_built_again(built: Built):
    result = built.publish(BY_SENSOR)
    assert result.success and len(result.get_asset_check_evaluations()) > 10
    before = built.build_id
    assert before and built.tick() is None

    built.load()
    result = built.publish(BY_SENSOR)
    assert result.success, "it is nobody's fault"
    assert result.asset_materializations_for_node("published") == []
    assert built.build_id == before
    [event] = [event for event in result.all_events if event.is_asset_observation]
    [said] = event.asset_observation_data.asset_observation.metadata.values()
    assert "Nothing was published; the sensor build_again asks" in str(said.value)

    request = built.tick()
    assert request is not None and request.run_key == result.run_id
    assert request.tags == {overtaken.TRIED_TAG: "2"}
    built.unload()  # in the place of a whole build: what is loaded is what the marts are of again
    assert built.publish({**request.tags, "dagster/sensor_name": overtaken.SENSOR}).success
    assert built.build_id != before
    assert built.tick() is None


def test_a_build_that_is_overtaken_again_and_again_fails(built: Built):
    built.load()
    tags = dict(BY_SENSOR)
    for tried in range(1, overtaken.BUILDS_TRIED):
        assert built.publish(tags).success
        request = built.tick()
        assert request is not None and request.tags == {overtaken.TRIED_TAG: str(tried + 1)}
        tags = BY_SENSOR | request.tags
    assert not built.publish(tags).success
    assert built.tick() is None


def test_who_builds_by_hand_is_told(built: Built):
    built.load()
    result = built.publish({})
    assert not result.success
    violated = [found.check_name for found in result.get_asset_check_evaluations() if not found.passed]
    assert violated == ["every_reading_is_observed"]
    assert built.tick() is None


def test_without_the_sensor_nobody_would_build_again_and_the_build_fails(built: Built):
    origin = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("atom"), "__repository__")
    for status in (InstigatorStatus.STOPPED, InstigatorStatus.RUNNING):
        state = InstigatorState(
            RemoteInstigatorOrigin(origin, overtaken.SENSOR), InstigatorType.SENSOR, status
        )
        if status is InstigatorStatus.STOPPED:
            built.instance.add_instigator_state(state)
        else:
            built.instance.update_instigator_state(state)
        built.load()
        assert built.publish(BY_SENSOR).success == (status is InstigatorStatus.RUNNING)
        built.unload()


@pytest.mark.parametrize(
    ("later", "is_settled"),
    [
        (None, False),
        (("NOT_STARTED", None, None), True),
        (("STARTED", 30.0, None), True),
        (("STARTED", 20.0, None), True),
        (("FAILURE", 30.0, 40.0), True),
        (("STARTED", 19.0, None), False),  # it may have begun before the load
        (("SUCCESS", 5.0, 15.0), False),
        (("CANCELED", None, 25.0), False),
    ],
)
def test_a_build_is_asked_for_until_one_has_begun(
    monkeypatch: pytest.MonkeyPatch,
    instance: dg.DagsterInstance,
    later: tuple[str, float | None, float | None] | None,
    is_settled: bool,
):
    def record(status: str, start: float | None, end: float | None, **tags: str) -> dg.RunRecord:
        run = dg.DagsterRun("b", make_new_run_id(), status=dg.DagsterRunStatus(status), tags=tags)
        instance.add_run(run)
        [found] = instance.get_run_records(dg.RunsFilter(run_ids=[run.run_id]))
        return found._replace(start_time=start, end_time=end)

    gave_way = record("SUCCESS", 10.0, 20.0, **{overtaken.TAG: "true", overtaken.TRIED_TAG: "2"})
    older = record("SUCCESS", 1.0, 2.0, **{overtaken.TAG: "true"})
    records = [*([record(*later)] if later else []), older, gave_way]
    monkeypatch.setattr(instance, "get_run_records", lambda *_, **__: records)
    found = overtaken.unsettled(instance, "b")
    expected = overtaken.Overtaken(gave_way.dagster_run.run_id, 2)
    assert found == (None if is_settled else expected)
