"""Whether landing still holds what was received: every byte against its manifest.

Belongs here: re-hashing, and comparing landing with what the warehouse says was loaded. Reads only.
Does not belong here: how a pull is kept (``landing``), or repairing anything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import duckdb

from atom_dagster import progress
from atom_dagster.landing import MANIFEST, Landing, LandingError, Pull
from atom_dagster.removal import drafts, remains, size_of
from atom_dagster.settings import Settings
from atom_dagster.warehouse import Warehouse

AGAIN = "delete that folder and run `atom run`, which pulls it again"
RESTORE = "restore that folder from a backup, or move it aside; its source may not have it any more"
REPEATS = "hub_archive"
"""The one source that gives again what it gave: its folders stay. The history of revisions may be squashed,
a series is replaced by the next, and all others know only now, so that theirs may be the only copy."""


@dataclass(frozen=True)
class Finding:
    """One thing that was found; notes are no damage."""

    kind: Literal["damaged", "note"]
    where: str
    """Folder below landing."""
    text: str
    """A sentence: what it is, and what to do."""


@dataclass(frozen=True)
class Verification:
    """What was looked at, and what was found."""

    pulls: int
    bytes: int
    """On disk."""
    findings: list[Finding]

    @property
    def damaged(self) -> list[Finding]:
        """What is damage."""
        return [finding for finding in self.findings if finding.kind == "damaged"]


def verify(settings: Settings, *, on_wait: Callable[[str], None] | None = None) -> Verification:
    """Re-hash landing, in as many threads as there are processors, and look for what is out of place."""
    landing = Landing(settings.home / "landing")
    # Before landing is read, so that a pull made meanwhile is no pull that is missing.
    loaded = _loaded(settings, on_wait)
    pulls: list[Pull] = []
    findings: list[Finding] = []
    for folder in _folders(landing.root):
        try:
            pull = landing.load(folder)
            if (pull.source, pull.pull_id) == (folder.parent.name, folder.name):
                pulls.append(pull)
            else:
                findings.append(_moved(landing, pull))
        except LandingError as error:
            if folder.exists():  # else it was taken out meanwhile
                findings.append(_unreadable(landing, folder, error))
    findings += _rehash(landing, pulls)
    findings += _missing(landing, loaded, {folder.name for folder in _folders(landing.root)})
    findings += _left(landing, settings.today())
    findings.sort(key=lambda finding: (finding.kind, finding.where, finding.text))
    return Verification(len(pulls), sum(size_of(pull.path) for pull in pulls), findings)


def _folders(root: Path) -> list[Path]:
    return sorted(folder for folder in root.glob("[!.]*/*") if folder.is_dir())


def _moved(landing: Landing, pull: Pull) -> Finding:
    where, home = pull.path.relative_to(landing.root).as_posix(), f"{pull.source}/{pull.pull_id}"
    return Finding("damaged", where, f"{where} holds the pull of {home}; move it back there.")


def _unreadable(landing: Landing, folder: Path, error: LandingError) -> Finding:
    where = folder.relative_to(landing.root).as_posix()
    advice = _advice(folder.parent.name)
    if not (folder / MANIFEST).exists():
        return Finding("damaged", where, f"{where} has no {MANIFEST}; {advice}.")
    what = str(error).partition(";")[0].removeprefix(f"{folder.name}/")
    return Finding("damaged", where, f"{where}/{what}; {advice}.")


def _advice(source: str) -> str:
    return AGAIN if source == REPEATS else RESTORE


def _rehash(landing: Landing, pulls: list[Pull]) -> Iterator[Finding]:
    done = 0
    progress.report("verify", 0, len(pulls))
    # Threads: hashing and unpacking leave the interpreter to the others. The largest first, so that
    # none is left alone at the end.
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        tasks = {
            threads.submit(_wrong, landing, pull): pull
            for pull in sorted(pulls, key=lambda pull: -sum(page.bytes for page in pull.pages))
        }
        for task in as_completed(tasks):
            done += 1
            progress.report("verify", done, len(pulls))
            pull = tasks[task]
            wrong = task.result()
            if wrong and pull.path.exists():  # else it was taken out meanwhile
                where = pull.path.relative_to(landing.root).as_posix()
                more = f" (and {len(wrong) - 1} more like it)" if wrong[1:] else ""
                what = wrong[0].rstrip(".").removeprefix(f"{pull.pull_id}/")
                yield Finding("damaged", where, f"{where}/{what}{more}; {_advice(pull.source)}.")


def _wrong(landing: Landing, pull: Pull) -> list[str]:
    try:
        there = {file.name for file in pull.path.iterdir()}
    except FileNotFoundError:  # it was taken out just now
        return []
    strays = there - {page.file for page in pull.pages} - {MANIFEST}
    return [
        *landing.verify(pull),
        *(f"{pull.pull_id}/{name} is named by no manifest." for name in sorted(strays)),
    ]


def _loaded(settings: Settings, on_wait: Callable[[str], None] | None) -> dict[str, str]:
    """The source of each pull that ``raw.loads`` names, by id."""
    warehouse = Warehouse(settings.home / "warehouse.duckdb")
    if not warehouse.path.exists():
        return {}
    with warehouse.reading("atom verify", on_wait=on_wait) as connection:
        try:
            rows = connection.execute(
                "select distinct pull_id, coalesce(pulls.source, '')"
                " from (select unnest(pull_ids) as pull_id from raw.loads)"
                " left join raw.pulls as pulls using (pull_id)"
            ).fetchall()
        except duckdb.CatalogException:
            return {}
    return dict(rows)


def _missing(landing: Landing, loaded: dict[str, str], held: set[str]) -> Iterator[Finding]:
    taken_out = landing.taken_out()
    for pull_id in sorted(set(loaded) - held):
        where = f"{loaded[pull_id]}/{pull_id}"
        if pull_id in taken_out:
            text = "was pruned, and its rows are still loaded; the next `atom run` takes them out"
            yield Finding("note", where, f"{where} {text}.")
        else:
            text = "is loaded and no longer in landing"
            advice = (
                "run `atom run`, which pulls it again"
                if loaded[pull_id] == REPEATS
                else "restore it from a backup, since the next load takes its rows out"
            )
            yield Finding("damaged", where, f"{where} {text}; {advice}.")


def _left(landing: Landing, today: date) -> Iterator[Finding]:
    for draft in drafts(landing):
        if draft.day is None or draft.day < today:
            day = f"of {draft.day}" if draft.day else "of no known day"
            where = draft.path.relative_to(landing.root).as_posix()
            text = f"is a draft {day}; `atom prune --apply` or the next pull removes it"
            yield Finding("note", where, f"{where} {text}.")
    for folder in remains(landing):
        where = folder.relative_to(landing.root).as_posix()
        yield Finding("note", where, f"{where} is left of a removal; `atom prune --apply` removes it.")
