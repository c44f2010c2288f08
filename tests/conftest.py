"""Worlds that have been run once, shared by the tests that only look at them."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
NOW = "2026-11-12T06:00:00+00:00"
TODAY = date(2026, 11, 12)


@dataclass(frozen=True)
class Finished:
    """A world whose main job has ended."""

    home: Path
    environment: dict[str, str]
    exit_code: int
    stdout: str
    stderr: str
    today: date = TODAY

    @property
    def warehouse(self) -> Path:
        return self.home / "warehouse.duckdb"

    @property
    def published(self) -> Path:
        return (self.home / "published" / "atom.duckdb").resolve()

    @contextmanager
    def connect(self) -> Iterator[duckdb.DuckDBPyConnection]:
        connection = duckdb.connect(str(self.published), read_only=True)
        try:
            yield connection
        finally:
            connection.close()

    def rows(self, sql: str, *parameters: object) -> list[tuple]:
        with self.connect() as connection:
            return connection.execute(sql, list(parameters)).fetchall()


def atom_environment(home: Path, **variables: str) -> dict[str, str]:
    """A clean environment for `atom`: nothing of the caller's ATOM_*, Dagster or credentials."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ATOM_", "DAGSTER", "DBT_", "HF_", "OPENROUTER"))
    }
    return kept | {"ATOM_HOME": str(home), "ATOM_NOW": NOW} | variables


def atom(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user would."""
    return subprocess.run(
        [sys.executable, "-m", "atom_dagster", *arguments],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


def finish(home: Path, *arguments: str, **variables: str) -> Finished:
    """Run the main job in a home of its own; of the workers that want it one runs it, and the others wait."""
    environment = atom_environment(home, **variables)
    home.parent.mkdir(parents=True, exist_ok=True)
    record, session = home.with_name(f"{home.name}.json"), os.environ.get("PYTEST_XDIST_TESTRUNUID")
    with home.with_name(f"{home.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = json.loads(record.read_text()) if session and record.exists() else {}
        if not told or told["session"] != session:
            done = atom("run", *arguments, environment=environment)
            told = {"session": session, "ended": [done.returncode, done.stdout, done.stderr]}
            record.write_text(json.dumps(told))
    return Finished(home, environment, *told["ended"])


def copy_home(home: Path, to: Path) -> None:
    """A home of one's own with all that a finished world has; the world's generated files are shared.

    Finished worlds are looked at by all workers at once, so nobody writes to them; only the world grows, by
    whole files, and ``atom doctor`` tries whether it could write.
    """

    def left_out(folder: str, _: list[str]) -> set[str]:
        return {"world", ".doctor"} if Path(folder) == home else set()

    shutil.copytree(home, to, symlinks=True, ignore=left_out)
    if (home / "world").exists():
        (to / "world").symlink_to((home / "world").resolve())


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--homes",
        type=Path,
        help="keep the finished worlds in this folder, and use those that are there",
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give a worker whole files, whose tests share what fixtures built, in the order of their names.

    All that drive a UI go to one worker: each of them starts servers and waits for them with a deadline.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "tests/e2e" if file.startswith("tests/e2e/") else file

    # The longest files have the fewest tests, and would come last.
    config.option.loadscopereorder = False
    return ByFile(config, log)


@pytest.fixture(scope="session")
def homes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the finished worlds, one for all workers."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    return (request.config.getoption("--homes") or shared / "homes").resolve()


@pytest.fixture(scope="session")
def sample(homes: Path) -> Finished:
    """The sample world, run once."""
    finished = finish(homes / "sample")
    assert finished.exit_code == 0, finished.stderr
    return finished


@pytest.fixture(scope="session")
def other_story(homes: Path) -> Finished:
    """The sample world's second seed, run once."""
    finished = finish(homes / "sample-2", ATOM_SEED="2")
    assert finished.exit_code == 0, finished.stderr
    return finished


@pytest.fixture(scope="session")
def recorded_answers() -> Path:
    """The folder of recorded answers; a fresh user does not have it."""
    folder = SHARED / "recorded"
    if not folder.is_dir():
        if os.environ.get("CI"):
            pytest.fail("CI needs ../shared/recorded beside the clone, and it is missing.")
        pytest.skip("needs ../shared/recorded, which is not part of the project")
    return folder


@pytest.fixture(scope="session")
def recorded(homes: Path, recorded_answers: Path) -> Finished:
    """The recorded world, run once."""
    finished = finish(homes / "recorded", ATOM_WORLD=f"recorded:{recorded_answers}")
    assert finished.exit_code == 0, finished.stderr
    return finished


@pytest.fixture(autouse=True)
def _no_instance_of_another_test() -> Iterator[None]:
    """Loading definitions asks the instance opened last, which a context left open may leave dead.

    A context that a test builds (``dg.build_schedule_context``) opens an instance of its own, and closes it
    at the end of a ``with`` or whenever it is collected.
    """
    if "dagster" not in sys.modules:  # nothing was opened, and who needs no Dagster need not wait for it
        yield
        return
    from dagster._core.storage.defs_state.base import set_defs_state_storage

    with set_defs_state_storage(None):
        yield


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home."""
    return tmp_path / "home"


AtomRunner = Callable[..., subprocess.CompletedProcess[str]]
