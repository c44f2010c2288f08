"""What the Hub's archives hold: folders, revisions, or one file that grows.

Belongs here: asking a dataset repository what there is, and choosing what may observe a month. Does
not belong here: fetching and reading a file (``archive``), or the shapes it has
(``archive_files``).

Layouts, by ``settings.Archive.layout``:

=============  ===================================================================================
``folders``    ``models/<YYYY-MM-DD>/models.parquet``, a snapshot a folder
``revisions``  ``models.parquet``, replaced by a commit a day; its history is the archive
``series``     ``all_downloads_with_annotations.parquet``, a row a model and day
=============  ===================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import quote

from atom_dagster.settings import Archive, Endpoints
from atom_dagster.sources import BadAnswer
from atom_dagster.sources.http import PATIENCE, Patience, Service
from atom_dagster.sources.hub_client import HubClient

FILE = "models.parquet"
SERIES_FILE = "all_downloads_with_annotations.parquet"
SERVICES = {
    "hub_archive": Service("The Hub's archive", "HF_TOKEN"),
    "hub_revisions": Service("The Hub's archive of revisions", "HF_TOKEN"),
    "hub_series": Service("The Hub's archive of series", "HF_TOKEN"),
}


@dataclass(frozen=True)
class Snapshot:
    """One file of an archive.

    ``folder_date`` is the day its folder is named for or its revision was committed on, None for a
    series; ``size`` (bytes) and ``oid`` (content id) are None where the listing does not say them.
    """

    folder_date: date | None
    path: str
    size: int | None
    oid: str | None = None
    revision: str = "main"

    @property
    def scope(self) -> str:
        """What its pull is called by."""
        return self.folder_date.isoformat() if self.folder_date else "all"

    @property
    def title(self) -> str:
        """The file, for sentences."""
        return self.path if self.revision == "main" else f"{self.path} of {self.folder_date}"


def client_of(endpoints: Endpoints, archive: Archive, patience: Patience = PATIENCE) -> HubClient:
    """A client that speaks to the archive, under its name."""
    return HubClient(archive.url, endpoints.hub_token, service=SERVICES[archive.name], patience=patience)


def snapshots(
    endpoints: Endpoints,
    archive: Archive,
    *,
    problems: list[str] | None = None,
    patience: Patience = PATIENCE,
) -> list[Snapshot]:
    """What the archive holds, oldest first; of revisions all there are, of a series its one file.

    Args:
        endpoints: the world's.
        archive: which of its archives.
        problems: gets a sentence for each folder that is no snapshot.
        patience: how long to wait for what.

    Raises:
        Missing, Refused: there is no such repository, or none for us.
        SourceError: the listing did not come, or names no snapshot.
    """
    client = client_of(endpoints, archive, patience)
    problems = [] if problems is None else problems
    if archive.layout == "folders":
        listed = _folders(client, archive, problems)
    elif archive.layout == "revisions":
        listed = _revisions(client, archive)
    else:
        listed = [file_at(client, archive, Snapshot(None, SERIES_FILE, None))[0]]
    if not listed:
        raise BadAnswer(f"The archive {archive.repo} lists no snapshot; check its name.")
    return sorted(listed, key=lambda snapshot: snapshot.folder_date or date.min)


def candidates(
    archive: Archive, listed: Iterable[Snapshot], months: Collection[date], every: int
) -> list[Snapshot]:
    """Those that may observe one of these months (first days), in the order given.

    A folder named for the start of its week may hold what was counted up to six days later. Of
    revisions ``anchored`` chooses.
    """
    if archive.layout == "series":
        return list(listed)
    dated = [(snapshot.folder_date, snapshot) for snapshot in listed if snapshot.folder_date]
    if archive.layout == "revisions":
        chosen = anchored([day for day, _ in dated], months, every)
        first = dict(reversed(dated))
        return [first[day] for day in chosen]
    return [snapshot for _, snapshot in dated if months_of(archive, snapshot) & set(months)]


def months_of(archive: Archive, snapshot: Snapshot) -> set[date]:
    """The months (first days) that a snapshot may observe; none of a series, whose file says it."""
    day = snapshot.folder_date
    if day is None:
        return set()
    reach = timedelta(days=6 if archive.folder_date_is == "week_start" else 0)
    return {day.replace(day=1), (day + reach).replace(day=1)}


def anchored(days: Iterable[date], months: Collection[date], every: int) -> list[date]:
    """Of these days the first on or after days 1, 1 + every, 1 + 2·every, … of each month, sorted.

    What lies beyond the month is not taken. A last interval of less than half of ``every`` is left to
    the next month's first day: with 7 the anchors are days 1, 8, 15 and 22.
    """
    chosen, known = set(), sorted(set(days))
    for month in months:
        after = (month + timedelta(days=32)).replace(day=1)
        inside = [day for day in known if month <= day < after]
        for number in range(0, (after - month).days, every):
            left = (after - month).days - number
            if left < min(every, (every + 2) // 2):
                break
            anchor = month + timedelta(days=number)
            chosen.update([day for day in inside if day >= anchor][:1])
    return sorted(chosen)


def file_at(client: HubClient, archive: Archive, snapshot: Snapshot) -> tuple[Snapshot, date | None]:
    """The snapshot with the size and content id its revision lists, and the day its file was committed.

    Raises:
        BadAnswer: the revision has no such file.
    """
    folder = snapshot.path.rpartition("/")[0]
    for entry in _tree(client, archive.repo, folder, "?expand=true", snapshot.revision):
        if entry["path"] == snapshot.path and entry["type"] == "file":
            committed = _instant((entry.get("lastCommit") or {}).get("date"))
            return _snapshot(entry, snapshot.folder_date, snapshot.revision), (
                committed.date() if committed else None
            )
    where = "" if snapshot.revision == "main" else f" of {snapshot.folder_date}"
    raise BadAnswer(f"{archive.repo}{where} has no {snapshot.path}; it was left out.")


def _folders(client: HubClient, archive: Archive, problems: list[str]) -> list[Snapshot]:
    files: dict[str, dict[str, Any]] = {}
    folders: list[str] = []
    for entry in _tree(client, archive.repo, "models", "?recursive=true"):
        if entry["type"] == "directory":
            folders.append(entry["path"])
        elif entry["path"].endswith("/" + FILE):
            files[entry["path"]] = entry
    for folder in folders:
        path = f"{folder}/{FILE}"
        if path not in files and _folder_date(path):
            found = [e for e in _tree(client, archive.repo, folder, "") if e["path"] == path]
            if found:
                files[path] = found[0]
            else:
                problems.append(f"The archive's folder {folder} has no {FILE}; it was left out.")
        elif not _folder_date(path):
            problems.append(f"The archive's folder {folder} is not named for a day; it was left out.")
    listed = []
    for path, entry in files.items():
        if day := _folder_date(path):
            listed.append(_snapshot(entry, day))
        elif path.rpartition("/")[0] not in folders:
            problems.append(f"The archive's file {path} lies in no day's folder; it was left out.")
    return listed


def _revisions(client: HubClient, archive: Archive) -> list[Snapshot]:
    """Every commit, the first of a day before the later ones."""
    found: list[tuple[datetime, str]] = []
    for commit in _pages(client, f"/api/datasets/{archive.repo}/commits/main"):
        instant = _instant(commit.get("date"))
        if not isinstance(commit.get("id"), str) or instant is None:
            raise BadAnswer(f"The history of {archive.repo} names a commit without id or date.")
        found.append((instant, commit["id"]))
    return [Snapshot(instant.date(), FILE, None, revision=sha) for instant, sha in sorted(found)]


def _snapshot(entry: dict[str, Any], day: date | None, revision: str = "main") -> Snapshot:
    lfs = entry.get("lfs") or {}
    return Snapshot(
        day,
        entry["path"],
        lfs.get("size", entry.get("size")),
        lfs.get("oid", entry.get("oid")),
        revision,
    )


def _tree(
    client: HubClient, repo: str, path: str, query: str, revision: str = "main"
) -> Iterator[dict[str, Any]]:
    where = f"/{quote(path)}" if path else ""
    for entry in _pages(client, f"/api/datasets/{repo}/tree/{revision}{where}{query}"):
        if not {"type", "path"} <= entry.keys():
            raise BadAnswer(f"The archive's listing of {path or repo} is no list of files and folders.")
        yield entry


def _pages(client: HubClient, request: str | None) -> Iterator[dict[str, Any]]:
    """The objects of a list that goes on by its answers' ``Link``."""
    asked = set()
    first = str(request)
    while request and request not in asked:
        asked.add(request)
        answer, entries = client.json(request)
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            what = first.partition("?")[0].rpartition("/datasets/")[2]
            raise BadAnswer(f"The archive's listing of {what} is no list of files and folders.")
        yield from entries
        request = client.next_request(answer)


def _folder_date(path: str) -> date | None:
    found = re.fullmatch(r"models/(\d{4}-\d{2}-\d{2})/" + re.escape(FILE), path)
    try:
        return date.fromisoformat(found[1]) if found else None
    except ValueError:
        return None


def _instant(text: object) -> datetime | None:
    try:
        instant = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    if instant is None:
        return None
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
