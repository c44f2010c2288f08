"""A neighbour is killed while it holds the writer's pool: whoever waits for it goes on."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster._core.utils import make_new_run_id

from atom_dagster import pool, progress
from atom_dagster.instance import PID_TAG, recover, recovering
from atom_dagster.pool import WRITER_POOL, writer_slot


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    overrides = {"concurrency": {"pools": {"default_limit": 1, "granularity": "op"}}}
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides=overrides) as found:
        found.event_log_storage.initialize_concurrency_limit_to_default(WRITER_POOL)
        yield found


def _begun(instance: dg.DagsterInstance, pid: int) -> str:
    """A run under way in that process."""
    run = dg.DagsterRun(
        "job", make_new_run_id(), status=dg.DagsterRunStatus.STARTED, tags={PID_TAG: str(pid)}
    )
    return instance.add_run(run).run_id


def _claim(instance: dg.DagsterInstance, run_id: str) -> bool:
    return instance.event_log_storage.claim_concurrency_slot(WRITER_POOL, run_id, "step").is_claimed


def _holders(instance: dg.DagsterInstance) -> set[str]:
    info = instance.event_log_storage.get_concurrency_info(WRITER_POOL)
    return {slot.run_id for slot in info.claimed_slots}


@pytest.fixture
def killed(instance: dg.DagsterInstance) -> str:
    """A run that held the slot when its process was killed."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    run_id = _begun(instance, process.pid)
    assert _claim(instance, run_id)
    return run_id


def _status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def test_a_load_that_waits_for_a_killed_one_goes_on(
    instance: dg.DagsterInstance, killed: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pool, "RECOVER_S", 0.1)
    monkeypatch.setattr(pool, "WAIT_S", 0.02)
    mine = _begun(instance, os.getpid())
    context: Any = SimpleNamespace(instance=instance, run=SimpleNamespace(run_id=mine))
    held: list[set[str]] = []

    def load() -> None:
        with writer_slot(context, "hub"):
            held.append(_holders(instance))

    said: list[tuple[str, int, int | None]] = []
    thread = threading.Thread(target=load, daemon=True)
    with progress.reporting_to(lambda *told: said.append(told)):
        thread.start()
        thread.join(20)
    assert held == [{mine}]
    assert said[0] == ("waiting for the writer's pool (s)", 1, None)
    assert said[-1][1] == said[-1][2], "the wait is said to be over"
    assert _holders(instance) == set()
    assert _status(instance, killed) == dg.DagsterRunStatus.FAILURE


def test_a_step_that_dagster_holds_back_goes_on(instance: dg.DagsterInstance, killed: str):
    mine = _begun(instance, os.getpid())
    with recovering(instance, every=0.1):
        _until(lambda: _claim(instance, mine))
    assert _holders(instance) == {mine}
    assert _status(instance, killed) == dg.DagsterRunStatus.FAILURE
    assert "recover" not in {thread.name for thread in threading.enumerate()}


def test_a_look_that_fails_is_not_the_last(
    instance: dg.DagsterInstance, killed: str, monkeypatch: pytest.MonkeyPatch
):
    records, looks = instance.get_run_records, []

    def failing(*args: Any, **kwargs: Any) -> Any:
        looks.append(args)
        if len(looks) == 1:
            raise OSError("database is locked")
        return records(*args, **kwargs)

    monkeypatch.setattr(instance, "get_run_records", failing)
    with recovering(instance, every=0.1):
        _until(lambda: not _holders(instance))


def _until(is_reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_run_that_begins_meanwhile_keeps_its_slot(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    records, begun = instance.get_run_records, []

    def then_begin(*args: Any, **kwargs: Any) -> Any:
        found = records(*args, **kwargs)
        begun.append(_begun(instance, os.getpid()))
        _claim(instance, begun[-1])
        return found

    monkeypatch.setattr(instance, "get_run_records", then_begin)
    assert recover(instance) == []
    info = instance.event_log_storage.get_concurrency_info(WRITER_POOL)
    claiming = {step.run_id for step in (*info.claimed_slots, *info.pending_steps)}
    assert len(begun) == 2
    assert claiming == set(begun)
