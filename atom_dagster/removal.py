"""Taking pulls and drafts out of landing: by one rename, then deletion, so that a kill halves nothing.

Belongs here: the only code that removes what landing holds, under the lock of whoever makes the same
pull. Does not belong here: deciding what may go (``retention``).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from atom_dagster.landing import (
    DRAFTS,
    MANIFEST,
    PRUNED,
    Landing,
    Pull,
    day_of,
    locked,
    sync_folder,
    write_synced,
)


@dataclass(frozen=True)
class Draft:
    """What an attempt at a pull has left; ``day`` is its UTC day, None when that cannot be read."""

    name: str
    day: date | None
    bytes: int
    path: Path


def take_out(landing: Landing, pull: Pull, why: str, now: datetime) -> None:
    """Remove a pull, leaving what its manifest said; killed anywhere, the pull is there or it is not.

    Raises:
        LandingError: another process is making a pull of the same scope.
    """
    graves = _graves(landing)
    with _held(landing, f"{pull.source}-{pull.scope}"):
        manifest = json.loads((pull.path / MANIFEST).read_bytes())
        manifest["taken_out"] = {"at": now.astimezone(UTC).isoformat(), "why": why}
        # Before the pull goes, or its id could be given to another one.
        part = graves / f"{pull.pull_id}.part"
        write_synced(part, [json.dumps(manifest, indent=1, sort_keys=True).encode()], packed=False)
        part.replace(graves / f"{pull.pull_id}.json")
        sync_folder(graves)
        _bury(pull.path, graves / pull.pull_id)


def drop(landing: Landing, draft: Draft) -> None:
    """Remove a draft.

    Raises:
        LandingError: another process is writing it.
    """
    with _held(landing, draft.name):
        if draft.path.exists():
            _bury(draft.path, _graves(landing) / draft.name)


def drafts(landing: Landing) -> list[Draft]:
    """What attempts at pulls have left or are writing, by name."""
    folders = sorted(folder for folder in (landing.root / DRAFTS).glob("*") if folder.is_dir())
    return [Draft(folder.name, day_of(folder), size_of(folder), folder) for folder in folders]


def remains(landing: Landing) -> list[Path]:
    """Folders that a killed removal left; they are out of use already."""
    return sorted(folder for folder in (landing.root / PRUNED).glob("*") if folder.is_dir())


def sweep(landing: Landing) -> None:
    """Delete what a killed removal left."""
    for folder in remains(landing):
        shutil.rmtree(folder, ignore_errors=True)


def size_of(folder: Path) -> int:
    """Bytes on disk of the files below a folder, which others may be writing or removing."""
    found = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                found += (Path(parent) / name).stat().st_size
    return found


@contextmanager
def _held(landing: Landing, name: str) -> Iterator[None]:
    folder = landing.root / DRAFTS
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / f"{name}.lock", 0):
        yield


def _graves(landing: Landing) -> Path:
    graves = landing.root / PRUNED
    graves.mkdir(parents=True, exist_ok=True)
    return graves


def _bury(folder: Path, grave: Path) -> None:
    shutil.rmtree(grave, ignore_errors=True)
    folder.rename(grave)
    sync_folder(folder.parent)
    shutil.rmtree(grave)
