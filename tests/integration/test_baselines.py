"""`atom baselines propose`: the row it names gives what it showed, once it stands in the seed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from atom_dagster.baselines import SEED
from atom_dagster.settings import DBT_PROJECT
from tests.conftest import ROOT, TODAY, Finished, atom, atom_environment


def _proposed(sample: Finished, *arguments: str) -> dict[str, Any]:
    done = atom("baselines", "propose", *arguments, "--format", "json", environment=sample.environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def third_quarter(sample: Finished) -> dict[str, Any]:
    """The proposal made without options, and proof that it left everything as it was."""
    before = SEED.read_bytes(), sample.warehouse.stat().st_mtime_ns
    proposal = _proposed(sample)
    assert (SEED.read_bytes(), sample.warehouse.stat().st_mtime_ns) == before
    assert not (sample.home / "proposal").exists()
    return proposal


@dataclass(frozen=True)
class Rebuilt:
    """A copy of the sample world's warehouse after dbt built RAM in it again."""

    warehouse: Path

    def rows(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.warehouse), read_only=True) as connection:
            return connection.execute(sql, list(parameters)).fetchall()


@pytest.fixture
def rebuild(sample: Finished, tmp_path: Path) -> Callable[..., Rebuilt]:
    """Builds what follows from the seed in copies of warehouse and project, with another row or vars."""

    def build(row: str = "", **variables: object) -> Rebuilt:
        home, project = tmp_path / "home", tmp_path / "dbt_project"
        home.mkdir()
        shutil.copy(sample.warehouse, home)
        shutil.copytree(DBT_PROJECT, project, ignore=shutil.ignore_patterns("target", "logs"))
        with (project / "seeds" / SEED.name).open("a") as seed:
            seed.write(f"{row}\n" if row else "")
        done = subprocess.run(
            [sys.executable, "-m", "atom_dagster.dbt_launcher", "build",
             "--exclude-resource-type", "unit_test",
             "--select", "ram_baselines_defined+", "int_ram_components+",
             "--vars", json.dumps({"today": TODAY.isoformat()} | variables),
             "--target-path", str(tmp_path / "target"), "--log-path", str(tmp_path / "logs")],
            env=atom_environment(home, DBT_PROJECT_DIR=str(project), DBT_PROFILES_DIR=str(project)),
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-4000:]
        return Rebuilt(home / "warehouse.duckdb")

    return build


def test_the_row_gives_exactly_the_proposed_scores(
    sample: Finished, third_quarter: dict[str, Any], rebuild: Callable[..., Rebuilt]
):
    row = third_quarter["row"]
    line = f"{row['baseline']},{row['rule']},{row['snapshot_on']},{row['n']},true"
    built = rebuild(line)
    baselines = built.rows(
        "select size_bucket, day, downloads, pool_size from marts.ram_baselines where baseline = ?",
        row["baseline"],
    )
    assert len(baselines) == 49
    assert sorted(baselines) == sorted(
        (one["size_bucket"], one["day"], one["downloads_proposed"], one["pool_size"])
        for one in third_quarter["baselines"]
    )
    # a score that is not among the proposed changes is that of the baseline it was compared with
    changed = {(one["model_id"], one["day"]): one for one in third_quarter["scores"]}
    assert len(changed) > 1000
    scores = built.rows(
        "select model_id, day, proposed.ram, present.ram"
        " from (from marts.ram_scores where baseline = ?) as proposed"
        " join (from marts.ram_scores where baseline = ?) as present using (model_id, day)",
        row["baseline"],
        third_quarter["compared_with"],
    )
    assert changed.keys() <= {(model, day) for model, day, *_ in scores}
    for model, day, proposed, present in scores:
        one = changed.get((model, day), {"ram_proposed": present, "ram": present})
        assert (one["ram_proposed"], one["ram"]) == (proposed, present), (model, day)
    # and nobody else's baseline has moved
    others = "select * from marts.ram_scores where baseline != ? order by all"
    assert built.rows(others, row["baseline"]) == sample.rows(others, row["baseline"])


def test_the_row_is_of_the_quarter_after_the_newest_frozen_baseline(
    sample: Finished, third_quarter: dict[str, Any]
):
    row = third_quarter["row"]
    [(last,)] = sample.rows(
        "select max(observed_on) from marts.observations where is_used"
        " and observed_on between '2026-07-01' and '2026-09-30'"
        " and model_id in (select model_id from marts.models where tracked_list = 'core')"
    )
    assert row == {
        "baseline": "tenth_2026_q3",
        "rule": "nth",
        "snapshot_on": last.isoformat(),
        "n": 10,
        "is_frozen": True,
    }
    assert third_quarter["compared_with"] == "tenth_2026_q2"
    assert third_quarter["is_over"]


def test_scores_that_cross_one_come_first_then_the_greatest_changes(third_quarter: dict[str, Any]):
    scores = third_quarter["scores"]
    for one in scores:
        crossed = {"up": (False, True), "down": (True, False)}.get(one["change"])
        if crossed:
            assert (one["ram"] >= 1, one["ram_proposed"] >= 1) == crossed
        elif one["change"] == "moved":
            assert (one["ram"] >= 1) == (one["ram_proposed"] >= 1)
    kinds = [one["change"] in {"up", "down"} for one in scores]
    assert any(kinds)
    assert kinds == sorted(kinds, reverse=True)
    moved = [max(one["ratio"], 1 / one["ratio"]) for one in scores if one["change"] == "moved"]
    assert moved == sorted(moved, reverse=True)


def test_at_the_newest_reading_it_is_the_rolling_baseline(sample: Finished):
    """The other way to the same numbers: what the published build holds of them."""
    proposal = _proposed(sample, "--quarter", "2026-Q4")
    [(newest,)] = sample.rows("select max(snapshot_on) from marts.ram_baselines where not is_frozen")
    assert proposal["row"]["snapshot_on"] == newest.isoformat()
    assert not proposal["is_over"]
    rolling = sample.rows(
        "select size_bucket, day, downloads, pool_size from marts.ram_baselines"
        " where baseline = 'tenth_rolling'"
    )
    assert sorted(rolling) == sorted(
        (one["size_bucket"], one["day"], one["downloads_proposed"], one["pool_size"])
        for one in proposal["baselines"]
    )
    scores = {
        (model, day): ram
        for model, day, ram in sample.rows(
            "select model_id, day, ram from marts.ram_scores where baseline = 'tenth_rolling'"
        )
    }
    assert proposal["scores"]
    for one in proposal["scores"]:
        assert one["ram_proposed"] == scores[one["model_id"], one["day"]]


def test_a_median_is_proposed_by_its_own_rule(sample: Finished):
    arguments = ("baselines", "propose", "--quarter", "2026-Q1", "--rule", "median_of_top", "--show", "row")
    done = atom(*arguments, "--format", "csv", environment=sample.environment)
    assert done.returncode == 0, done.stderr
    header, row = done.stdout.splitlines()
    assert header == SEED.read_text().splitlines()[0]
    assert row.startswith("median_top10_2026_q1,median_of_top,2026-03-")
    assert "Compared with median_top10_2026_01 " in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--quarter", "2026-Q5"), "write it like 2026-Q3"),
        (("--quarter", "2027-Q1"), "2027-Q1 has not begun"),
        (("--quarter", "2026-Q2"), "has tenth_2026_q2 already"),
        (("--quarter", "2020-Q1"), "atom backfill --from 2020-01 --to 2020-03"),
        (("--format", "csv"), "add --show row, baselines or scores"),
    ],
)
def test_what_cannot_be_proposed(sample: Finished, arguments: tuple[str, ...], sentence: str):
    done = atom("baselines", "propose", *arguments, environment=sample.environment)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    [line] = [line for line in done.stderr.splitlines() if line.startswith("atom: ")]
    assert sentence in line


def test_merging_as_a_column_is_merging_as_a_switch(sample: Finished, rebuild: Callable[..., Rebuilt]):
    """definitions 5.10: ram_sensitivity says what a build with merge_precision_variants would publish."""
    switched = rebuild(merge_precision_variants=True)
    merged = sample.rows(
        "select model_id, day, ram from marts.ram_sensitivity"
        " where variant = 'merged_precision_variants' and null_reason is distinct from 'merged_into_base'"
        " order by all"
    )
    assert merged == switched.rows(
        "select model_id, day, ram from marts.ram_scores where baseline = 'tenth_rolling' order by all"
    )
    assert sum(ram is not None for *_, ram in merged) > 1000
    # where nothing is left to merge, the column repeats the score
    assert switched.rows(
        "select distinct ratio from marts.ram_sensitivity"
        " where variant = 'merged_precision_variants' and ratio is not null"
    ) == [(1.0,)]
