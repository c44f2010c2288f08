"""What `atom` says and returns: 0 done, 1 refused, 2 wrong usage, 3 nothing observable or a source failed, 70
something does not work."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import duckdb
import pytest
from click.testing import CliRunner

from atom_dagster import cli, pipeline
from atom_dagster.assets import dbt
from atom_dagster.commands import face
from atom_dagster.settings import Settings
from tests.conftest import Finished, atom, atom_environment, copy_home


def _one_sentence(stderr: str) -> str:
    assert "Traceback" not in stderr
    [line] = [line for line in stderr.splitlines() if line.startswith("atom: ")]
    return line


@pytest.mark.parametrize(
    ("months", "sentence"),
    [
        (("2025-13", "2025-13"), "'2025-13' is not a month"),
        (("soon", "2025-03"), "'soon' is not a month"),
        (("2025-03-02", "2025-04"), "not the first day"),
        (("2025-04", "2025-03"), "swap them"),
        (("2026-12", "2026-12"), "2026-12 has not begun"),
        (("2023-10", "2025-03"), "before 2023-11"),
    ],
)
def test_wrong_months(home: Path, months: tuple[str, str], sentence: str):
    done = atom("backfill", "--from", months[0], "--to", months[1], environment=atom_environment(home))
    assert done.returncode == 2
    assert sentence in _one_sentence(done.stderr)
    assert not home.exists()


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"ATOM_WORLD": "moon"}, "choose sample, live or recorded:DIR"),
        ({"ATOM_WORLD": "recorded:"}, "choose sample, live or recorded:DIR"),
        ({"ATOM_WORLD": "recorded:/nowhere"}, "it has no world.yml"),
        ({"ATOM_NOW": "yesterday"}, "write an ISO instant"),
        ({"ATOM_SEED": "one"}, "must be a whole number"),
        ({"ATOM_HUB_SCOPE": "some"}, "'all' or 'organizations'"),
    ],
)
def test_wrong_settings(home: Path, variables: dict[str, str], sentence: str):
    done = atom("run", environment=atom_environment(home, **variables))
    assert done.returncode == 2
    assert sentence in _one_sentence(done.stderr)


def test_a_recorded_world_whose_description_is_wrong(home: Path, tmp_path: Path):
    """Found out only when the world opens, in the run: still wrong configuration, and nothing else."""
    (tmp_path / "world.yml").write_text("archive: {}\n")
    done = atom("run", environment=atom_environment(home, ATOM_WORLD=f"recorded:{tmp_path}"))
    assert done.returncode == 2, done.stderr
    assert "declares 'archive', which no world has" in _one_sentence(done.stderr)


def test_unknown_options_and_missing_ones(home: Path):
    environment = atom_environment(home)
    for arguments in (("backfill", "--from", "2025-03"), ("run", "--month", "2025-03"), ("walk",)):
        done = atom(*arguments, environment=environment)
        assert done.returncode == 2
        assert "Error: " in done.stderr
        assert "Traceback" not in done.stderr


def test_a_shrink_cannot_be_accepted_where_nothing_is_pulled(home: Path):
    arguments = ("run", "--as-of", "2026-01-01", "--accept-shrink", "2025-03-12")
    done = atom(*arguments, environment=atom_environment(home))
    assert done.returncode == 2
    assert "--as-of pulls nothing" in _one_sentence(done.stderr)
    assert not home.exists()


@pytest.fixture
def recorded_copy(recorded: Finished, home: Path) -> dict[str, str]:
    copy_home(recorded.home, home)
    return recorded.environment | {"ATOM_HOME": str(home)}


def test_a_month_that_nothing_can_observe(recorded_copy: dict[str, str]):
    done = atom("backfill", "--from", "2023-12", "--to", "2023-12", environment=recorded_copy)
    assert done.returncode == 3
    sentence = _one_sentence(done.stderr)
    assert "no source can observe 2023-12" in sentence
    assert "archive" in sentence
    assert "2026-02 to 2026-06" in sentence
    assert "2025-01-01 to 2025-12-31" in sentence


def test_a_range_of_which_some_months_are_observable(recorded_copy: dict[str, str]):
    done = atom("backfill", "--from", "2024-11", "--to", "2025-01", environment=recorded_copy)
    assert done.returncode == 0, done.stderr
    assert "atom: " not in done.stderr
    assert "hf_models: 3 of 3 months are not observable (2024-11 … 2025-01)" in done.stderr
    assert "openrouter_tokens: 2 of 3 months are not observable (2024-11 … 2024-12)" in done.stderr


def test_a_build_that_dbt_cannot_make_is_not_called_a_rule(sample: Finished, home: Path):
    """Somebody's own table cites the models, so that dbt cannot replace them: it is dbt that is named."""
    copy_home(sample.home, home)
    before = (home / "published").readlink()
    with duckdb.connect(str(home / "warehouse.duckdb")) as connection:
        connection.execute("create table marts.notes (model_id varchar references marts.models (model_id))")
    # A day later, so that there is something to build.
    later = sample.environment | {"ATOM_HOME": str(home), "ATOM_NOW": "2026-11-13T06:00:00Z"}
    done = atom("backfill", "--from", "2025-03", "--to", "2025-03", environment=later)
    assert done.returncode == 70, done.stderr
    sentence = _one_sentence(done.stderr)
    assert sentence.startswith("atom: Nothing was published, because dbt's model models failed (")
    assert "dbt.log" in sentence
    assert "rule" not in sentence
    assert (home / "published").readlink() == before


def _results(home: Path, *results: tuple[str, str, str]) -> Settings:
    (home / "dbt").mkdir(parents=True)
    records = [{"unique_id": u, "status": s, "message": m} for u, s, m in results]
    (home / "dbt" / "run_results.json").write_text(json.dumps({"results": records}))
    return Settings.from_env(atom_environment(home))


def test_what_dbt_failed_at_is_said_in_one_sentence(home: Path):
    settings = _results(
        home,
        ("model.atom.int_models", "success", "OK"),
        ("test.atom.not_null_models_model_id.0a1b", "fail", "Got 3 results, configured to fail if != 0"),
        ("model.atom.ram_scores", "error", "Runtime Error\n  Out of memory"),
        ("model.atom.ram_baselines", "skipped", ""),
    )
    assert dbt.complaint(settings) == (
        "dbt's test not_null_models_model_id failed (Got 3 results, configured to fail if != 0),"
        f" and 1 more with it; dbt's log is {home / 'dbt' / 'dbt.log'}."
    )


@pytest.mark.parametrize(
    ("results", "is_violated"),
    [
        ([("test.atom.a.0a1b", "fail", "Got 3 results"), ("model.atom.b", "skipped", "")], True),
        ([("test.atom.a.0a1b", "fail", "Got 3 results"), ("model.atom.b", "error", "Out of memory")], False),
        ([("test.atom.a.0a1b", "error", "Out of memory")], False),
        ([], False),
    ],
)
def test_only_what_data_tests_found_is_a_rule_s_violation(home: Path, results: list, is_violated: bool):
    assert dbt.is_violated(_results(home, *results)) is is_violated


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        ({"fault": "Nothing was published. Step published failed (KeyError: x)."}, 70),
        ({"refused": "Nothing was published, because a blocking rule is violated."}, 1),
        ({"failures": ["The Hub cannot be reached."]}, 3),
        ({"fault": "Nothing was published.", "failures": ["The Hub cannot be reached."]}, 70),
        ({}, 0),
    ],
)
def test_what_came_of_a_run_has_its_code(
    home: Path, monkeypatch: pytest.MonkeyPatch, outcome: dict[str, Any], code: int
):
    monkeypatch.setattr(pipeline, "run", lambda *_, **__: pipeline.Outcome([], **outcome))
    done = CliRunner().invoke(cli.main, ["run"], env=atom_environment(home, ATOM_WORLD="sample"))
    assert done.exit_code == code
    for value in outcome.values():
        for sentence in [value] if isinstance(value, str) else value:
            assert f"atom: {sentence}" in done.stderr


def test_a_dbt_that_never_built_anything_is_said_to_have_not(home: Path):
    assert dbt.complaint(Settings.from_env(atom_environment(home))).startswith(
        "dbt ended before it built anything"
    )


@pytest.mark.parametrize(("form", "codes"), [("table", {0, 141}), ("csv", {141}), ("json", {0, 141})])
def test_a_reader_that_leaves_is_no_fault(sample: Finished, form: str, codes: set[int]):
    # What is written at once may have been taken whole when the reader leaves.
    query = "select repeat('x', 1000) as line from range(1000)"
    with subprocess.Popen(
        [sys.executable, "-m", "atom_dagster", "sql", "--format", form, query],
        env=sample.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as running:  # fmt: skip
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        assert running.wait(60) in codes
        assert [line for line in running.stderr if "synthetic" not in line] == []


def test_who_may_only_read_reads_and_is_told_what_else_needs(sample: Finished, home: Path):
    copy_home(sample.home, home)
    for path in (home, *home.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~0o222)
    # Root may write whatever the mode says, unless it gives that up.
    obeying = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    if obeying and shutil.which("setpriv") is None:
        pytest.skip("root cannot do without its rights here: there is no setpriv")

    def asked(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*obeying, sys.executable, "-m", "atom_dagster", *arguments]
        environment = atom_environment(home)
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    for command in (("status",), ("verify",), ("prune",), ("sql", "select 1")):
        done = asked(*command)
        assert done.returncode == 0, (command, done.stderr)
    done = asked("run")
    assert done.returncode == 2
    assert re.search(
        rf"^atom: This user has no right to {home}/\S+; give it that right", done.stderr, re.MULTILINE
    )


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (PermissionError(13, "Permission denied", "/a/b"), 2, "This user has no right to /a/b; give it"),
        # Of no file: nothing that rights to a home would mend.
        (PermissionError(1, "Operation not permitted"), 70, "[Errno 1] Operation not permitted (--debug"),
    ],
)  # fmt: skip
def test_a_right_that_is_missing_is_one_sentence(
    home: Path, monkeypatch: pytest.MonkeyPatch, error: PermissionError, code: int, sentence: str
):
    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(face, "say_world", refuse)
    command = face.world_options(lambda settings, debug: face.say_world(settings))
    done = CliRunner(env=atom_environment(home)).invoke(click.command("try")(command))
    assert done.exit_code == code
    assert done.stderr.startswith(f"atom: {sentence}")
