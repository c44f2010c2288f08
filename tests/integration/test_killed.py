"""A run killed anywhere leaves nothing to clean by hand, and the next one ends as if undisturbed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from atom_dagster.warehouse import WriterLock
from tests.conftest import ROOT, Finished, atom, atom_environment


def _kill_when(environment: dict[str, str], reached: Callable[[], bool]) -> None:
    """Start a run, and SIGKILL its process (not its children) once the point is reached."""
    process = subprocess.Popen(
        [sys.executable, "-m", "atom_dagster", "run"],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 300
    while not reached():
        assert process.poll() is None, "the run ended before the point was reached"
        assert time.monotonic() < deadline, "the point was never reached"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    # Nobody holds the warehouse, and no orphan takes it again.
    lock = WriterLock(Path(environment["ATOM_HOME"]) / "warehouse.duckdb")
    os.close(lock.acquire("test", shared=True, timeout=3))


def _is_written_by(home: Path, what: str) -> Callable[[], bool]:
    """Whether ``what`` holds the lock, has held it for a moment, and has begun to write."""
    noted: dict[str, float] = {}

    def is_reached() -> bool:
        try:
            note = json.loads((home / "warehouse.lock").read_text())["what"]
        except (OSError, ValueError):
            return False
        if not note.startswith(what):
            noted.clear()
            return False
        since = noted.setdefault("since", time.time())
        files = [file for file in home.glob("warehouse.duckdb*") if file.exists()]
        return any(file.stat().st_mtime > since + 0.3 for file in files)

    return is_reached


def assert_same_marts(one: Path, other: Path) -> None:
    """Every mart holds the same rows in both files."""
    with duckdb.connect() as connection:
        connection.execute(f"attach '{one}' as a (read_only); attach '{other}' as b (read_only)")
        tables = connection.execute(
            "select table_name from duckdb_tables() where database_name = 'a' and schema_name = 'marts'"
        ).fetchall()
        assert len(tables) >= 17
        for (table,) in tables:
            [(left, right)] = connection.execute(
                f"select (select count(*) from (from a.marts.{table} except all from b.marts.{table})),"
                f" (select count(*) from (from b.marts.{table} except all from a.marts.{table}))"
            ).fetchall()
            assert (left, right) == (0, 0), f"marts.{table} differs"


def _months_loaded(home: Path) -> int:
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        [(months,)] = connection.execute("select count(*) from raw.loads where scope = 'hub'").fetchall()
    return months


def test_killed_in_pull_load_dbt_and_publication(
    sample: Finished, home: Path, monkeypatch: pytest.MonkeyPatch
):
    environment = atom_environment(home)
    landing = home / "landing" / "hub_archive"
    _kill_when(environment, lambda: landing.is_dir() and len(list(landing.iterdir())) > 20)
    pulled = {pull.name for pull in landing.iterdir()}
    _kill_when(environment, _is_written_by(home, "load of hub"))
    assert pulled <= {pull.name for pull in landing.iterdir()}
    assert 0 < _months_loaded(home) < 37
    _kill_when(environment, _is_written_by(home, "dbt"))
    _kill_when(environment, lambda: any(home.glob("builds/.*.draft/atom.duckdb")))
    assert not (home / "published").exists()

    from atom_dagster.instance import open_instance
    from atom_dagster.settings import Settings

    done = atom("run", environment=environment)
    assert done.returncode == 0, done.stderr
    assert_same_marts(sample.published, (home / "published" / "atom.duckdb").resolve())
    assert not list(home.glob("builds/.*.draft"))

    monkeypatch.setenv("DAGSTER_HOME", "")  # which open_instance sets
    with open_instance(Settings.from_env(environment)) as instance:
        statuses = [run.status.value for run in instance.get_runs()]
        assert sorted(set(statuses)) == ["FAILURE", "SUCCESS"]
        assert statuses.count("FAILURE") == 4
        storage = instance.event_log_storage
        for pool in storage.get_concurrency_keys():
            assert not storage.get_concurrency_info(pool).claimed_slots
        # At once: no step of the last run waited for a slot or for the lock of a dead one.
        for record in instance.get_run_records(limit=2):
            steps = instance.get_run_step_stats(record.dagster_run.run_id)
            first = min(step.start_time for step in steps if step.start_time)
            assert first - record.create_timestamp.timestamp() < 15
