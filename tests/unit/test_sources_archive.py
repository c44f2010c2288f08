"""The archive: its listing, and its files on their way into landing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pyarrow as pa
import pytest

from atom_dagster.landing import Landing
from atom_dagster.sources import BadAnswer, Refused, SourceError, Unreachable, archive
from atom_dagster.sources.archive import Snapshot
from atom_dagster.sources.archive_shrink import Size
from tests.unit._archive import FOLDER, PATH, RESOLVE, columns, fetch, parquet
from tests.unit._loopback import HTML, Asked, Clock, Loopback, Reply, at, endpoints, serving

TREE = "/api/datasets/owner/weekly/tree/main/models"


def entry(path: str, size: int = 1, kind: str = "file", **more: Any) -> dict[str, Any]:
    return {"type": kind, "oid": f"oid-{path}", "size": size, "path": path, **more}


def listed(server: Loopback, **more: Any) -> list[Snapshot]:
    """What the one archive lists."""
    world = endpoints(server.url)
    return archive.snapshots(world, world.archives[0], **{"patience": Clock().patience(), **more})


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
        fetch(server, landing, body, before=lambda: Size(7))
    assert fetch(server, landing, body, before=lambda: Size(6)).record()["is_complete"]


def test_what_follows_a_shrink_proves_no_absence(server: Loopback, landing: Landing) -> None:
    pull = fetch(server, landing, parquet(columns()), before=lambda: Size(4, rows_before_shrink=7))
    assert pull.facts["rows_before_shrink"] == 7
    assert not pull.record()["is_complete"]


def test_a_selection_may_shrink(server: Loopback, landing: Landing) -> None:
    pull = fetch(server, landing, parquet(columns()), before=lambda: Size(7), kind="selection")
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
