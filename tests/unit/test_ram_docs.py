"""The miniature of RAM in the docs has the digits of the dbt unit tests that compute it."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from atom_dagster.settings import DBT_PROJECT

MODELS = DBT_PROJECT / "models"


def _unit_test(path: str, name: str) -> dict[str, Any]:
    tests = yaml.safe_load((MODELS / path).read_text())["unit_tests"]
    [found] = [test for test in tests if test["name"] == name]
    return found


def _documented() -> dict[str, list[str]]:
    """The cells of each model's line, without the spaces that group digits."""
    lines = re.findall(r"^\| (m\d) \| (.*) \|$", (MODELS / "marts" / "ram.md").read_text(), re.MULTILINE)
    return {
        model: [re.sub(r"(?<=\d) (?=\d)", "", cell) for cell in rest.split(" | ")] for model, rest in lines
    }


def _said(value: float | None) -> str:
    return "NULL" if value is None else f"{value:.4f}".rstrip("0").ljust(3, "0")


@pytest.fixture(scope="module")
def documented() -> dict[str, list[str]]:
    lines = _documented()
    assert sorted(lines) == ["m1", "m2", "m3", "m4", "m5"]
    return lines


def test_values_and_bounds(documented: dict[str, list[str]]):
    test = _unit_test("intermediate/int_ram_measurements.yml", "int_ram_measurements__miniature")
    for row in test["expect"]["rows"]:
        value = row["downloads_at_day"]
        bounds = f"{row['downloads_low']}–{row['downloads_high']}"
        assert documented[row["model_id"]][1:3] == ["NULL" if value is None else str(value), bounds]


def test_readings(documented: dict[str, list[str]]):
    test = _unit_test("intermediate/int_ram_measurements.yml", "int_ram_measurements__miniature")
    [curves] = [given["rows"] for given in test["given"] if given["input"] == "ref('int_ram_curves')"]
    read: dict[str, list[str]] = {}
    for point in curves:
        # the last day is the snapshot's, which has a column of its own
        if point["kind"] == "reading" and point["point_on"].day != 19:
            said = f"day {point['point_on'].day - 6}: {point['cumulative']}"
            read.setdefault(point["component_id"], []).append(said)
    assert {model: ", ".join(said) for model, said in read.items()} == {
        model: cells[0] for model, cells in documented.items()
    }


def test_totals_at_the_snapshot(documented: dict[str, list[str]]):
    test = _unit_test("marts/ram_baselines.yml", "ram_baselines__miniature")
    [standings] = [given["rows"] for given in test["given"] if given["input"] == "ref('int_ram_standings')"]
    totals = {
        row["model_id"]: str(row["cumulative"])
        for row in standings
        if row["as_of"].day == 19 and row["model_id"] in documented
    }
    assert totals == {model: cells[3] for model, cells in documented.items()}


@pytest.mark.parametrize(("baseline", "column"), [("nth", 4), ("median", 5)])
def test_scores(documented: dict[str, list[str]], baseline: str, column: int):
    rows = _unit_test("marts/ram_scores.yml", "ram_scores__miniature")["expect"]["rows"]
    scores = {row["model_id"]: _said(row["ram"]) for row in rows if row["baseline"] == baseline}
    assert scores == {model: cells[column] for model, cells in documented.items()}
