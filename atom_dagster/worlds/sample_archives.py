"""The sample world's archives: three dataset repositories that hold the Hub's past, each in its way.

Belongs here: the wire format of a dataset's tree, history and files. Does not belong here: the Hub's
models (``sample_hub``), or the files themselves (``sample_state``).

``hub_weekly_snapshots`` has a folder a week from ``FIRST_FOLDER`` on, but not for two months; of
those ``hub-stats``, a commit a day for some weeks and then no more, has the one, and
``open_model_evolution_data``, a series that ended, the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from atom_dagster.worlds.sample_state import State
from atom_dagster.worlds.server import Answer, Request, cursor_of, json_answer, offset_of

SNAPSHOTS = "sample-world/hub_weekly_snapshots"
REVISIONS = "sample-world/hub-stats"
SERIES = "sample-world/open_model_evolution_data"
MOST, COMMITS = 1000, 50
"""Largest page of a tree, and of a history."""
SERIES_FILE = "all_downloads_with_annotations.parquet"
README_DAYS = 10
"""On days of the month that this divides, a second commit changes only the README."""


class Archives:
    """Answers below ``/hub`` that are about datasets."""

    def __init__(self, state: State) -> None:
        self._state = state

    def answer(self, request: Request, rest: str, today: date) -> Answer | None:
        """The answer to ``rest``, the path below /hub; None where there is none."""
        for repo in (SNAPSHOTS, REVISIONS, SERIES):
            for kind, root in (("tree", f"api/datasets/{repo}/tree/"), ("file", f"datasets/{repo}/resolve/")):
                if rest.startswith(root):
                    revision, _, path = rest.removeprefix(root).partition("/")
                    files = self._files(repo, revision, today)
                    if files is None:
                        return json_answer({"error": f"Invalid rev id: {revision}"}, 404, bucket="api")
                    if kind == "tree":
                        return _tree(request, files, path)
                    return _file(files, path)
            if repo == REVISIONS and rest == f"api/datasets/{repo}/commits/main":
                return page(request, self._commits(today), COMMITS)
        return None

    def _files(self, repo: str, revision: str, today: date) -> dict[str, Any] | None:
        """What a revision of a repository holds: how to make each file, and who committed it last."""
        if repo == SNAPSHOTS and revision == "main":
            return {
                f"models/{day}/models.parquet": (self._state.snapshot, day)
                for day in self._state.folders(today)
            }
        if repo == SERIES and revision == "main":
            days = self._state.series_days(today)
            return {SERIES_FILE: (self._state.series, days)} if days else {}
        if repo == REVISIONS:
            for commit, day in self._history(today):
                if revision in {commit["id"], "main"}:
                    return {"models.parquet": (self._state.revision, day)}
        return None

    def _history(self, today: date) -> list[tuple[dict[str, Any], date]]:
        """Commits, newest first, with the day of the models.parquet each holds."""
        found = []
        for day in self._state.revisions(today):
            found.append((_commit(day, "Update models.parquet", "05:10:00"), day))
            if day.day % README_DAYS == 0:
                found.append((_commit(day, "Update README.md", "09:40:00"), day))
        return found[::-1]

    def _commits(self, today: date) -> list[dict[str, Any]]:
        return [commit for commit, _ in self._history(today)]


def _commit(day: date, title: str, at: str) -> dict[str, Any]:
    return {
        "id": _oid(f"{title} {day}"),
        "title": title,
        "message": "",
        "date": f"{day}T{at}.000Z",
        "authors": [{"user": "sample-world"}],
    }


def _tree(request: Request, files: dict[str, Any], below: str) -> Answer:
    """Entries of a folder, or with ``recursive=true`` of all folders below it."""
    is_recursive = request.one("recursive") == "true"
    prefix = f"{below}/" if below else ""
    inside = {path: made for path, made in files.items() if path.startswith(prefix)}
    if below and not inside:
        return json_answer({"error": "Entry not found"}, 404, bucket="api")
    entries: dict[str, dict[str, Any]] = {}
    for path, (make, day) in inside.items():
        parts = path.removeprefix(prefix).split("/")
        for depth in range(1, len(parts) if is_recursive else min(2, len(parts))):
            folder = prefix + "/".join(parts[:depth])
            entries[folder] = {"type": "directory", "oid": _oid(folder), "size": 0, "path": folder}
        if is_recursive or len(parts) == 1:
            entry = _entry(path, make(day))
            if request.one("expand") == "true" and isinstance(day, date):
                entry["lastCommit"] = _commit(day, "Update models.parquet", "05:10:00")
            entries[path] = entry
    return page(request, list(entries.values()), MOST)


def _entry(path: str, file: Path) -> dict[str, Any]:
    size = file.stat().st_size
    lfs = {"oid": _oid(f"{path} {file.stem} {size}"), "size": size, "pointerSize": 134}
    return {"type": "file", "oid": _oid(path), "size": size, "path": path, "lfs": lfs}


def page(request: Request, entries: Sequence[dict[str, Any]], most: int) -> Answer:
    """A page of entries, at most ``most`` of them, with a ``Link`` to the next."""
    start = offset_of(request.one("cursor")) or 0
    asked = request.one("limit") or ""
    limit = max(1, min(int(asked), most)) if asked.isdigit() else most
    headers = {}
    if start + limit < len(entries):
        query = [(k, v) for k, v in request.query if k != "cursor"]
        query.append(("cursor", cursor_of(start + limit)))
        headers["Link"] = f'<{request.base}{request.path}?{urlencode(query)}>; rel="next"'
    return json_answer(entries[start : start + limit], headers=headers, bucket="api")


def _file(files: dict[str, Any], path: str) -> Answer:
    if path not in files:
        return json_answer({"error": "Entry not found"}, 404, bucket="resolvers")
    make, day = files[path]
    return Answer(make(day).read_bytes(), content_type="application/octet-stream", bucket="resolvers")


def _oid(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
