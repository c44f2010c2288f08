"""The same landing gives the same marts, whatever was run in between (design 7)."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

from tests.conftest import ROOT, Finished, atom, atom_environment
from tests.integration.test_killed import assert_same_marts

SPANS = [("2025-01", "2025-03"), ("2023-11", "2024-12"), ("2025-04", "2026-08")]
"""Backfilled in this order; what is left comes last, and is all that the last build computes again."""


def _start(environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "atom_dagster", *arguments],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _published(home: Path) -> Path:
    return (home / "published" / "atom.duckdb").resolve()


@pytest.fixture
def landed(sample: Finished, home: Path) -> dict[str, str]:
    """A home in which everything has landed and nothing is loaded."""
    home.mkdir()
    shutil.copytree(sample.home / "landing", home / "landing")
    (home / "world").symlink_to(sample.home / "world")
    return atom_environment(home)


def test_months_in_another_order_built_in_between(sample: Finished, home: Path, landed: dict[str, str]):
    for first, last in SPANS:
        done = atom("backfill", "--from", first, "--to", last, environment=landed)
        assert done.returncode == 0, done.stderr
    done = atom("run", environment=landed)
    assert done.returncode == 0, done.stderr
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        [(start_on,)] = connection.execute("select start_on from intermediate.int_rebuild").fetchall()
    assert f"{start_on}" == "2026-08-01"
    assert_same_marts(sample.published, _published(home))


def test_two_processes_at_once(sample: Finished, home: Path, landed: dict[str, str]):
    runs = [_start(landed, "run"), _start(landed, "run")]
    said = [run.communicate(timeout=900)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    assert_same_marts(sample.published, _published(home))


def test_a_backfill_goes_on_after_ctrl_c(sample: Finished, home: Path):
    (home / "world").parent.mkdir()
    (home / "world").symlink_to(sample.home / "world")
    environment = atom_environment(home)
    landing = home / "landing" / "hub_archive"
    first = _start(environment, "backfill", "--from", "2025-01", "--to", "2025-06")
    deadline = time.monotonic() + 300
    while not (landing.is_dir() and len(list(landing.iterdir())) > 5):
        assert first.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    first.send_signal(signal.SIGINT)
    said, _ = first.communicate(timeout=120)
    assert first.returncode == 130, said
    assert "Run again to go on." in said
    kept = {pull.name: pull.stat().st_mtime_ns for pull in landing.iterdir()}
    done = atom("backfill", "--from", "2025-01", "--to", "2025-06", environment=environment)
    assert done.returncode == 0, done.stderr
    after = {pull.name: pull.stat().st_mtime_ns for pull in landing.iterdir()}
    assert kept.items() <= after.items()
    assert len(after) > len(kept)
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        months = connection.execute("select count(*) from raw.loads where scope = 'hub'").fetchone()
    assert months == (6,)
