"""The Dagster instance of a world: its configuration, and clearing up after killed processes.

Belongs here: deriving a world's ``dagster.yaml`` from the committed one, failing runs whose process
is gone, freeing their slots. Does not belong here: what runs do (``assets``, ``schedules``).
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import yaml

from atom_dagster.settings import ROOT, Settings

PID_TAG = "atom/pid"
RECOVER_S = 10.0
"""Seconds between two looks at whether a neighbour was killed, while something may wait for it."""

_log = logging.getLogger(__name__)
_UNDER_WAY = [
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def prepare_home(settings: Settings) -> Path:
    """Write the world's ``dagster.yaml``, the committed one with this world's storage; return its folder."""
    home = settings.home / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    config = yaml.safe_load((ROOT / "dagster.yaml").read_text())
    config["storage"] = {"sqlite": {"base_dir": str(home)}}
    # Beside the storage unless they are named.
    del config["compute_logs"], config["local_artifact_storage"]
    text = yaml.safe_dump(config, sort_keys=False)
    target = home / "dagster.yaml"
    if not target.exists() or target.read_text() != text:
        draft = target.with_suffix(f".{os.getpid()}.tmp")
        draft.write_text(text)
        draft.replace(target)
    return home


@contextmanager
def open_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The world's instance, with the remains of killed processes cleared away.

    ``ATOM_DAGSTER_HOME`` names another instance (a container's, with its own storage). A ``DAGSTER_HOME``
    of the user's other projects is not touched: worlds never share an instance by accident.
    """
    home = settings.dagster_home or prepare_home(settings)
    os.environ["DAGSTER_HOME"] = str(home)
    # Dagster makes the tables of its SQLite storage when it first opens it, and fails if another process
    # makes them at the same moment.
    with (home / "opening.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        instance = dg.DagsterInstance.from_config(str(home))
    with instance:
        recover(instance)
        yield instance


def recover(instance: dg.DagsterInstance) -> list[str]:
    """Fail the runs whose process is gone and free the pool slots nobody holds; return those runs' ids.

    Others may begin, claim and end meanwhile: who holds a slot is asked before who is under way, so that a
    run which is not under way has ended, and never has only just begun.
    """
    gone = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=_UNDER_WAY)):
        run = record.dagster_run
        process = _process_of(instance, run)
        if process is not None and not _is_alive(*process):
            instance.report_run_failed(run, "The process of this run ended without a word (it was killed).")
            gone.append(run.run_id)
    storage = instance.event_log_storage
    claiming: set[str] = set()
    for pool in storage.get_concurrency_keys():
        info = storage.get_concurrency_info(pool)
        claiming |= {slot.run_id for slot in info.claimed_slots}
        claiming |= {step.run_id for step in info.pending_steps}
    under_way = {
        record.dagster_run.run_id for record in instance.get_run_records(dg.RunsFilter(statuses=_UNDER_WAY))
    }
    for run_id in claiming - under_way:
        storage.free_concurrency_slots_for_run(run_id)
    return gone


@contextmanager
def recovering(instance: dg.DagsterInstance, every: float = RECOVER_S) -> Iterator[None]:
    """Recover again and again for the length of a ``with`` block, from a thread of its own.

    Dagster itself claims the slot of a step that only builds or publishes, and such a step would wait for
    ever for the slot of a neighbour that is killed after this process has begun.
    """
    is_over = threading.Event()

    def look() -> None:
        while not is_over.wait(every):
            try:
                recover(instance)
            except Exception:
                # The next look may fare better, and the work beside it must not end for this one.
                _log.debug("Looking for killed runs failed.", exc_info=True)

    thread = threading.Thread(target=look, name="recover", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _process_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> tuple[int, float] | None:
    """The run's process id and an instant at which it was alive; None when no process is known yet."""
    for entry in reversed(instance.all_logs(run.run_id)):
        event = entry.dagster_event
        if event is not None and event.pid and event.step_key is None and "pid" in (event.message or ""):
            return event.pid, entry.timestamp
    if tag := run.tags.get(PID_TAG):
        record = instance.get_run_record_by_id(run.run_id)
        return int(tag), record.create_timestamp.timestamp() if record else 0.0
    return None


def _is_alive(pid: int, seen_at: float) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    # Process ids are used again: one that started after the run was seen is another process.
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except OSError:
        return True
    if fields[0] == "Z":
        return False
    started = time.time() - uptime + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return started <= seen_at + 5
