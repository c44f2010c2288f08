"""One row of a seed changes exactly the figures that should change, and the exposures knew which may."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from atom_dagster.report.figures import FIGURES
from atom_dagster.settings import DBT_PROJECT
from tests.conftest import ROOT, TODAY, Finished, atom_environment


@dataclass(frozen=True)
class Case:
    """A row of a seed, what is written in its place, and the figures that show it."""

    seed: str
    row: str
    instead: str
    changed: set[str]


CASES = [
    # A cause that is known says nothing of any number.
    Case(
        "known_anomalies",
        "Hub-wide fault of June 2026",
        "A fault of the whole Hub in June 2026",
        {"anomalies"},
    ),
    # A published value is compared, and enters nothing else.
    Case("claims_published", ",942100000,downloads,", ",842100000,downloads,", {"claims"}),
    # Another window of entrants than the one that is drawn.
    Case("entrant_windows", "2025-08-01,Since August 2025", "2025-06-01,Since June 2025", {"new_entrants"}),
    # The ninth instead of the tenth: scores under that baseline, what they foretell, and claims about them.
    Case(
        "ram_baselines_defined",
        "tenth_2026_q2,nth,2026-05-23,10,true",
        "tenth_2026_q2,nth,2026-05-23,9,true",
        {"ram_newest", "ram_by_baseline", "ram_backtest", "claims"},
    ),
]


def _figures(warehouse: Path) -> dict[str, list[tuple]]:
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        return {figure.id: connection.execute(figure.sql).fetchall() for figure in FIGURES}


def _may_change(manifest: Path, seed: str) -> set[str]:
    """The figures whose exposures stand downstream of a seed."""
    children = json.loads(manifest.read_text())["child_map"]
    found, todo = set(), [f"seed.atom.{seed}"]
    while todo:
        node = todo.pop()
        if node not in found:
            found.add(node)
            todo += children.get(node, [])
    return {node.split(".")[-1].removeprefix("report_") for node in found if node.startswith("exposure.")}


@pytest.fixture(scope="module")
def before(sample: Finished) -> dict[str, list[tuple]]:
    return _figures(sample.warehouse)


@pytest.fixture
def changed_seed(sample: Finished, tmp_path: Path) -> Callable[[Case], Path]:
    """Builds, in copies of warehouse and project, what follows from a seed with another row in it."""

    def build(case: Case) -> Path:
        home, project = tmp_path / "home", tmp_path / "dbt_project"
        home.mkdir()
        shutil.copy(sample.warehouse, home)
        shutil.copytree(DBT_PROJECT, project, ignore=shutil.ignore_patterns("target", "logs"))
        seed = project / "seeds" / f"{case.seed}.csv"
        text = seed.read_text()
        assert text.count(case.row) == 1
        seed.write_text(text.replace(case.row, case.instead))
        done = subprocess.run(
            [sys.executable, "-m", "atom_dagster.dbt_launcher", "build",
             "--exclude-resource-type", "unit_test", "test",
             "--select", f"{case.seed}+",
             "--vars", json.dumps({"today": TODAY.isoformat()}),
             "--target-path", str(tmp_path / "target"), "--log-path", str(tmp_path / "logs")],
            env=atom_environment(home, DBT_PROJECT_DIR=str(project), DBT_PROFILES_DIR=str(project)),
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-4000:]
        return home / "warehouse.duckdb"

    return build


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.seed)
def test_a_changed_row_changes_exactly_its_figures(
    case: Case, before: dict[str, list[tuple]], changed_seed: Callable[[Case], Path], tmp_path: Path
):
    after = _figures(changed_seed(case))
    assert {name for name, rows in after.items() if rows != before[name]} == case.changed
    assert case.changed <= _may_change(tmp_path / "target" / "manifest.json", case.seed)
