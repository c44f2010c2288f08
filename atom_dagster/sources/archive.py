"""The Hub's past: public archives of its models' counters.

Belongs here: fetching one file of an archive, what day it stands for, and its readings. Does not
belong here: which files there are (``archive_listing``), the shapes they have had
(``archive_files``), what the live Hub knows (``hub``), what a row means (``models``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from atom_dagster.landing import Landing, Pull
from atom_dagster.settings import Archive, Endpoints
from atom_dagster.sources import BadAnswer, Progress
from atom_dagster.sources.archive_files import (
    day_of,
    frames,
    needed,
    opened,
    raw_models,
    raw_series,
    teller,
    understood,
)
from atom_dagster.sources.archive_listing import Snapshot, anchored, client_of, file_at, snapshots
from atom_dagster.sources.archive_shrink import Size, judged
from atom_dagster.sources.http import PATIENCE, Patience, answered_at
from atom_dagster.sources.hub_client import Download
from atom_dagster.sources.models import Collector, instant
from atom_dagster.sources.tables import Reading

__all__ = ["Snapshot", "holds", "observed_days", "observed_on", "pull", "read", "remembered", "snapshots"]

LARGE = 100_000
"""Rows from which the youngest model dates a snapshot (definitions 1.1)."""


def pull(
    endpoints: Endpoints,
    landing: Landing,
    snapshot: Snapshot,
    *,
    archive: Archive,
    now: Callable[[], datetime],
    before: Callable[[], Size | None] = lambda: None,
    accepted_shrinks: Collection[date] = (),
    every: int = 7,
    progress: Progress | None = None,
    patience: Patience = PATIENCE,
) -> Pull:
    """Land one file of an archive, after making sure that it can be read.

    Args:
        endpoints: the world's.
        landing: where the file goes, as it came.
        snapshot: which one.
        archive: the archive it is of.
        now: the clock.
        before: size of the snapshot before it, asked when the file is there; a complete archive never
            halves.
        accepted_shrinks: days of snapshots that may halve all the same.
        every: days from one reading to the next that are taken of a series.
        progress: told of bytes.
        patience: how long to wait for what.

    Raises:
        SourceError: the file did not come, is damaged, or has a shape that is not known.
    """
    client = client_of(endpoints, archive, patience)
    latest = now().astimezone(UTC).date() + timedelta(days=1)
    if snapshot.folder_date and snapshot.folder_date > latest:
        raise BadAnswer(f"{snapshot.title} is dated in the future; it was not recorded.")
    committed_on = None
    if archive.layout == "revisions":
        snapshot, committed_on = file_at(client, archive, snapshot)
        committed_on = committed_on or snapshot.folder_date
        _remember(landing, archive, snapshot)
        if held := _held(landing, archive, snapshot):
            return held
    request = f"/datasets/{archive.repo}/resolve/{snapshot.revision}/{quote(snapshot.path)}"
    name = snapshot.path.rpartition("/")[2]
    with landing.open(source=archive.name, scope=snapshot.scope, world=endpoints.world, now=now) as draft:
        # Another process may have pulled it while this one waited for the draft.
        if held := _held(landing, archive, snapshot):
            draft.discard()
            return held
        if [page.request for page in draft.pages] != [request]:
            draft.discard()
            download = client.download(request)
            sent = answered_at(download.answer)
            draft.add(
                name,
                _counted(download, snapshot, progress),
                request=request,
                notes={"date": sent.isoformat() if sent else None},
            )
        page = draft.pages[0]
        try:
            facts = _facts(draft.file(page), page.bytes, snapshot, archive, latest)
            if archive.kind == "complete":
                facts |= judged(facts["rows"], before(), snapshot, accepted_shrinks)
        except BadAnswer:
            draft.discard()
            raise
        as_of = page.notes.get("date")
        return draft.commit(
            as_of=datetime.fromisoformat(as_of) if as_of else None,
            facts=facts
            | {
                "layout": archive.layout,
                "folder_date_is": archive.folder_date_is,
                # What a shrunken snapshot lacks is not gone from the Hub.
                "is_complete": archive.kind == "complete" and "rows_before_shrink" not in facts,
                "revision": snapshot.revision,
                # The weekly archive does not say which upstream commit a snapshot is a copy of.
                "upstream_committed_on": committed_on.isoformat() if committed_on else None,
                "every": every,
            },
        )


def holds(pull: Pull, snapshot: Snapshot) -> bool:
    """Whether a pull is of this file as it is listed now."""
    if snapshot.revision != "main":
        # A commit of other files leaves this one as it was.
        is_same_file = snapshot.oid is not None and pull.facts.get("oid") == snapshot.oid
        return is_same_file or bool(pull.facts.get("revision") == snapshot.revision)
    folder = snapshot.folder_date.isoformat() if snapshot.folder_date else None
    listed = (folder, snapshot.size, snapshot.oid)
    return (pull.facts["folder_date"], pull.pages[0].bytes, pull.facts["oid"]) == listed


def _held(landing: Landing, archive: Archive, snapshot: Snapshot) -> Pull | None:
    return next((pull for pull in landing.pulls(archive.name, unreadable={}) if holds(pull, snapshot)), None)


def remembered(landing: Landing, archive: Archive, snapshot: Snapshot) -> Snapshot:
    """The snapshot with the content id that its revision listed when it was asked, which never changes."""
    try:
        oid = _memory(landing, archive, snapshot).read_text(encoding="ascii")
    except (OSError, ValueError):
        return snapshot
    return replace(snapshot, oid=snapshot.oid or oid or None)


def _remember(landing: Landing, archive: Archive, snapshot: Snapshot) -> None:
    """Keep what a revision lists, so that no later run need ask for it; losing it costs a request."""
    if snapshot.oid:
        file = _memory(landing, archive, snapshot)
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f"{file.name}.{os.getpid()}.part")
        part.write_text(snapshot.oid, encoding="ascii")
        part.replace(file)


def _memory(landing: Landing, archive: Archive, snapshot: Snapshot) -> Path:
    return landing.root / ".revisions" / archive.name / quote(snapshot.revision, safe="")


def observed_on(pull: Pull) -> date:
    """The day a snapshot's counters stand at, by definitions 1.1, from the pull's facts alone."""
    facts = pull.facts
    folder = date.fromisoformat(facts["folder_date"])
    if facts.get("upstream_committed_on"):
        return date.fromisoformat(facts["upstream_committed_on"])
    if facts["folder_date_is"] == "observed_on":
        return folder
    if facts["rows"] >= LARGE and facts.get("max_created_at"):
        youngest = datetime.fromisoformat(facts["max_created_at"]).date()
        return min(max(youngest, folder), folder + timedelta(days=6))
    return folder


def observed_days(pull: Pull) -> list[date]:
    """The days a pull has readings of, sorted: of a series one a week, as it was pulled for."""
    if pull.facts.get("layout") != "series":
        return [observed_on(pull)]
    days = [date.fromisoformat(day) for day in pull.facts["days"]]
    return anchored(days, {day.replace(day=1) for day in days}, pull.facts["every"])


def latest_day(pull: Pull) -> date:
    """The last day that a row of a pull may name: later ones are of the future."""
    return pull.as_of.date() + timedelta(days=1)


def read(pull: Pull, month: date | None = None, *, file: Path | None = None) -> Iterator[Reading]:
    """A file's readings and edges, ``hf_models`` and ``hf_derivatives``, a piece of the file at a time.

    Args:
        pull: what to read.
        month: of a series only the days of this month (its first day); None: all.
        file: what ``archive_series`` has taken of the pull's file for this month; None: that file itself.

    Raises:
        BadAnswer: the file is damaged, or has a shape that is not known; the column is named.
    """
    file = file or pull.file(pull.pages[0])
    layout = pull.facts.get("layout", "folders")
    folder = pull.facts["folder_date"]
    days = [day for day in observed_days(pull) if month in {None, day.replace(day=1)}]
    collector = Collector(
        pull.source,
        pull.pull_id,
        observed_on(pull) if layout != "series" else None,
        latest=latest_day(pull),
        folder_date=date.fromisoformat(folder) if folder else None,
    )
    with opened(file) as parquet:
        columns = needed(understood(parquet.schema_arrow, layout, file.name), layout)
        for group in range(parquet.num_row_groups):
            for number, frame in enumerate(frames(parquet, group, columns)):
                raw = (
                    raw_series(frame, days, collector.latest)
                    if layout == "series"
                    else raw_models(collector, frame)
                )
                if raw.height:
                    collector.add(raw, teller(file, group, number, columns))
                    yield collector.take()


def _counted(download: Download, snapshot: Snapshot, progress: Progress | None) -> Iterator[bytes]:
    done = 0
    for chunk in download:
        yield chunk
        done += len(chunk)
        if progress:
            progress("bytes", done, snapshot.size)


def _facts(file: Path, size: int, snapshot: Snapshot, archive: Archive, latest: date) -> dict[str, Any]:
    """What is known of a file without reading its models.

    Raises:
        BadAnswer: it is not whole, not understood, or empty.
    """
    if snapshot.size is not None and size != snapshot.size:
        raise BadAnswer(f"{snapshot.title} came with {size} of {snapshot.size} bytes; run again.")
    with opened(file) as parquet:
        schema = understood(parquet.schema_arrow, archive.layout, snapshot.title)
        rows = parquet.metadata.num_rows
        if rows == 0:
            raise BadAnswer(f"{snapshot.title} holds no model; it was not recorded.")
        facts: dict[str, Any] = {
            "folder_date": snapshot.folder_date.isoformat() if snapshot.folder_date else None,
            "rows": rows,
            "columns": {column.name: str(column.type) for column in schema},
            "oid": snapshot.oid,
        }
        if archive.layout == "series":
            counts: dict[date, int] = {}
            for group in range(parquet.num_row_groups):
                for frame in frames(parquet, group, ["time"]):
                    for day, count in frame.group_by(day_of(frame).alias("day")).len().iter_rows():
                        if day is not None and day <= latest:
                            counts[day] = counts.get(day, 0) + count
            if not counts:
                raise BadAnswer(f"{snapshot.title} has no row with a day; it was not recorded.")
            return facts | {"days": {day.isoformat(): counts[day] for day in sorted(counts)}}
        youngest = None
        if "createdAt" in schema.names:
            for group in range(parquet.num_row_groups):
                for frame in frames(parquet, group, ["createdAt"]):
                    created = frame.select(created=instant(frame, "createdAt"))["created"]
                    top = created.filter(created.dt.date() <= latest).max()
                    youngest = max(filter(None, (youngest, top)), default=None)
        is_known = isinstance(youngest, datetime)
        return facts | {"max_created_at": youngest.isoformat() if is_known else None}
