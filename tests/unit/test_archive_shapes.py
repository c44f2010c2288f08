"""The archive's files in every shape they have had, their rows, and the day they stand for."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from atom_dagster.landing import Landing
from atom_dagster.settings import Archive
from atom_dagster.sources import BadAnswer, archive
from atom_dagster.sources.archive import Snapshot
from tests.unit._archive import FOLDER, IDS, columns, fetch, parquet, reading_of
from tests.unit._loopback import Clock, Loopback, Reply, at, endpoints
from tests.unit._shared import recorded


def test_a_snapshot_becomes_typed_rows(server: Loopback, landing: Landing) -> None:
    tags = [["license:mit", "base_model:finetune:x/1"], None, []]
    reading = reading_of(fetch(server, landing, parquet(columns(tags=tags))))
    models = reading.frames["hf_models"]
    first = models.row(0, named=True)
    assert (first["source"], first["model_id"], first["hf_id"]) == ("hub_archive", "a/1", "1")
    assert (first["observed_on"], first["folder_date"]) == (FOLDER, FOLDER)
    assert first["created_at"] == datetime(2025, 3, 1, 10)
    assert (first["downloads_30d"], first["downloads_all_time"]) == (10, 100)
    assert first["license"] == "mit"
    assert models["downloads_all_time"].to_list() == [100, 200, None]
    (edge,) = reading.frames["hf_derivatives"].rows(named=True)
    assert (edge["model_id"], edge["relation"], edge["base_model_id"]) == ("a/1", "finetune", "x/1")
    assert edge["observed_on"] == FOLDER


BASES = [
    {"relation": "merge", "models": [{"_id": "8", "id": "x/1"}, {"_id": "9", "id": "x/2"}]},
    None,
    {"relation": None, "models": []},
]
STAMPS = [datetime(2025, 3, 1, 10, tzinfo=UTC), None, None]


@pytest.mark.parametrize(
    ("more", "schema", "expected"),
    [
        ({"safetensors": [{"total": 7, "parameters": {"BF16": 7}}, None, None]}, {}, "size"),
        ({"safetensors": ['{"total": 7, "parameters": {}}', None, None]}, {}, "size"),
        ({"safetensors_total": [7, None, None]}, {}, "size"),
        ({"safetensors_total": [7.0, float("nan"), None]}, {}, "size"),
        ({"safetensors": [None] * 3, "safetensors_total": [7, None, None]}, {}, "size"),
        ({"baseModels": BASES}, {}, "edges"),
        ({"baseModels": [json.dumps(base) if base else None for base in BASES]}, {}, "edges"),
        ({"tags": [["base_model:merge:x/1", "base_model:merge:x/2"], None, []]}, {}, "edges"),
        ({"tags": ['["base_model:merge:x/1", "base_model:merge:x/2"]', None, "[]"]}, {}, "edges"),
        ({"createdAt": STAMPS}, {}, "created"),
        ({"createdAt": STAMPS}, {"createdAt": pa.timestamp("ms", tz="UTC")}, "created"),
        ({"createdAt": [s and s.replace(tzinfo=None) for s in STAMPS]}, {}, "created"),
        ({"createdAt": ["2025-03-01 10:00:00", None, None]}, {}, "created"),
        ({"createdAt": ["2025-03-01T10:00:00+00:00", None, None]}, {}, "created"),
        ({"downloads": [10.0, 20.0, 30.0]}, {}, "counts"),
        ({"downloads": [10, 20, 30]}, {"downloads": pa.int32()}, "counts"),
        ({"downloads": [10, 20, 30]}, {"downloads": pa.uint64()}, "counts"),
        ({"id": IDS}, {"id": pa.large_string()}, "counts"),
        ({"id": IDS}, {"id": pa.dictionary(pa.int32(), pa.string())}, "counts"),
        ({"pipeline_tag": [None] * 3, "tags": [None] * 3, "baseModels": [None] * 3}, {}, "counts"),
        ({"gated": [True, False, None], "unheard_of": [{"x": 1}, None, None]}, {}, "counts"),
        ({"_id": ..., "createdAt": ..., "likes": ..., "downloadsAllTime": ...}, {}, "bare"),
    ],
)
def test_every_known_shape_gives_the_same_rows(
    server: Loopback,
    landing: Landing,
    more: dict[str, Any],
    schema: dict[str, pa.DataType],
    expected: str,
) -> None:
    reading = reading_of(fetch(server, landing, parquet(columns(**more), schema)))
    models, found = reading.frames["hf_models"], reading.frames["hf_derivatives"]
    assert models["model_id"].to_list() == IDS
    assert models["downloads_30d"].to_list() == [10, 20, 30]
    assert reading.quarantine.height == 0
    if expected == "size":
        assert models["safetensors_total"].to_list() == [7, None, None]
    if expected == "created":
        assert models["created_at"].to_list() == [datetime(2025, 3, 1, 10), None, None]
    if expected == "bare":
        assert models["downloads_all_time"].null_count() == 3
    edges = found.select("model_id", "relation", "base_model_id").rows()
    assert edges == ([("a/1", "merge", "x/1"), ("a/1", "merge", "x/2")] if expected == "edges" else [])


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"downloads": ..., "downloads_30d": [1, 2, 3]}, "lacks the field 'downloads'"),
        ({"id": ..., "model": IDS}, "lacks the field 'id'"),
        ({"createdAt": ..., "created_at": ["x"] * 3}, "'created_at' where 'createdAt'"),
        ({"downloads": ["10", "20", "30"]}, "column 'downloads' of the unknown type string"),
        ({"downloads": [None] * 3}, "column 'downloads' of the unknown type null"),
        ({"tags": [[1], [2], [3]]}, "column 'tags' of the unknown type list"),
        ({"safetensors": [{"sum": 1}] * 3}, "column 'safetensors' of the unknown type struct"),
        ({"baseModels": [["x/1"]] * 3}, "column 'baseModels' of the unknown type list"),
        ({"createdAt": [20250301, 1, 2]}, "column 'createdAt' of the unknown type int64"),
    ],
)
def test_a_shape_that_is_not_known_is_refused_by_name(
    server: Loopback, landing: Landing, more: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(BadAnswer, match=sentence):
        fetch(server, landing, parquet(columns(**more)))
    assert landing.pulls() == []


def test_rows_that_cannot_be_believed_are_kept_aside(server: Loopback, landing: Landing) -> None:
    body = parquet(
        {
            "id": ["good/1", "bad/1", "bad/2", "good/1", None, "bad/3", "good/2"],
            "downloads": [1.0, -1.0, 1e30, 2.0, 1.0, 1.5, 3.0],
            "createdAt": ["2025-01-01", None, None, None, None, None, "2026-05-24T01:00:00Z"],
            "tags": ["[]", "[]", "[]", "[]", "[]", "[]", "no json"],
        }
    )
    reading = reading_of(fetch(server, landing, body))
    assert reading.frames["hf_models"]["model_id"].to_list() == ["good/1", "good/2"]
    assert reading.frames["hf_models"]["downloads_30d"].to_list() == [1, 3]
    aside = sorted(
        (reason, json.loads(payload).get("id"), json.loads(payload).get("downloads"))
        for reason, payload in reading.quarantine.select("reason", "payload").rows()
    )
    assert aside == [
        ("duplicate", "good/1", 2.0),
        ("missing_id", None, 1.0),
        ("negative_count", "bad/1", -1.0),
        ("not_a_number", "bad/3", 1.5),
        ("overflow", "bad/2", 1e30),
        ("unreadable_tags", None, None),
    ]


def test_models_of_the_future_are_kept_aside_and_date_nothing(server: Loopback, landing: Landing) -> None:
    created = ["2026-05-16T08:00:00.000Z", "2026-05-25T00:00:00.000Z", None]
    pull = fetch(server, landing, parquet(columns(createdAt=created)))
    assert pull.facts["max_created_at"] == "2026-05-16T08:00:00"
    reading = reading_of(pull)
    assert reading.frames["hf_models"]["model_id"].to_list() == ["a/1", "b/1"]
    assert reading.quarantine["reason"].to_list() == ["future_date"]


@pytest.mark.parametrize(
    ("facts", "day"),
    [
        ({"folder_date_is": "observed_on", "rows": 10**6}, "2026-05-13"),
        ({"rows": 10**6, "upstream_committed_on": "2026-05-18"}, "2026-05-18"),
        ({"rows": 10**6, "max_created_at": "2026-05-16T08:00:00"}, "2026-05-16"),
        ({"rows": 10**6, "max_created_at": "2026-05-30T08:00:00"}, "2026-05-19"),
        ({"rows": 10**6, "max_created_at": "2026-05-01T08:00:00"}, "2026-05-13"),
        ({"rows": 99_999, "max_created_at": "2026-05-16T08:00:00"}, "2026-05-13"),
        ({"rows": 100_000, "max_created_at": "2026-05-16T08:00:00"}, "2026-05-16"),
        ({"rows": 10**6, "max_created_at": None}, "2026-05-13"),
    ],
)
def test_the_day_a_snapshot_stands_for(
    server: Loopback, landing: Landing, facts: dict[str, Any], day: str
) -> None:
    pull = fetch(server, landing, parquet(columns()))
    base = {"folder_date": "2026-05-13", "folder_date_is": "week_start"}
    assert archive.observed_on(replace(pull, facts=base | facts)) == date.fromisoformat(day)


def test_recorded_snapshots(server: Loopback, tmp_path: Path) -> None:
    landing = Landing(tmp_path / "landing")
    folder = recorded("hub/models/2026-05-23/models.parquet").parent.parent
    shutil.copytree(folder, tmp_path / "models")
    heights = {}
    for path in sorted((tmp_path / "models").iterdir()):
        day = date.fromisoformat(path.name)
        snapshot = Snapshot(day, f"models/{day}/models.parquet", None)
        body = (path / "models.parquet").read_bytes()
        later = at(datetime(2026, 6, 24, tzinfo=UTC))
        server.replies(Reply(body, headers={"Date": "Wed, 24 Jun 2026 00:00:00 GMT"}))
        pull = archive.pull(
            endpoints(server.url),
            landing,
            snapshot,
            archive=Archive(server.url, "owner/weekly", "selection", "observed_on"),
            now=later,
            patience=Clock().patience(),
        )
        reading = reading_of(pull)
        assert reading.quarantine.height == 0
        assert reading.frames["hf_models"]["observed_on"].unique().to_list() == [day]
        heights[path.name] = reading.frames["hf_models"].height
        if path.name == "2026-05-23":
            source = pl.read_parquet(io.BytesIO(body))
            assert reading.frames["hf_models"]["downloads_30d"].sum() == source["downloads"].sum()
            qwen = reading.frames["hf_models"].filter(pl.col("model_id").str.starts_with("Qwen/"))
            assert qwen.height > 163
    assert len(heights) == 19
    assert (heights["2026-02-15"], heights["2026-05-23"]) == (20, 5161)
