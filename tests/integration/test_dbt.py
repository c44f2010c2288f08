"""The dbt project on empty raw tables: every model builds, every unit test of a worked example passes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from atom_dagster.warehouse import Warehouse
from tests.conftest import ROOT, atom_environment


def test_models_build_and_unit_tests_pass(tmp_path: Path):
    home = tmp_path / "home"
    home.mkdir()
    with Warehouse(home / "warehouse.duckdb").writing("test"):
        pass
    done = subprocess.run(
        [sys.executable, "-m", "atom_dagster.dbt_launcher", "build",
         "--vars", '{"today": "2026-04-08"}',
         "--target-path", str(tmp_path / "target"), "--log-path", str(tmp_path / "logs")],
        env=atom_environment(home), cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:]
    results = json.loads((tmp_path / "target" / "run_results.json").read_text())["results"]
    statuses = [(result["unique_id"], result["status"]) for result in results]
    unit_tests = [name for name, _ in statuses if name.startswith("unit_test.")]
    assert len(unit_tests) >= 40
    # There is nothing to run of a figure's exposure.
    ran = {status for name, status in statuses if not name.startswith("exposure.")}
    assert ran == {"success", "pass"}
