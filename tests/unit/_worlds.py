"""What the tests of worlds share: settings of a world in a folder, generated once."""

import atexit
import shutil
import tempfile
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from atom_dagster.settings import Settings

NOW = datetime(2026, 5, 20, 12, tzinfo=UTC)  # a Wednesday


@cache
def home(seed: int = 1) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=f"atom-world-{seed}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def settings(
    seed: int = 1,
    now: datetime = NOW,
    faults: Path | None = None,
    world: str = "sample",
    folder: Path | None = None,
) -> Settings:
    return Settings(
        world=world,
        home=folder or home(seed),
        seed=seed,
        fixed_now=now,
        hub_scope="all",
        faults=faults,
    )
