"""A Dagster UI over a home of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import ROOT, Finished


@dataclass
class DagsterUi:
    """A running UI: its address, its home, and its GraphQL endpoint."""

    url: str
    home: Path
    log: Path

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        answer = httpx.post(f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=60)
        body = answer.json()
        assert "errors" not in body, body["errors"]
        return body["data"]

    def backfill(self, assets: list[list[str]], partitions: list[str]) -> dict[str, Any]:
        """Launch a backfill as the UI does, and wait for its end."""
        launched = self.ask(
            """
            mutation($params: LaunchBackfillParams!) {
              launchPartitionBackfill(backfillParams: $params) {
                __typename
                ... on LaunchBackfillSuccess { backfillId }
                ... on PythonError { message }
              }
            }
            """,
            params={
                "assetSelection": [{"path": path} for path in assets],
                "partitionNames": partitions,
            },
        )["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        deadline = time.monotonic() + 400
        while time.monotonic() < deadline:
            backfill = self.ask(
                """
                query($id: String!) {
                  partitionBackfillOrError(backfillId: $id) {
                    ... on PartitionBackfill {
                      id status error { message }
                      runs { id status tags { key value } assetSelection { path } }
                    }
                  }
                }
                """,
                id=launched["backfillId"],
            )["partitionBackfillOrError"]
            if backfill["status"] not in {"REQUESTED", "CANCELING", "FAILING"}:
                return backfill
            time.sleep(1)
        raise AssertionError(f"the backfill did not end: {backfill}\n{self.log.read_text()[-3000:]}")

    def materialized(self, path: list[str]) -> set[str]:
        """The partitions of an asset that are green."""
        node = self.ask(
            """
            query($key: AssetKeyInput!) {
              assetNodeOrError(assetKey: $key) {
                ... on AssetNode {
                  assetPartitionStatuses {
                    ... on TimePartitionStatuses { ranges { startKey endKey status } }
                  }
                  partitionKeys
                }
              }
            }
            """,
            key={"path": path},
        )["assetNodeOrError"]
        keys = node["partitionKeys"]
        green: set[str] = set()
        for span in node["assetPartitionStatuses"]["ranges"]:
            if span["status"] == "MATERIALIZED":
                first, last = keys.index(span["startKey"]), keys.index(span["endKey"])
                green.update(keys[first : last + 1])
        return green


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_ui(home: Path, environment: dict[str, str]) -> tuple[subprocess.Popen[bytes], DagsterUi]:
    """Start `atom ui` and wait until it answers."""
    port = _free_port()
    home.mkdir(parents=True, exist_ok=True)
    log = home / "ui.log"
    process = subprocess.Popen(
        [sys.executable, "-m", "atom_dagster", "ui", "--port", str(port)],
        env=environment,
        cwd=ROOT,
        stdout=log.open("wb"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    ui = DagsterUi(f"http://127.0.0.1:{port}", home, log)
    deadline = time.monotonic() + 120
    query = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }"
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if ui.ask(query)["repositoriesOrError"].get("nodes"):
                return process, ui
        except (httpx.HTTPError, ValueError):
            pass
        time.sleep(0.5)
    stop_ui(process)
    raise AssertionError(f"the UI did not start:\n{log.read_text()[-3000:]}")


def stop_ui(process: subprocess.Popen[bytes]) -> None:
    """End the UI and everything it started."""
    for sign in (signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
            process.wait(timeout=20)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


@pytest.fixture
def ui(sample: Finished, tmp_path: Path) -> Iterator[DagsterUi]:
    """A UI over a copy of the sample world that has been run, without its Dagster history."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copytree(sample.home / "landing", home / "landing")
    shutil.copytree(sample.home / "world", home / "world")
    shutil.copy(sample.warehouse, home)
    environment = sample.environment | {
        "ATOM_HOME": str(home),
        "ATOM_FAULTS": str(home / "faults.json"),
    }
    (home / "faults.json").write_text("[]")
    process, running = start_ui(home, environment)
    yield running
    stop_ui(process)
