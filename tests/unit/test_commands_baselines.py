"""How `atom baselines propose` shows a proposal: table, CSV, JSON, and what it says beside them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from atom_dagster import baselines
from atom_dagster.baselines import Definition, Proposal, Quarter, Rows
from atom_dagster.cli import main

PROPOSAL = Proposal(
    row=Definition("tenth_2026_q3", "nth", date(2026, 9, 24), 10, True),
    quarter=Quarter(2026, 3),
    is_over=True,
    compared_with=Definition("tenth_2026_q2", "nth", date(2026, 5, 23), 10, True),
    as_of=None,
    baselines=Rows(
        ["size_bucket", "day", "downloads_proposed", "ratio", "null_reason"],
        [("<1B", 7, 1234.6, 1.456, None), ("250B+", 7, None, None, "pool_too_small")],
    ),
    scores=Rows(
        ["model_id", "ram", "change"],
        [("x/up", None, "new"), *((f"x/{n}", 0.125, "moved") for n in range(30))],
    ),
)


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Runs the command with a proposal made beforehand."""

    def run(*arguments: str, proposal: Proposal = PROPOSAL) -> Result:
        monkeypatch.setattr(baselines, "propose", lambda *_, **__: proposal)
        monkeypatch.setenv("ATOM_HOME", str(tmp_path))
        monkeypatch.setenv("ATOM_WORLD", "sample")
        return CliRunner().invoke(main, ["baselines", "propose", *arguments])

    return run


def test_a_table_for_people(show: Callable[..., Result]):
    shown = show()
    assert shown.exit_code == 0
    row, _, heads, values, *rest = shown.stdout.splitlines()
    assert row == "tenth_2026_q3,nth,2026-09-24,10,true"
    assert heads.split() == ["size_bucket", "day", "downloads_proposed", "ratio", "null_reason"]
    assert values.split() == ["<1B", "7", "1235", "1.46", "NULL"]
    assert rest[0].split() == ["250B+", "7", "NULL", "NULL", "pool_too_small"]
    assert [line.split()[:2] for line in rest if line.startswith(" x/")][:2] == [
        ["x/up", "NULL"],
        ["x/0", "0.12"],
    ]
    assert sum(line.startswith(" x/") for line in rest) == 20
    assert "… and 11 more scores (--limit)." in shown.stderr
    assert "Compared with tenth_2026_q2 (nth, n 10, 2026-05-23)." in shown.stderr
    assert "30 move on their side of it, 1 are new, 0 are lost" in shown.stderr
    assert "1 of 2 sizes and days would have no baseline" in shown.stderr
    assert "not over" not in shown.stderr
    assert "synthetic" in shown.stderr


def test_a_csv_holds_one_part_whole_and_unrounded(show: Callable[..., Result]):
    shown = show("--format", "csv", "--show", "scores")
    assert shown.stdout.splitlines()[:3] == ["model_id,ram,change", "x/up,,new", "x/0,0.125,moved"]
    assert len(shown.stdout.splitlines()) == 32
    refused = show("--format", "csv")
    assert refused.exit_code == 2
    assert "add --show row, baselines or scores" in refused.stderr


def test_json_holds_everything(show: Callable[..., Result]):
    said = json.loads(show("--format", "json").stdout)
    assert said["row"]["snapshot_on"] == "2026-09-24"
    assert said["baselines"][0] == {
        "size_bucket": "<1B",
        "day": 7,
        "downloads_proposed": 1234.6,
        "ratio": 1.456,
        "null_reason": None,
    }
    assert len(said["scores"]) == 31
    assert said["seed"].endswith("seeds/ram_baselines_defined.csv")
    assert json.loads(show("--format", "json", "--show", "scores", "--limit", "1").stdout) == [
        {"model_id": "x/up", "ram": None, "change": "new"}
    ]


def test_what_makes_a_comparison_weak_is_said(show: Callable[..., Result]):
    other = replace(
        PROPOSAL,
        is_over=False,
        as_of="2026-08-01T00:00:00Z",
        compared_with=Definition("median_top10_2026_01", "median_of_top", date(2026, 1, 11), 10, True),
    )
    said = show(proposal=other).stderr
    assert "2026-Q3 is not over" in said
    assert "stand as of 2026-08-01T00:00:00Z" in said
    assert "another rule" in said
    alone = replace(PROPOSAL, compared_with=None)
    assert "no frozen baseline to compare" in show(proposal=alone).stderr
