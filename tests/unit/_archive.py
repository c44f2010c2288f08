"""One snapshot of an archive, made, served and pulled as a test wants it."""

from __future__ import annotations

import io
from datetime import date
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from atom_dagster.landing import Landing, Pull
from atom_dagster.settings import Archive
from atom_dagster.sources import archive
from atom_dagster.sources.archive import Snapshot
from atom_dagster.sources.tables import Reading
from tests.unit._loopback import Clock, Loopback, Reply, at, endpoints

FOLDER = date(2026, 5, 13)
PATH = f"models/{FOLDER}/models.parquet"
RESOLVE = f"/datasets/owner/weekly/resolve/main/{PATH}"
IDS = ["a/1", "a/2", "b/1"]


def parquet(columns: dict[str, Any], schema: dict[str, pa.DataType] | None = None) -> bytes:
    arrays = {name: pa.array(values, type=(schema or {}).get(name)) for name, values in columns.items()}
    sink = io.BytesIO()
    pq.write_table(pa.table(arrays), sink, row_group_size=2)
    return sink.getvalue()


def columns(**more: Any) -> dict[str, Any]:
    given = {
        "_id": ["1", "2", "3"],
        "id": IDS,
        "createdAt": ["2025-03-01T10:00:00.000Z", "2026-05-16T08:00:00.000Z", None],
        "downloads": [10, 20, 30],
        "downloadsAllTime": [100, 200, None],
        "likes": [1, 2, 3],
    }
    return {name: values for name, values in {**given, **more}.items() if values is not ...}


def fetch(server: Loopback, landing: Landing, body: bytes | None = None, **more: Any) -> Pull:
    """Pull the one snapshot; with ``body`` the server has that file."""
    if body is not None:
        server.replies(Reply(body))
    kind = more.pop("kind", "complete")
    dated = more.pop("dated", "week_start")
    given = {"now": at(), "patience": Clock().patience(), **more}
    snapshot = given.pop("snapshot", Snapshot(FOLDER, PATH, None))
    source = Archive(server.url, "owner/weekly", kind, dated)
    world = endpoints(server.url, archives=(source,), hub_token=given.pop("token", None))
    return archive.pull(world, landing, snapshot, archive=source, **given)


def reading_of(pull: Pull) -> Reading:
    """All pieces of a pull as one."""
    pieces = list(archive.read(pull))
    frames = {
        name: pl.concat([piece.frames[name] for piece in pieces]) for name in ("hf_models", "hf_derivatives")
    }
    return Reading(frames, pl.concat([piece.quarantine for piece in pieces]))
