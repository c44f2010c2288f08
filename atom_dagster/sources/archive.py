"""The Hub's past: a dataset repository with a snapshot of all models for each week.

Belongs here: which snapshots there are, fetching one, what day it stands for, and the shapes its
file has had. Does not belong here: what the live Hub knows (``hub``), what a row means
(``models``).

Layout: ``models/<YYYY-MM-DD>/models.parquet``. Columns came and went over the years; ``SHAPES``
names every type each of them has had, and another one is refused by name. Files reach 1.6 GB, so
they are read a piece at a time and only in the columns that are needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types as at

from atom_dagster.landing import Landing, Pull
from atom_dagster.settings import Archive, Endpoints
from atom_dagster.sources import BadAnswer, NotObservable, Progress
from atom_dagster.sources.http import PATIENCE, Patience, Service, answered_at
from atom_dagster.sources.hub_client import Download, HubClient
from atom_dagster.sources.models import BASE, Collector, check_spelling, instant
from atom_dagster.sources.tables import HF_MODELS, Reading

SOURCE = "hub_archive"
SERVICE = Service("The Hub's archive", "HF_TOKEN")
FILE = "models.parquet"
LARGE = 100_000
"""Rows from which the youngest model dates a snapshot (definitions 1.1)."""
BATCH = 1 << 16


@dataclass(frozen=True)
class Snapshot:
    """One file of the archive: its folder's date, path in the repository, bytes and content id."""

    folder_date: date
    path: str
    size: int | None
    oid: str | None = None


def snapshots(
    endpoints: Endpoints,
    *,
    problems: list[str] | None = None,
    patience: Patience = PATIENCE,
) -> list[Snapshot]:
    """What the archive holds, oldest first.

    Args:
        endpoints: the world's.
        problems: gets a sentence for each folder that is no snapshot.
        patience: how long to wait for what.

    Raises:
        NotObservable: the world has no archive.
        SourceError: the listing did not come, or names no snapshot.
    """
    archive = _archive(endpoints)
    client = HubClient(archive.url, endpoints.hub_token, service=SERVICE, patience=patience)
    problems = [] if problems is None else problems
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
            lfs = entry.get("lfs") or {}
            listed.append(
                Snapshot(day, path, lfs.get("size", entry.get("size")), lfs.get("oid", entry.get("oid")))
            )
        elif path.rpartition("/")[0] not in folders:
            problems.append(f"The archive's file {path} lies in no day's folder; it was left out.")
    if not listed:
        raise BadAnswer(f"The archive {archive.repo} lists no snapshot; check its name.")
    return sorted(listed, key=lambda snapshot: snapshot.folder_date)


def pull(
    endpoints: Endpoints,
    landing: Landing,
    snapshot: Snapshot,
    *,
    now: Callable[[], datetime],
    previous_rows: int | None = None,
    progress: Progress | None = None,
    patience: Patience = PATIENCE,
) -> Pull:
    """Land one snapshot, after making sure that it can be read.

    Args:
        endpoints: the world's.
        landing: where the file goes, as it came.
        snapshot: which one.
        now: the clock.
        previous_rows: rows of the snapshot before it; a complete archive never halves.
        progress: told of bytes.
        patience: how long to wait for what.

    Raises:
        NotObservable: the world has no archive.
        SourceError: the file did not come, is damaged, or has a shape that is not known.
    """
    archive = _archive(endpoints)
    client = HubClient(archive.url, endpoints.hub_token, service=SERVICE, patience=patience)
    latest = now().astimezone(UTC).date() + timedelta(days=1)
    if snapshot.folder_date > latest:
        raise BadAnswer(f"{snapshot.path} is dated in the future; it was not recorded.")
    request = f"/datasets/{archive.repo}/resolve/main/{quote(snapshot.path)}"
    scope = snapshot.folder_date.isoformat()
    with landing.open(source=SOURCE, scope=scope, world=endpoints.world, now=now) as draft:
        if [page.request for page in draft.pages] != [request]:
            draft.discard()
            download = client.download(request)
            sent = answered_at(download.answer)
            draft.add(
                FILE,
                _counted(download, snapshot, progress),
                request=request,
                notes={"date": sent.isoformat() if sent else None},
            )
        page = draft.pages[0]
        at_least = previous_rows / 2 if archive.kind == "complete" and previous_rows else 0
        try:
            facts = _facts(draft.file(page), page.bytes, snapshot, latest, at_least)
        except BadAnswer:
            draft.discard()
            raise
        as_of = page.notes.get("date")
        return draft.commit(
            as_of=datetime.fromisoformat(as_of) if as_of else None,
            facts=facts
            | {
                "folder_date_is": archive.folder_date_is,
                "is_complete": archive.kind == "complete",
            },
        )


def observed_on(pull: Pull) -> date:
    """The day a snapshot's counters stand at, by definitions 1.1, from the pull's facts alone."""
    facts = pull.facts
    folder = date.fromisoformat(facts["folder_date"])
    if facts["folder_date_is"] == "observed_on":
        return folder
    if facts.get("upstream_committed_on"):
        return date.fromisoformat(facts["upstream_committed_on"])
    if facts["rows"] >= LARGE and facts.get("max_created_at"):
        youngest = datetime.fromisoformat(facts["max_created_at"]).date()
        return min(max(youngest, folder), folder + timedelta(days=6))
    return folder


def read(pull: Pull) -> Reading:
    """The snapshot's readings and edges: ``hf_models``, ``hf_derivatives``.

    Raises:
        BadAnswer: the file is damaged, or has a shape that is not known; the column is named.
    """
    file = pull.file(pull.pages[0])
    collector = Collector(
        SOURCE,
        pull.pull_id,
        observed_on(pull),
        latest=pull.as_of.date() + timedelta(days=1),
        folder_date=date.fromisoformat(pull.facts["folder_date"]),
    )
    with _opened(file) as parquet:
        schema = _understood(parquet.schema_arrow, file.name)
        columns = _needed(schema)
        for group in range(parquet.num_row_groups):
            for number, frame in enumerate(_frames(parquet, group, columns)):
                collector.add(_raw(collector, frame), _teller(file, group, number, columns))
    return collector.reading()


def _archive(endpoints: Endpoints) -> Archive:
    if endpoints.archive is None:
        raise NotObservable("This world has no archive, so past months have no readings.")
    return endpoints.archive


def _tree(client: HubClient, repo: str, path: str, query: str) -> Iterator[dict[str, Any]]:
    request: str | None = f"/api/datasets/{repo}/tree/main/{quote(path)}{query}"
    asked = set()
    while request and request not in asked:
        asked.add(request)
        answer, entries = client.json(request)
        if not isinstance(entries, list) or not all(
            isinstance(entry, dict) and {"type", "path"} <= entry.keys() for entry in entries
        ):
            raise BadAnswer(f"The archive's listing of {path} is no list of files and folders.")
        yield from entries
        request = client.next_request(answer)


def _folder_date(path: str) -> date | None:
    found = re.fullmatch(r"models/(\d{4}-\d{2}-\d{2})/" + re.escape(FILE), path)
    try:
        return date.fromisoformat(found[1]) if found else None
    except ValueError:
        return None


def _counted(download: Download, snapshot: Snapshot, progress: Progress | None) -> Iterator[bytes]:
    done = 0
    for chunk in download:
        yield chunk
        done += len(chunk)
        if progress:
            progress("bytes", done, snapshot.size)


def _opened(file: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise BadAnswer(f"{file.name} is not a whole parquet file; pull it again.") from error


def _facts(file: Path, size: int, snapshot: Snapshot, latest: date, at_least: float) -> dict[str, Any]:
    """What is known of a snapshot without reading its models.

    Raises:
        BadAnswer: it is not whole, not understood, empty, or has fewer rows than ``at_least``.
    """
    if snapshot.size is not None and size != snapshot.size:
        raise BadAnswer(f"{snapshot.path} came with {size} of {snapshot.size} bytes; run again.")
    with _opened(file) as parquet:
        schema = _understood(parquet.schema_arrow, snapshot.path)
        rows, youngest = parquet.metadata.num_rows, None
        if rows == 0:
            raise BadAnswer(f"{snapshot.path} holds no model; it was not recorded.")
        if rows < at_least:
            raise BadAnswer(
                f"{snapshot.path} has {rows} models, less than half of the snapshot before it; "
                "a complete archive does not halve, so it was not recorded."
            )
        if "createdAt" in schema.names:
            for group in range(parquet.num_row_groups):
                for frame in _frames(parquet, group, ["createdAt"]):
                    created = frame.select(created=instant(frame, "createdAt"))["created"]
                    top = created.filter(created.dt.date() <= latest).max()
                    youngest = max(filter(None, (youngest, top)), default=None)
    return {
        "folder_date": snapshot.folder_date.isoformat(),
        "rows": rows,
        "max_created_at": youngest.isoformat() if isinstance(youngest, datetime) else None,
        "columns": {column.name: str(column.type) for column in schema},
        # The weekly archive does not say which upstream commit a snapshot is a copy of.
        "upstream_committed_on": None,
        "oid": snapshot.oid,
    }


def _text(kind: pa.DataType) -> bool:
    if at.is_dictionary(kind):
        kind = kind.value_type
    return bool(at.is_string(kind) or at.is_large_string(kind) or at.is_string_view(kind))


def _count(kind: pa.DataType) -> bool:
    return bool(at.is_integer(kind) or at.is_floating(kind))


def _time(kind: pa.DataType) -> bool:
    return bool(at.is_timestamp(kind) or at.is_date(kind))


def _texts(kind: pa.DataType) -> bool:
    return bool(at.is_list(kind) or at.is_large_list(kind)) and _text(kind.value_type)


def _with(*names: str) -> Callable[[pa.DataType], bool]:
    return lambda kind: at.is_struct(kind) and set(names) <= {field.name for field in kind}


SHAPES: dict[str, tuple[Callable[[pa.DataType], bool], ...]] = {
    "_id": (_text,),
    "id": (_text,),
    "createdAt": (_text, _time),
    "downloads": (_count,),
    "downloadsAllTime": (_count,),
    "likes": (_count,),
    "tags": (_texts, _text),  # a list, or its JSON
    "pipeline_tag": (_text,),
    "library_name": (_text,),
    "gated": (_text, at.is_boolean),
    "safetensors": (_with("total"), _text),  # a struct, or its JSON
    "safetensors_total": (_count,),
    "baseModels": (_with("relation", "models"), _text),  # a struct, or its JSON
}
"""Every type a column has had. All but id and downloads may be missing or wholly empty."""
REQUIRED = ("id", "downloads")


def _understood(schema: pa.Schema, what: str) -> pa.Schema:
    """The schema, when every column that is read has a known type.

    Raises:
        BadAnswer: naming the column that is missing, renamed or of another type.
    """
    check_spelling(what, schema.names, REQUIRED)
    for column in schema:
        known = SHAPES.get(column.name)
        empty = at.is_null(column.type) and column.name not in REQUIRED
        if known and not empty and not any(fits(column.type) for fits in known):
            raise BadAnswer(f"{what} has a column {column.name!r} of the unknown type {column.type}.")
    return schema


def _needed(schema: pa.Schema) -> list[str]:
    """The columns to read; of safetensors only the total."""
    columns = []
    for name in SHAPES:
        if name in schema.names:
            is_struct = name == "safetensors" and at.is_struct(schema.field(name).type)
            columns.append(f"{name}.total" if is_struct else name)
    return columns


def _frames(parquet: pq.ParquetFile, group: int, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    try:
        for batch in parquet.iter_batches(BATCH, row_groups=[group], columns=list(columns)):
            frame = pl.from_arrow(batch)
            if isinstance(frame, pl.DataFrame):
                yield frame
    except (pa.ArrowException, OSError) as error:
        raise BadAnswer("A snapshot's parquet file is damaged; pull it again.") from error


def _teller(
    file: Path, group: int, number: int, columns: Sequence[str]
) -> Callable[[Sequence[int]], list[str]]:
    """The rows at some positions of one piece of the file, as JSON of the columns that are read."""

    def tell(positions: Sequence[int]) -> list[str]:
        with _opened(file) as parquet:
            for at_number, frame in enumerate(_frames(parquet, group, columns)):
                if at_number == number:
                    rows = frame[list(positions)].to_dicts()
                    return [json.dumps(row, default=str, ensure_ascii=False) for row in rows]
        return []

    return tell


def _raw(collector: Collector, frame: pl.DataFrame) -> pl.DataFrame:
    """The columns of ``models.RAW`` from whatever shape the file has."""
    frame = frame.with_row_index("position").with_columns(pl.col(pl.Categorical).cast(pl.String))
    absent = {name: pl.lit(None) for name in SHAPES if name not in frame.columns}
    frame = frame.with_columns(**absent)
    frame = _decoded(collector, frame, "tags", pl.List(pl.String))
    frame = _decoded(collector, frame, "safetensors", pl.Struct({"total": pl.Int64}))
    frame = _decoded(
        collector, frame, "baseModels", pl.Struct({"relation": pl.String, "models": pl.List(BASE)})
    )
    total = pl.col("safetensors").struct.field("total")
    if frame.schema["safetensors_total"] != pl.Null:
        total = pl.coalesce("safetensors_total", total.cast(frame.schema["safetensors_total"]))
    numbers = [n for n in ("downloadsAllTime", "likes") if frame.schema[n] == pl.Null]
    texts = ("_id", "pipeline_tag", "library_name", "gated", "createdAt")
    return frame.with_columns(
        *(pl.col(name).cast(pl.Int64) for name in numbers),
        *(pl.col(n).cast(pl.String) for n in texts if n != "createdAt" or frame.schema[n] == pl.Null),
        safetensors_total=total,
        relation=pl.col("baseModels").struct.field("relation"),
        bases=pl.col("baseModels").struct.field("models").cast(pl.List(BASE)),
    )


def _decoded(collector: Collector, frame: pl.DataFrame, name: str, dtype: pl.DataType) -> pl.DataFrame:
    """A column as its structured type, where a file holds it as JSON text or not at all."""
    column = pl.col(name)
    if frame.schema[name] == pl.Null:
        return frame.with_columns(column.cast(dtype))
    if frame.schema[name] != pl.String:
        return frame
    try:
        return frame.with_columns(column.str.json_decode(dtype))
    except pl.exceptions.PolarsError:
        values = []
        for text in frame[name]:
            try:
                values.append(pl.Series([text]).str.json_decode(dtype)[0])
            except pl.exceptions.PolarsError:
                values.append(None)
                collector.reject(HF_MODELS.name, f"unreadable_{name}", json.dumps({name: text}))
        return frame.with_columns(pl.Series(name, values, dtype=dtype))
