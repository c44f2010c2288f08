"""`atom run --as-of`: the marts as they would have looked from what had been fetched by an instant."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import NOW, Finished, atom, atom_environment, copy_home
from tests.integration.test_killed import assert_same_marts

LATER = "2026-11-20T06:00:00+00:00"
AS_OF = NOW.replace("+00:00", ".000000Z")


@pytest.fixture(scope="module")
def moved_on(sample: Finished, homes: Path) -> Finished:
    """The sample world run once more, eight days later: OpenRouter has restated its numbers meanwhile."""
    home = homes / "moved-on"
    faults = homes / "moved-on-faults.json"
    # Every total that began with a 1 begins with a 2.
    faults.write_text(
        json.dumps([{"path": "rankings-daily", "replace": {'"total_tokens":"1': '"total_tokens":"2'}}])
    )
    environment = atom_environment(home, ATOM_NOW=LATER, ATOM_FAULTS=str(faults))
    if not home.exists():
        copy_home(sample.home, home)
    done = atom("run", environment=environment)
    assert done.returncode == 0, done.stderr
    return Finished(home, environment, done.returncode, done.stdout, done.stderr)


def _status(finished: Finished) -> str:
    return atom("status", environment=finished.environment).stdout


def test_then_is_rebuilt_and_the_present_comes_back(sample: Finished, moved_on: Finished, tmp_path: Path):
    present = Path(shutil.copy(moved_on.published, tmp_path / "present.duckdb"))
    # OpenRouter's days are held in both vintages, and the marts used the later one.
    restated = "select sum(tokens) from marts.inference_by_model_monthly where month = '2026-10-01'"
    assert moved_on.rows(restated) > sample.rows(restated)
    with pytest.raises(AssertionError, match="differs"):
        assert_same_marts(sample.published, present)

    landed = sorted((moved_on.home / "landing").rglob("*"))
    done = atom("run", "--as-of", NOW, environment=moved_on.environment)
    assert done.returncode == 0, done.stderr
    assert_same_marts(sample.published, moved_on.published)
    assert sorted((moved_on.home / "landing").rglob("*")) == landed

    # What is published says so, wherever one looks.
    assert moved_on.rows("select as_of from meta.build") == [(AS_OF,)]
    assert json.loads((moved_on.published.parent / "build.json").read_text())["as_of"] == AS_OF
    assert f"as of {AS_OF}" in done.stdout
    assert f"as of {AS_OF}" in _status(moved_on)
    pulls = "select pull_id, fetched_at from meta.pulls order by all"
    assert moved_on.rows(pulls) == sample.rows(pulls)

    # The same again finds it published; the day of that instant is another one, with the same pulls.
    again = atom("run", "--as-of", NOW, environment=moved_on.environment)
    assert (again.returncode, "Nothing new" in again.stdout) == (0, True)

    done = atom("run", environment=moved_on.environment)
    assert done.returncode == 0, done.stderr
    assert_same_marts(present, moved_on.published)
    assert moved_on.rows("select as_of from meta.build") == [(None,)]
    assert AS_OF not in done.stdout + _status(moved_on)


@pytest.mark.parametrize(
    ("when", "sentence"),
    [
        ("2026-11-11", "the first pull was completed at 2026-11-12T06:00:00Z"),
        ("2026-11-12T05:59:59Z", "the first pull was completed at 2026-11-12T06:00:00Z"),
        ("2026-11-13", "2026-11-13 has not come yet"),
        ("yesterday", "'yesterday' is no instant"),
    ],
)
def test_an_instant_that_nothing_is_known_of(sample: Finished, when: str, sentence: str):
    before = sample.published
    done = atom("run", "--as-of", when, environment=sample.environment)
    assert done.returncode == 2
    [line] = [line for line in done.stderr.splitlines() if line.startswith("atom: ")]
    assert sentence in line
    assert sample.published == before


def test_nothing_fetched_at_all(home: Path):
    done = atom("run", "--as-of", "2026-11-01", environment=atom_environment(home))
    assert done.returncode == 2
    assert "Nothing has been fetched yet" in done.stderr
