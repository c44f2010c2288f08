"""A Dagster UI over a home of its own, and what a person does in it, through the endpoint it uses."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from atom_dagster.worlds.corruption import spoil
from tests.conftest import ROOT, Finished

ENDED = {"SUCCESS", "FAILURE", "CANCELED"}
MATERIALIZE = """
    mutation($params: ExecutionParams!) {
      launchPipelineExecution(executionParams: $params) {
        __typename
        ... on LaunchRunSuccess { run { runId } }
        ... on PythonError { message }
        ... on InvalidSubsetError { message }
      }
    }
"""
BACKFILL = """
    mutation($params: LaunchBackfillParams!) {
      launchPartitionBackfill(backfillParams: $params) {
        __typename
        ... on LaunchBackfillSuccess { backfillId }
        ... on PythonError { message }
      }
    }
"""
BACKFILL_STATUS = """
    query($id: String!) {
      partitionBackfillOrError(backfillId: $id) {
        ... on PartitionBackfill {
          id status error { message }
          runs { id status assetSelection { path } }
        }
      }
    }
"""
RUN = """
    query($id: ID!) {
      runOrError(runId: $id) {
        ... on Run {
          status
          eventConnection {
            events {
              __typename
              ... on MessageEvent { message stepKey }
              ... on ExecutionStepFailureEvent { error { message } failureMetadata { description } }
              ... on AssetCheckEvaluationEvent { evaluation { checkName success assetKey { path } } }
              ... on MaterializationEvent {
                assetKey { path } partition
                metadataEntries { label ... on IntMetadataEntry { intValue } }
              }
            }
          }
        }
      }
    }
"""
PARTITIONS = """
    query($key: AssetKeyInput!) {
      assetNodeOrError(assetKey: $key) {
        ... on AssetNode {
          partitionKeys
          assetPartitionStatuses {
            ... on TimePartitionStatuses { ranges { startKey endKey status } }
          }
        }
      }
    }
"""
LOCATIONS = """{
    workspaceOrError {
      ... on Workspace {
        locationEntries {
          name loadStatus
          locationOrLoadError {
            __typename
            ... on PythonError { message }
            ... on RepositoryLocation { repositories { jobs { name } } }
          }
        }
      }
    }
}"""


@dataclass
class Backfill:
    """How a backfill ended, with its runs in the order in which they began."""

    runs: list[dict[str, Any]]

    @property
    def statuses(self) -> list[str]:
        return [run["status"] for run in self.runs]

    def events(self, kind: str, run: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        runs = [run] if run else self.runs
        return [event for run in runs for event in run["events"] if event["__typename"] == kind]

    def materialized(self, *path: str, run: dict[str, Any] | None = None) -> list[str | None]:
        """The partitions of an asset that were materialized, None for one without partitions."""
        return [
            event["partition"]
            for event in self.events("MaterializationEvent", run)
            if event["assetKey"]["path"] == list(path)
        ]

    def failures(self) -> str:
        """What the failed steps said."""
        return " ".join(
            event["error"]["message"] + str((event["failureMetadata"] or {}).get("description"))
            for event in self.events("ExecutionStepFailureEvent")
        )


@dataclass
class DagsterUi:
    """A running UI: its address, the home below it, and its log."""

    url: str
    home: Path
    log: Path

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        answer = httpx.post(f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=60)
        body = answer.json()
        assert "errors" not in body, body["errors"]
        return body["data"]

    def locations(self) -> list[dict[str, Any]]:
        return self.ask(LOCATIONS)["workspaceOrError"]["locationEntries"]

    def materialize(self, assets: Sequence[Sequence[str]], partition: str) -> dict[str, Any]:
        """Materialize one partition as the UI's button does, and wait for the run's end."""
        launched = self.ask(
            MATERIALIZE,
            params={
                "selector": {
                    "repositoryName": "__repository__",
                    "repositoryLocationName": "atom",
                    "jobName": "__ASSET_JOB",
                    "assetSelection": [{"path": path} for path in assets],
                    "assetCheckSelection": None,
                },
                "mode": "default",
                "executionMetadata": {"tags": [{"key": "dagster/partition", "value": partition}]},
            },
        )["launchPipelineExecution"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        run_id = launched["run"]["runId"]
        self._wait(lambda: self._run(run_id)["status"] in ENDED)
        return self._run(run_id)

    def backfill(self, assets: Sequence[Sequence[str]], months: Sequence[str]) -> Backfill:
        """Launch a backfill as the UI does, and wait for its end.

        With the last asset of all run, nothing is left to do; the daemon notices half a minute later.
        """
        launched = self.ask(
            BACKFILL,
            params={"assetSelection": [{"path": path} for path in assets], "partitionNames": months},
        )["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        found: dict[str, Any] = {}

        def has_ended() -> bool:
            found.update(
                self.ask(BACKFILL_STATUS, id=launched["backfillId"])["partitionBackfillOrError"],
            )
            last = any({"path": ["published"]} in run["assetSelection"] for run in found["runs"])
            if last and all(run["status"] in ENDED for run in found["runs"]):
                return True
            return found["status"] not in {"REQUESTED", "CANCELING", "FAILING"}

        self._wait(has_ended)
        runs = [{"id": run["id"], **self._run(run["id"])} for run in reversed(found["runs"])]
        return Backfill(runs)

    def materialized(self, *path: str) -> set[str]:
        """The partitions of an asset that are green."""
        node = self.ask(PARTITIONS, key={"path": path})["assetNodeOrError"]
        keys = node["partitionKeys"]
        green: set[str] = set()
        for span in node["assetPartitionStatuses"]["ranges"]:
            if span["status"] == "MATERIALIZED":
                first, last = keys.index(span["startKey"]), keys.index(span["endKey"])
                green.update(keys[first : last + 1])
        return green

    def forget(self, month: str) -> None:
        """Remove what landing holds of a month's archive, so that it is pulled again."""
        for pull in (self.home / "landing" / "hub_archive").glob(f"hub_archive-{month}-*"):
            shutil.rmtree(pull)

    def spoil(self, sample: Finished, month: str, way: str) -> None:
        """Make the archive answer badly for a month."""
        rules: list[dict[str, Any]] = []
        for file in (sample.home / "world").glob(f"*/archive/{month}-*.parquet"):
            good = file.read_bytes()
            bad = spoil(good, "application/octet-stream", [way])
            rules += [
                {"path": "tree/main", "replace": {f'"size":{len(good)},': f'"size":{len(bad)},'}},
                {"path": f"resolve/main/models/{file.stem}", "corrupt": [way]},
            ]
        assert rules, f"the sample world's archive has no file of {month}"
        self.write_faults(rules)

    def write_faults(self, rules: list[dict[str, Any]]) -> None:
        (self.home / "faults.json").write_text(json.dumps(rules))

    def _run(self, run_id: str) -> dict[str, Any]:
        run = self.ask(RUN, id=run_id)["runOrError"]
        return {"status": run["status"], "events": run["eventConnection"]["events"]}

    def _wait(self, has_ended: Any, seconds: int = 240) -> None:
        deadline = time.monotonic() + seconds
        while not has_ended():
            assert time.monotonic() < deadline, f"it did not end:\n{self.log.read_text()[-3000:]}"
            time.sleep(0.5)


def all_assets(ui: DagsterUi) -> list[list[str]]:
    """The keys of all assets that can be materialized."""
    nodes = ui.ask("{ assetNodes { assetKey { path } isMaterializable } }")["assetNodes"]
    return sorted(node["assetKey"]["path"] for node in nodes if node["isMaterializable"])


@contextmanager
def running(
    *command: str, home: Path, environment: dict[str, str], folder: Path = ROOT
) -> Iterator[DagsterUi]:
    """Run a command that serves the UI on the port given to it last; ends it and all it started."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home.mkdir(parents=True, exist_ok=True)
    ui = DagsterUi(f"http://127.0.0.1:{port}", home, home / "ui.log")
    with ui.log.open("wb") as log:
        process = subprocess.Popen(
            [*command, str(port)],
            env=environment,
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 120
        while True:
            assert process.poll() is None, ui.log.read_text()
            assert time.monotonic() < deadline, f"the UI did not start:\n{ui.log.read_text()[-3000:]}"
            try:
                if all(entry["loadStatus"] == "LOADED" for entry in ui.locations()):
                    break
            except (httpx.HTTPError, ValueError):
                pass
            time.sleep(0.3)
        yield ui
    finally:
        for sign in (signal.SIGINT, signal.SIGKILL):
            try:
                os.killpg(process.pid, sign)
                process.wait(timeout=30)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


@pytest.fixture(scope="module")
def ui(sample: Finished, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterUi]:
    """`atom ui` over what the finished sample world has pulled and loaded; nothing published, no history."""
    home = tmp_path_factory.mktemp("ui") / "home"
    home.mkdir()
    shutil.copytree(sample.home / "landing", home / "landing")
    shutil.copy(sample.warehouse, home)
    (home / "world").symlink_to(sample.home / "world")
    environment = sample.environment | {
        "ATOM_HOME": str(home),
        "ATOM_FAULTS": str(home / "faults.json"),
    }
    (home / "faults.json").write_text("[]")
    command = [sys.executable, "-m", "atom_dagster", "ui", "--port"]
    with running(*command, home=home, environment=environment) as found:
        yield found
    shutil.rmtree(home)
