"""Three years backfilled from the UI: one click, one run for the months, one that builds and publishes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tests.conftest import Finished
from tests.e2e.conftest import DagsterUi, all_assets, running

DATED_HUB = ["hf_models", "hf_derivatives", "hf_probes"]
MONTHS = [f"{year}-{month:02}-01" for year in (2023, 2024, 2025, 2026) for month in range(1, 13)][10:46]


@pytest.fixture(scope="module")
def empty_ui(sample: Finished, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterUi]:
    """`atom ui` over a home in which nothing was ever pulled."""
    home: Path = tmp_path_factory.mktemp("backfill") / "home"
    home.mkdir()
    (home / "world").symlink_to(sample.home / "world")
    environment = sample.environment | {"ATOM_HOME": str(home)}
    command = [sys.executable, "-m", "atom_dagster", "ui", "--port"]
    with running(*command, home=home, environment=environment) as found:
        yield found


def test_36_months_are_green_in_one_run_and_published_by_the_next(empty_ui: DagsterUi):
    assert (MONTHS[0], MONTHS[-1], len(MONTHS)) == ("2023-11-01", "2026-10-01", 36)
    # OpenRouter begins in 2025: asked for earlier months by name, it fails (see the next test).
    chosen = [path for path in all_assets(empty_ui) if path != ["raw", "openrouter_tokens"]]
    backfill = empty_ui.backfill(chosen, MONTHS)
    assert set(backfill.statuses) == {"SUCCESS"}, backfill.failures()
    runs = {
        name: [run for run in backfill.runs if backfill.materialized(*name, run=run)]
        for name in (*(("raw", table) for table in DATED_HUB), ("marts", "models"), ("published",))
    }
    [months] = runs["raw", "hf_models"]
    for table in DATED_HUB:
        assert runs["raw", table] == [months]
        assert backfill.materialized("raw", table) == MONTHS
        assert empty_ui.materialized("raw", table) == set(MONTHS)
    [build] = runs["marts", "models"]
    assert build is not months
    assert runs["published",] == [build]
    assert backfill.materialized("published") == [None]
    [published] = (empty_ui.home / "builds").iterdir()
    with duckdb.connect(str(published / "atom.duckdb"), read_only=True) as connection:
        [(first, last)] = connection.execute(
            "select min(month), max(month) from marts.downloads_by_model_monthly where downloads is not null"
        ).fetchall()
        assert (f"{first}", f"{last}") == (MONTHS[0], MONTHS[-1])


def test_months_before_openrouter_began_fail_with_that_sentence(empty_ui: DagsterUi):
    before = (empty_ui.home / "published").resolve()
    backfill = empty_ui.backfill([["raw", "openrouter_tokens"]], MONTHS)
    assert backfill.statuses == ["FAILURE"]
    for month in ("2023-11", "2024-12"):
        assert f"OpenRouter's rankings cannot observe {month}" in backfill.failures()
    observable = [month for month in MONTHS if month >= "2025"]
    assert backfill.materialized("raw", "openrouter_tokens") == observable
    assert empty_ui.materialized("raw", "openrouter_tokens") == set(observable)
    assert (empty_ui.home / "published").resolve() == before
