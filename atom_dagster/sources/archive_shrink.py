"""Whether a snapshot of an archive that holds everything has lost models.

Belongs here: what stood before a snapshot, and what follows from it. Does not belong here: fetching a
file (``archive``), which files there are (``archive_listing``), waiting for those under way
(``gathering``).

A verdict must not depend on the order in which months are filled. So the snapshot before one is looked
for in the archive itself where it has not landed: its row count stands in the file's last bytes.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from atom_dagster.landing import Pull
from atom_dagster.settings import Archive, Endpoints
from atom_dagster.sources import BadAnswer, Shrunk
from atom_dagster.sources.archive_listing import Snapshot, candidates, client_of, file_at
from atom_dagster.sources.http import PATIENCE, Patience

LOOK_BACK = 8
"""Snapshots before the first that is judged whose row counts are asked for: two months of weeks."""
_TAIL = 1 << 16


@dataclass(frozen=True)
class Size:
    """What a snapshot holds (rows), and what one held before a shrink that was accepted and still lasts."""

    rows: int
    rows_before_shrink: int | None = None


def size_of(pull: Pull) -> Size:
    """The size of a snapshot that has landed."""
    return Size(int(pull.facts["rows"]), pull.facts.get("rows_before_shrink"))


def judged(rows: int, before: Size | None, snapshot: Snapshot, accepted: Collection[date]) -> dict[str, Any]:
    """What follows for a snapshot from the size of the one before it, as facts of its pull.

    ``shrink_accepted_from_rows``: it shrank and was accepted by name. ``rows_before_shrink``: it or one
    before it was, and the archive has not grown back since, so that a model's absence proves nothing.

    Raises:
        Shrunk: it shrank and nobody accepted it.
    """
    if before is None:
        return {}
    facts = {}
    whole = before.rows_before_shrink
    if _halved(rows, before.rows):
        if snapshot.folder_date not in accepted:
            raise Shrunk(
                f"{snapshot.title} has {rows} models, less than half of the snapshot before it"
                f" ({before.rows}); a complete archive does not halve, so it was not recorded; to accept it"
                f" all the same, run again with --accept-shrink {snapshot.folder_date}."
            )
        facts["shrink_accepted_from_rows"] = before.rows
        whole = max(before.rows, whole or 0)
    if whole and _halved(rows, whole):
        facts["rows_before_shrink"] = whole
    return facts


def _halved(rows: int, before: int) -> bool:
    return rows < before / 2


def may_follow(archive: Archive, listed: Sequence[Snapshot], every: int) -> Mapping[date, Snapshot]:
    """The snapshots that a pull of any month may take, by day; none of an archive that is a selection."""
    if archive.kind != "complete" or archive.layout == "series":
        return {}
    months = {snapshot.folder_date.replace(day=1) for snapshot in listed if snapshot.folder_date}
    chosen = candidates(archive, listed, months, every)
    return {snapshot.folder_date: snapshot for snapshot in chosen if snapshot.folder_date}


def before(
    snapshot: Snapshot,
    listed: Mapping[date, Snapshot],
    held: Collection[date],
    known: Callable[[date], Size | None],
    asked: Callable[[Snapshot], int | None],
    accepted: Collection[date],
) -> Size | None:
    """The size of the newest readable snapshot before this one; None when there is none.

    Args:
        snapshot: Which one is judged.
        listed: What ``may_follow`` says.
        held: Days of snapshots that have landed, or are on their way.
        known: The size of one of those, waited for; None when it failed.
        asked: The rows of a snapshot that is neither; None when they cannot be had.
        accepted: Days of snapshots that may have shrunk.
    """
    day = snapshot.folder_date
    if day is None:
        return None
    unknown: list[Snapshot] = []
    found: Size | None = None
    for earlier in sorted((one for one in {*listed, *held} if one < day), reverse=True):
        if earlier not in held:
            unknown.append(listed[earlier])
            if len(unknown) == LOOK_BACK:
                break
        elif size := known(earlier):
            found = size
            break
    for one in reversed(unknown):
        rows = asked(one)
        if rows is None:
            continue
        try:
            found = Size(rows, judged(rows, found, one, accepted).get("rows_before_shrink"))
        except Shrunk:
            continue
    return found


def rows_of(
    endpoints: Endpoints, archive: Archive, snapshot: Snapshot, patience: Patience = PATIENCE
) -> int | None:
    """The rows of a file by its last bytes; None when its size is not listed, or it is empty or damaged.

    Raises:
        SourceError: the archive does not answer.
    """
    client = client_of(endpoints, archive, patience)
    if archive.layout == "revisions":
        snapshot, _ = file_at(client, archive, snapshot)
    if snapshot.size is None or snapshot.size < 12:
        return None
    request = f"/datasets/{archive.repo}/resolve/{snapshot.revision}/{quote(snapshot.path)}"

    def last(count: int) -> bytes:
        return b"".join(client.download(request, start=max(int(snapshot.size or 0) - count, 0)))

    try:
        tail = last(_TAIL)
        footer = int.from_bytes(tail[-8:-4], "little") + 8
        if len(tail) < footer <= snapshot.size:
            tail = last(footer)
        return int(pq.read_metadata(io.BytesIO(tail)).num_rows) or None
    except (pa.ArrowException, OSError, BadAnswer):
        return None
