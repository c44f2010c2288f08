"""The archive: its listing, its files in every shape they have had, and the day they stand for."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from atom_dagster.landing import Landing, Pull
from atom_dagster.settings import Archive
from atom_dagster.sources import (
    BadAnswer,
    Refused,
    SourceError,
    Unreachable,
    archive,
)
from atom_dagster.sources.archive import Snapshot
from atom_dagster.sources.tables import Reading
from tests.unit._loopback import HTML, Asked, Clock, Loopback, Reply, at, endpoints, serving
from tests.unit._shared import recorded

TREE = "/api/datasets/owner/weekly/tree/main/models"
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


def entry(path: str, size: int = 1, kind: str = "file", **more: Any) -> dict[str, Any]:
    return {"type": kind, "oid": f"oid-{path}", "size": size, "path": path, **more}


@pytest.fixture
def server() -> Iterator[Loopback]:
    with serving() as loopback:
        yield loopback


@pytest.fixture
def landing(tmp_path: Path) -> Landing:
    return Landing(tmp_path / "landing")


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


def listed(server: Loopback, **more: Any) -> list[Snapshot]:
    """What the one archive lists."""
    world = endpoints(server.url)
    return archive.snapshots(world, world.archives[0], **{"patience": Clock().patience(), **more})


def reading_of(pull: Pull) -> Reading:
    """All pieces of a pull as one."""
    pieces = list(archive.read(pull))
    frames = {
        name: pl.concat([piece.frames[name] for piece in pieces]) for name in ("hf_models", "hf_derivatives")
    }
    return Reading(frames, pl.concat([piece.quarantine for piece in pieces]))


def test_the_listing_is_followed_and_what_is_no_snapshot_is_told(server: Loopback) -> None:
    days = ["2026-05-06", "2026-05-13", "2026-05-20"]

    def answer(asked: Asked) -> Reply:
        if asked.path != TREE:
            return Reply.json([])
        if "cursor" in asked.query:
            large = {"oid": "sha", "size": 10**9, "pointerSize": 134}
            return Reply.json(
                [
                    entry("models/2026-05-20", kind="directory"),
                    entry("models/2026-05-20/models.parquet", 134, lfs=large),
                    entry("models/2026-05-27", kind="directory"),
                    entry("models/latest", kind="directory"),
                    entry("models/latest/models.parquet"),
                    entry("models/2026-13-01", kind="directory"),
                    entry("models/README.md"),
                ]
            )
        link = f'<http://{asked.headers["host"]}{TREE}?recursive=true&cursor=x>; rel="next"'
        found = [entry(f"models/{day}", kind="directory") for day in days[1::-1]]
        found += [entry(f"models/{day}/models.parquet", 77) for day in days[1::-1]]
        return Reply.json(found, headers={"Link": link})

    server.answer = answer
    problems: list[str] = []
    found = listed(server, problems=problems)
    assert [str(snapshot.folder_date) for snapshot in found] == days
    assert [snapshot.size for snapshot in found] == [77, 77, 10**9]
    assert found[2] == Snapshot(date(2026, 5, 20), "models/2026-05-20/models.parquet", 10**9, "sha")
    assert problems == [
        "The archive's folder models/2026-05-27 has no models.parquet; it was left out.",
        "The archive's folder models/latest is not named for a day; it was left out.",
        "The archive's folder models/2026-13-01 is not named for a day; it was left out.",
    ]


def test_folders_that_hide_their_files_are_asked_one_by_one(server: Loopback) -> None:
    def answer(asked: Asked) -> Reply:
        if asked.path == TREE:
            return Reply.json([entry("models/2026-05-06", kind="directory")])
        return Reply.json([entry("models/2026-05-06/models.parquet", 5)])

    server.answer = answer
    (found,) = listed(server)
    assert (found.folder_date, found.size) == (date(2026, 5, 6), 5)


@pytest.mark.parametrize(
    ("reply", "error", "sentence"),
    [
        (Reply.json([]), BadAnswer, "lists no snapshot"),
        (Reply.json({"error": "x"}), BadAnswer, "no list of files"),
        (HTML, BadAnswer, "web page"),
        (Reply(status=404), BadAnswer, "status 404"),
        (Reply(status=401), Refused, "set HF_TOKEN"),
        (Reply(status=500), Unreachable, "status 500"),
    ],
)
def test_answers_that_are_no_listing(
    server: Loopback, reply: Reply, error: type[SourceError], sentence: str
) -> None:
    server.replies(reply)
    with pytest.raises(error, match=sentence):
        listed(server, patience=Clock().patience(tries=2))


def test_a_snapshot_lands_as_it_came_with_its_facts(server: Loopback, landing: Landing) -> None:
    body = parquet(columns())
    told: list[tuple[str, int, int | None]] = []
    snapshot = Snapshot(FOLDER, PATH, len(body), "sha")
    pull = fetch(server, landing, body, snapshot=snapshot, progress=lambda *now: told.append(now))
    assert server.paths() == [RESOLVE]
    assert pull.file(pull.pages[0]).read_bytes() == body
    assert pull.pages[0].request == RESOLVE
    assert (pull.source, pull.scope) == ("hub_archive", "2026-05-13")
    assert pull.facts["rows"] == 3
    assert pull.facts["max_created_at"] == "2026-05-16T08:00:00"
    assert pull.facts["columns"]["downloads"] == "int64"
    assert pull.facts["folder_date_is"] == "week_start"
    assert told[-1] == ("bytes", len(body), len(body))
    assert fetch(server, landing, body) == pull
    assert len(landing.pulls()) == 1


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


def test_a_snapshot_of_the_future_is_refused(server: Loopback, landing: Landing) -> None:
    snapshot = Snapshot(date(2026, 5, 25), PATH, None)
    with pytest.raises(BadAnswer, match="dated in the future"):
        fetch(server, landing, b"", snapshot=snapshot)


NO_ROWS = {"id": pa.string(), "downloads": pa.int64()}


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda body: body[:-20], "not a whole parquet file"),
        (lambda body: HTML.body, "not a whole parquet file"),
        (lambda body: b"", "not a whole parquet file"),
        (lambda body: b"six by" + body, "is damaged"),
        (lambda body: parquet({"id": [], "downloads": []}, NO_ROWS), "holds no model"),
    ],
)
def test_a_file_that_is_no_snapshot(
    server: Loopback, landing: Landing, make: Callable[[bytes], bytes], sentence: str
) -> None:
    with pytest.raises(BadAnswer, match=sentence):
        fetch(server, landing, make(parquet(columns())))
    assert landing.pulls() == []
    assert fetch(server, landing, parquet(columns())).facts["rows"] == 3, "nothing bad was kept"


def test_a_file_of_another_size_than_listed(server: Loopback, landing: Landing) -> None:
    body = parquet(columns())
    with pytest.raises(BadAnswer, match=f"came with {len(body)} of {len(body) + 1} bytes"):
        fetch(server, landing, body, snapshot=Snapshot(FOLDER, PATH, len(body) + 1))


def test_a_complete_archive_never_halves(server: Loopback, landing: Landing) -> None:
    body = parquet(columns())
    with pytest.raises(BadAnswer, match="less than half of the snapshot before"):
        fetch(server, landing, body, previous_rows=lambda: 7)
    assert fetch(server, landing, body, previous_rows=lambda: 6).record()["is_complete"]


def test_a_selection_may_shrink(server: Loopback, landing: Landing) -> None:
    pull = fetch(server, landing, parquet(columns()), previous_rows=lambda: 7, kind="selection")
    assert pull.facts["rows"] == 3
    assert not pull.record()["is_complete"]


def ranged(body: bytes, cuts: list[int], *, etag: str = '"v1"', honours: bool = True) -> Any:
    """A server whose transfers break after so many bytes, and that may honour Range."""

    def answer(asked: Asked) -> Reply:
        start = int(asked.headers.get("range", "bytes=0-")[6:-1]) if honours else 0
        rest = body[start:]
        sent = cuts.pop(0) if cuts else len(rest)
        headers = {"ETag": etag}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        cut = max(0, len(rest) - sent)
        return Reply(rest, status=206 if start else 200, headers=headers, cut=cut)

    return answer


@pytest.mark.parametrize("honours", [True, False])
def test_a_download_that_breaks_goes_on_where_it_broke(
    server: Loopback, landing: Landing, honours: bool
) -> None:
    body = parquet(columns(likes=[5, 6, 7]))
    server.answer = ranged(body, [100, 300 if honours else 400], honours=honours)
    pull = fetch(server, landing)
    assert pull.file(pull.pages[0]).read_bytes() == body
    assert [asked.headers.get("range") for asked in server.asked] == [
        None, "bytes=100-", "bytes=400-"
    ]  # fmt: skip


def test_a_download_that_always_breaks(server: Loopback, landing: Landing) -> None:
    body = parquet(columns())
    server.answer = ranged(body, [50] + [0] * 99)
    with pytest.raises(BadAnswer, match="torn answer"):
        fetch(server, landing)
    assert len(server.asked) == 5
    assert landing.pulls() == []


def test_a_file_that_changes_while_it_is_downloaded(server: Loopback, landing: Landing) -> None:
    first, second = parquet(columns()), parquet(columns(likes=[7, 8, 9]))
    before, after = ranged(first, [60]), ranged(second, [], etag='"v2"')
    server.answer = lambda asked: (before if len(server.asked) == 1 else after)(asked)
    with pytest.raises(BadAnswer, match=r"changed .* while it was downloaded"):
        fetch(server, landing)


@pytest.mark.parametrize(
    ("reply", "error", "sentence"),
    [
        (Reply(status=404), BadAnswer, "status 404"),
        (Reply(status=403), Refused, "set HF_TOKEN"),
        (Reply(status=500), Unreachable, "status 500"),
    ],
)
def test_a_file_that_does_not_come(
    server: Loopback, landing: Landing, reply: Reply, error: type[SourceError], sentence: str
) -> None:
    server.replies(reply)
    with pytest.raises(error, match=sentence):
        fetch(server, landing, patience=Clock().patience(tries=2))


def test_server_errors_that_pass(server: Loopback, landing: Landing) -> None:
    body = parquet(columns())
    clock = Clock()
    wait = Reply(status=429, headers={"Retry-After": "12"})
    server.replies(Reply(status=503), wait, replace(Reply(body), cut=7), Reply(body))
    assert fetch(server, landing, patience=clock.patience()).facts["rows"] == 3
    assert 12.0 in clock.slept


def test_the_token_does_not_follow_a_redirect_to_another_host(server: Loopback, landing: Landing) -> None:
    body = parquet(columns())
    with serving(lambda asked: Reply(body)) as elsewhere:
        server.replies(Reply(status=302, headers={"Location": f"{elsewhere.url}/blob"}))
        fetch(server, landing, token="hf_0123456789")
        assert server.asked[0].headers["authorization"] == "Bearer hf_0123456789"
        assert "authorization" not in elsewhere.asked[0].headers


def test_an_archive_killed_after_its_download_is_not_downloaded_again(
    server: Loopback, landing: Landing
) -> None:
    body = parquet(columns())

    def killed(what: str, done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(server, landing, body, progress=killed)
    with landing.open(source="hub_archive", scope=str(FOLDER), world="test", now=at()) as draft:
        assert draft.pages == [], "a file that came half is no page"
        draft.add("models.parquet", body, request=RESOLVE)
    asked = len(server.asked)
    assert fetch(server, landing, body).facts["rows"] == 3
    assert len(server.asked) == asked


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
