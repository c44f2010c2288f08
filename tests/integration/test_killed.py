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


def _lock_holder(home: Path) -> str:
    try:
        return json.loads((home / "warehouse.lock").read_text())["what"]
    except (OSError, ValueError):
        return ""


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


def test_killed_in_pull_load_dbt_and_publication(sample: Finished, home: Path):
    environment = atom_environment(home)
    landing = home / "landing" / "hub_archive"
    _kill_when(environment, lambda: landing.is_dir() and len(list(landing.iterdir())) > 20)
    _kill_when(environment, lambda: _lock_holder(home) == "load of hub")
    _kill_when(environment, lambda: _lock_holder(home).startswith("dbt"))
    _kill_when(environment, lambda: any(home.glob("builds/.*.draft/atom.duckdb")))
    assert not (home / "published").exists()

    started = time.monotonic()
    done = atom("run", environment=environment)
    assert done.returncode == 0, done.stderr
    assert "waiting" not in done.stderr
    assert time.monotonic() - started < 300
    assert_same_marts(sample.published, (home / "published" / "atom.duckdb").resolve())

    from atom_dagster.instance import open_instance
    from atom_dagster.settings import Settings

    with open_instance(Settings.from_env(environment)) as instance:
        statuses = [run.status.value for run in instance.get_runs()]
        assert "STARTED" not in statuses
        assert statuses.count("FAILURE") == 4
        storage = instance.event_log_storage
        for pool in storage.get_concurrency_keys():
            assert not storage.get_concurrency_info(pool).claimed_slots
