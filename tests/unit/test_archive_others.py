"""The archives that are no folders: revisions of one file, and a series of many days in one file."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from atom_dagster.landing import Landing, Pull
from atom_dagster.settings import Archive
from atom_dagster.sources import BadAnswer, Missing, archive, archive_files, archive_listing, archive_series
from atom_dagster.sources.archive import Snapshot
from atom_dagster.sources.archive_listing import anchored, candidates
from atom_dagster.sources.archive_shrink import Size
from atom_dagster.sources.tables import Reading
from tests.unit._archive import parquet
from tests.unit._loopback import Asked, Clock, Loopback, Reply, at, endpoints

REPO = "owner/stats"
COMMITS = f"/api/datasets/{REPO}/commits/main"
SERIES = "all_downloads_with_annotations.parquet"
ROOT = Path(__file__).resolve().parents[2]


def days(*texts: str) -> list[date]:
    return [date.fromisoformat(text) for text in texts]


def of_kind(server: Loopback, layout: str) -> Archive:
    kind = "selection" if layout == "series" else "complete"
    return Archive(server.url, REPO, kind, name=f"hub_{layout}", layout=layout)  # type: ignore[arg-type]


def listed(server: Loopback, layout: str) -> list[Snapshot]:
    world = endpoints(server.url)
    return archive.snapshots(world, of_kind(server, layout), patience=Clock().patience(tries=2))


def fetch(server: Loopback, landing: Landing, layout: str, snapshot: Snapshot, **more: Any) -> Pull:
    given = {"now": at(), "patience": Clock().patience(), "archive": of_kind(server, layout), **more}
    return archive.pull(endpoints(server.url), landing, snapshot, **given)


@pytest.mark.parametrize(
    ("month", "every", "there", "chosen"),
    [
        ("2026-03-01", 7, range(1, 32), [1, 8, 15, 22]),
        ("2026-02-01", 7, range(1, 29), [1, 8, 15, 22]),
        ("2026-03-01", 14, range(1, 32), [1, 15]),
        ("2026-03-01", 31, range(1, 32), [1]),
        ("2026-03-01", 1, range(1, 32), list(range(1, 32))),
        ("2026-04-01", 2, range(1, 31), list(range(1, 31, 2))),
        ("2026-03-01", 7, [3, 10, 24, 31], [3, 10, 24]),
        ("2026-03-01", 7, [30], [30]),
        ("2026-03-01", 7, [], []),
    ],
)
def test_one_reading_a_week_is_taken(month: str, every: int, there: list[int], chosen: list[int]) -> None:
    first = date.fromisoformat(month)
    known = [first.replace(day=day) for day in there]
    others = days("2026-01-31", "2026-05-01")
    found = anchored([*known, *others], {first}, every)
    assert found == [first.replace(day=day) for day in chosen]


def history(*instants: str) -> list[dict[str, Any]]:
    """Commits as the Hub lists them, newest first."""
    return [{"id": f"sha-{instant}", "title": "x", "date": instant} for instant in reversed(instants)]


def test_a_history_is_followed_to_its_end_and_a_day_has_its_first_commit(server: Loopback) -> None:
    told = history(
        "2026-03-01T05:00:00.000Z",
        "2026-03-01T09:00:00.000Z",
        "2026-03-09T23:59:59.000Z",
        "2026-04-02T05:00:00.000Z",
    )

    def answer(asked: Asked) -> Reply:
        assert asked.path == COMMITS
        if "cursor" in asked.query:
            return Reply.json(told[2:])
        link = f'<http://{asked.headers["host"]}{COMMITS}?cursor=x>; rel="next"'
        return Reply.json(told[:2], headers={"Link": link})

    server.answer = answer
    found = listed(server, "revisions")
    assert [snapshot.folder_date for snapshot in found] == days(
        "2026-03-01", "2026-03-01", "2026-03-09", "2026-04-02"
    )
    chosen = candidates(of_kind(server, "revisions"), found, {date(2026, 3, 1)}, 7)
    assert [snapshot.revision for snapshot in chosen] == [
        "sha-2026-03-01T05:00:00.000Z",
        "sha-2026-03-09T23:59:59.000Z",
    ]


@pytest.mark.parametrize(
    ("reply", "error", "sentence"),
    [
        (Reply(status=404), Missing, "The Hub's archive of revisions answered .* with status 404"),
        (Reply.json([]), BadAnswer, "lists no snapshot"),
        (Reply.json([{"id": "x", "date": "yesterday"}]), BadAnswer, "a commit without id or date"),
        (Reply.json({"error": "x"}), BadAnswer, "no list"),
    ],
)
def test_answers_that_are_no_history(
    server: Loopback, reply: Reply, error: type[Exception], sentence: str
) -> None:
    server.replies(reply)
    with pytest.raises(error, match=sentence):
        listed(server, "revisions")


MODELS = parquet({"id": ["a/1", "a/2"], "downloads": [10, 20], "downloadsAllTime": [100, 200]})
REVISION = Snapshot(date(2026, 3, 9), "models.parquet", None, revision="abc")


def with_revisions(server: Loopback, committed: str | None, *, body: bytes = MODELS, oid: str = "o1") -> None:
    def answer(asked: Asked) -> Reply:
        if "/tree/" in asked.path:
            entry = {"type": "file", "path": "models.parquet", "size": 9, "oid": "git"}
            entry["lfs"] = {"oid": oid, "size": len(body)}
            if committed:
                entry["lastCommit"] = {"id": "x", "title": "x", "date": committed}
            return Reply.json([{"type": "file", "path": "README.md", "size": 1}, entry])
        return Reply(body)

    server.answer = answer


@pytest.mark.parametrize(
    ("committed", "day"),
    [
        ("2026-03-09T05:00:00.000Z", "2026-03-09"),
        ("2026-03-04T05:00:00.000Z", "2026-03-04"),  # the chosen commit left the file as it was
        (None, "2026-03-09"),
    ],
)
def test_a_revision_stands_for_the_day_its_file_was_committed(
    server: Loopback, landing: Landing, committed: str | None, day: str
) -> None:
    with_revisions(server, committed)
    pull = fetch(server, landing, "revisions", REVISION)
    assert server.paths() == [
        f"/api/datasets/{REPO}/tree/abc",
        f"/datasets/{REPO}/resolve/abc/models.parquet",
    ]
    assert (pull.source, pull.scope) == ("hub_revisions", "2026-03-09")
    assert pull.facts["oid"] == "o1"
    assert archive.observed_on(pull) == date.fromisoformat(day)
    [reading] = archive.read(pull)
    models = reading.frames["hf_models"]
    assert models["source"].unique().to_list() == ["hub_revisions"]
    assert models["observed_on"].unique().to_list() == days(day)
    assert models["folder_date"].unique().to_list() == days("2026-03-09")
    assert archive.holds(pull, REVISION)
    assert not archive.holds(pull, Snapshot(date(2026, 3, 9), "models.parquet", None, revision="abd"))


def test_a_file_that_two_revisions_share_comes_once(server: Loopback, landing: Landing) -> None:
    with_revisions(server, "2026-03-09T05:00:00.000Z")
    first = fetch(server, landing, "revisions", REVISION)
    later = Snapshot(date(2026, 3, 16), "models.parquet", None, revision="later")
    assert fetch(server, landing, "revisions", later) == first
    assert server.paths().count(f"/datasets/{REPO}/resolve/later/models.parquet") == 0


def test_a_revision_that_left_the_file_as_it_was_is_asked_for_once(
    server: Loopback, landing: Landing
) -> None:
    with_revisions(server, "2026-03-09T05:00:00.000Z")
    first = fetch(server, landing, "revisions", REVISION)
    later = Snapshot(date(2026, 3, 16), "models.parquet", None, revision="later")
    source = of_kind(server, "revisions")
    assert not archive.holds(first, archive.remembered(landing, source, later))
    fetch(server, landing, "revisions", later)
    assert archive.holds(first, archive.remembered(landing, source, later))
    with_revisions(
        server, "2026-03-17T05:00:00.000Z", body=parquet({"id": ["a/1"], "downloads": [1]}), oid="o2"
    )
    changed = Snapshot(date(2026, 3, 23), "models.parquet", None, revision="changed")
    second = fetch(server, landing, "revisions", changed)
    known = archive.remembered(landing, source, changed)
    assert [archive.holds(pull, known) for pull in (first, second)] == [False, True]


def test_what_another_process_pulled_meanwhile_is_not_downloaded_again(
    server: Loopback, landing: Landing
) -> None:
    body = parquet(series())
    first = fetch_series(server, landing, body)
    again = fetch_series(server, landing, body)
    assert again == first
    downloads = [path for path in server.paths() if "/resolve/" in path]
    assert len(downloads) == 1


def test_a_revision_without_the_file(server: Loopback, landing: Landing) -> None:
    server.replies(Reply.json([]))
    with pytest.raises(BadAnswer, match=r"owner/stats of 2026-03-09 has no models\.parquet"):
        fetch(server, landing, "revisions", REVISION)


def test_a_shrunken_revision_is_refused_by_name_and_can_be_accepted(
    server: Loopback, landing: Landing
) -> None:
    with_revisions(server, None)
    with pytest.raises(BadAnswer, match=r"models\.parquet of 2026-03-09 has 2 .*--accept-shrink 2026-03-09"):
        fetch(server, landing, "revisions", REVISION, before=lambda: Size(5))
    assert landing.pulls() == []
    accepted = {"before": lambda: Size(5), "accepted_shrinks": {date(2026, 3, 9)}}
    pull = fetch(server, landing, "revisions", REVISION, **accepted)
    assert pull.facts["shrink_accepted_from_rows"] == 5
    assert not pull.record()["is_complete"], "what it lacks is not gone"


TIMES = ["2025-04-02", "2025-04-02", "2025-04-09", "2025-04-10", "2025-05-07", "2025-04-02"]


def series(**more: Any) -> dict[str, Any]:
    given = {
        "_id": ["1", "2", "1", "1", "1", "1"],
        "model": ["a/1", "a/2", "a/1", "a/1", "a/1", "a/1"],
        "author": ["a"] * 6,
        "time": TIMES,
        "created": ["2025-03-01T10:00:00.000Z"] * 6,
        "downloadsAllTime": [10, 20, 30, 40, 50, 60],
        "org_country": ["US"] * 6,
    }
    return {name: values for name, values in {**given, **more}.items() if values is not ...}


def fetch_series(server: Loopback, landing: Landing, body: bytes, oid: str = "o1", **more: Any) -> Pull:
    def answer(asked: Asked) -> Reply:
        if "/tree/" in asked.path:
            return Reply.json([{"type": "file", "path": SERIES, "size": len(body), "oid": oid}])
        return Reply(body)

    server.answer = answer
    [snapshot] = listed(server, "series")
    return fetch(server, landing, "series", snapshot, **more)


STAMPS = [datetime.fromisoformat(f"{day}T06:30:00") for day in TIMES]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"time": STAMPS},
        {"time": [f"{day} 06:30:00" for day in TIMES]},
        {"time": [date.fromisoformat(day) for day in TIMES], "_id": ..., "org_country": ...},
        {"created": [datetime(2025, 3, 1, 10)] * 6, "downloadsAllTime": [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]},
    ],
)
def test_a_series_gives_each_month_its_days(server: Loopback, landing: Landing, more: dict[str, Any]) -> None:
    pull = fetch_series(server, landing, parquet(series(**more)))
    assert (pull.source, pull.scope) == ("hub_series", "all")
    assert pull.facts["days"] == {"2025-04-02": 3, "2025-04-09": 1, "2025-04-10": 1, "2025-05-07": 1}
    assert archive.observed_days(pull) == days("2025-04-02", "2025-04-09", "2025-05-07")
    found = list(archive.read(pull, date(2025, 4, 1)))
    rows = [row for reading in found for row in reading.frames["hf_models"].iter_rows(named=True)]
    told = [(row["model_id"], str(row["observed_on"]), row["downloads_all_time"]) for row in rows]
    assert told == [("a/1", "2025-04-02", 10), ("a/2", "2025-04-02", 20), ("a/1", "2025-04-09", 30)]
    assert {row["downloads_30d"] for row in rows} == {row["folder_date"] for row in rows} == {None}
    assert {row["created_at"] for row in rows} == {datetime(2025, 3, 1, 10)}
    aside = [row for reading in found for row in reading.quarantine.iter_rows(named=True)]
    assert [(row["reason"], json.loads(row["payload"])["downloadsAllTime"]) for row in aside] == [
        ("duplicate", 60)
    ]
    [may] = archive.read(pull, date(2025, 5, 1))
    assert may.frames["hf_models"]["downloads_all_time"].to_list() == [50]


def test_rows_of_no_day_or_of_the_future_are_kept_aside(server: Loopback, landing: Landing) -> None:
    times = ["2025-04-02", "once", None, "2035-01-01", "2025-04-09", "2025-04-09"]
    pull = fetch_series(
        server, landing, parquet(series(time=times, model=["a/1", "a/2", "a/3", "a/4", "a/5", None]))
    )
    assert pull.facts["days"] == {"2025-04-02": 1, "2025-04-09": 2}
    found = list(archive.read(pull, date(2025, 4, 1)))
    assert sum(reading.frames["hf_models"].height for reading in found) == 2
    aside = sorted(reason for reading in found for reason in reading.quarantine["reason"])
    assert aside == ["future_date", "missing_id", "not_a_date", "not_a_date"]


STRAYS = {
    "time": [*TIMES[:3], "once", "2035-01-01", "2025-05-07", "2025-06-04", "2025-06-04"],
    "model": ["a/1", "a/1", "a/3", "a/4", "a/5", "a/6", "a/7", None],
    "downloadsAllTime": [1, 2, 3, 4, 5, 6, 7, 8],
    **{name: ["x"] * 8 for name in ("_id", "author", "org_country")},
    "created": ["2025-03-01T10:00:00.000Z"] * 8,
}


def as_rows(readings: Iterable[Reading]) -> list[list[tuple[Any, ...]]]:
    """The readings in their order, and what was set aside."""
    pieces = list(readings)
    models = pl.concat([piece.frames["hf_models"] for piece in pieces])
    return [models.rows(), sorted(pl.concat([piece.quarantine for piece in pieces]).rows())]


@pytest.mark.parametrize("time", [pa.string(), pa.dictionary(pa.int32(), pa.string())])
@pytest.mark.parametrize("batch", [1, 3, 1000])
def test_a_series_that_is_read_once_gives_each_month_the_same(
    server: Loopback, landing: Landing, monkeypatch: pytest.MonkeyPatch, batch: int, time: pa.DataType
) -> None:
    monkeypatch.setattr(archive_files, "BATCH", batch)
    pull = fetch_series(server, landing, parquet(series(**STRAYS), {"time": time}))
    months = days("2025-04-01", "2025-05-01", "2025-06-01")
    expected = {month: as_rows(archive.read(pull, month)) for month in months}
    assert [len(rows) for rows, _ in expected.values()] == [2, 1, 1]
    assert [len(aside) for _, aside in expected.values()] == [3, 2, 3]
    folder = landing.root.parent / "divided"
    (folder / "left by a killed one").mkdir(parents=True)
    with archive_series.Divided(folder, [*months, date(2025, 7, 1)]) as archives:
        found = {months[0]: as_rows(archives.read(pull, months[0]))}
        pull.file(pull.pages[0]).unlink()  # nobody looks there again
        found |= {month: as_rows(archives.read(pull, month)) for month in months[1:]}
        assert list(archives.read(pull, date(2025, 7, 1))) == []
        assert [path.name for path in folder.iterdir()] == [pull.pull_id]
    assert found == expected
    assert not folder.exists()


def test_a_series_is_not_divided_for_one_month(server: Loopback, landing: Landing) -> None:
    pull = fetch_series(server, landing, parquet(series()))
    with archive_series.Divided(landing.root.parent / "divided", days("2025-04-01")) as archives:
        assert as_rows(archives.read(pull, date(2025, 4, 1))) == as_rows(archive.read(pull, date(2025, 4, 1)))
        assert not (landing.root.parent / "divided").exists()


@pytest.mark.parametrize(
    ("month", "today", "every", "gains"),
    [
        # Held: 2025-04-02, -09, -10 and 2025-05-07, of which -10 is not taken.
        ("2025-04", "2025-06-30", 7, False),  # it went on without the other weeks of April
        ("2025-03", "2025-06-30", 7, False),
        ("2025-05", "2025-05-07", 7, False),  # of its days after the last one none has come
        ("2025-05", "2025-05-08", 7, True),
        ("2025-05", "2025-05-30", 7, True),
        ("2025-06", "2025-05-31", 7, False),
        ("2025-06", "2025-06-01", 7, True),
        ("2025-04", "2025-06-30", 1, True),  # the day that was held and not taken
    ],
)
def test_a_series_that_has_changed_is_worth_asking_for_new_days_only(
    server: Loopback, landing: Landing, month: str, today: str, every: int, gains: bool
) -> None:
    pull = fetch_series(server, landing, parquet(series()))
    asked = days(f"{month}-01")
    assert archive_series.may_gain([pull], asked, every, date.fromisoformat(today)) == gains


def test_a_series_is_held_until_it_changes(server: Loopback, landing: Landing) -> None:
    body = parquet(series())
    pull = fetch_series(server, landing, body)
    assert [archive.holds(pull, snapshot) for snapshot in listed(server, "series")] == [True]
    grown = fetch_series(server, landing, parquet(series(likes=[1] * 6)), oid="o2")
    assert [archive.holds(pull, snapshot) for snapshot in listed(server, "series")] == [False]
    assert [archive.holds(grown, snapshot) for snapshot in listed(server, "series")] == [True]


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"time": ...}, "lacks the field 'time'"),
        ({"model": ..., "Model": ["a/1"] * 6}, "a field 'Model' where 'model'"),
        ({"downloadsAllTime": ["1"] * 6}, "column 'downloadsAllTime' of the unknown type string"),
        ({"time": [1] * 6}, "column 'time' of the unknown type int64"),
        ({"time": ["once"] * 6}, "has no row with a day"),
    ],
)
def test_a_series_of_a_shape_that_is_not_known_is_refused_by_name(
    server: Loopback, landing: Landing, more: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(BadAnswer, match=sentence):
        fetch_series(server, landing, parquet(series(**more)))
    assert landing.pulls() == []


def test_a_repository_without_the_series(server: Loopback) -> None:
    server.replies(Reply.json([{"type": "file", "path": "one_year_rolling.parquet", "size": 1}]))
    with pytest.raises(BadAnswer, match=f"has no {SERIES}"):
        listed(server, "series")


def test_the_table_of_shapes_names_what_it_knows() -> None:
    assert set(archive_files.SHAPES) == {"folders", "revisions", "series"}
    for shapes in archive_files.SHAPES.values():
        assert all(shape.seen for shape in shapes)
    assert archive_listing.SERVICES.keys() == {"hub_archive", "hub_revisions", "hub_series"}


def test_a_file_is_read_in_pieces_and_its_ids_are_kept_as_fingerprints(
    server: Loopback, landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_files, "BATCH", 3)
    ids = [f"a/{n}" for n in range(10)] + ["a/0", "a/9"]
    sink = io.BytesIO()
    pq.write_table(pa.table({"id": ids, "downloads": list(range(12)), "cardData": ["x"] * 12}), sink)
    with_revisions(server, None, body=sink.getvalue())
    pull = fetch(server, landing, "revisions", REVISION)
    found = list(archive.read(pull))
    assert [reading.frames["hf_models"].height for reading in found] == [3, 3, 3, 1]
    aside = [payload for reading in found for payload in reading.quarantine["payload"]]
    assert [json.loads(payload) for payload in aside] == [
        {"id": "a/0", "downloads": 10},
        {"id": "a/9", "downloads": 11},
    ]


@pytest.mark.parametrize(
    ("layout", "months", "models", "days_of_the_last"),
    [("folders", 1, 120_000, 1), ("series", 1, 40_000, 3), ("series", 3, 40_000, 4)],
)
def test_a_large_file_fits_in_memory(layout: str, months: int, models: int, days_of_the_last: int) -> None:
    """The whole size is the benchmark's; what grows with a file is measured in its own process."""
    given = ["--layout", layout, "--models", str(models), "--months", str(months)]
    done = subprocess.run(
        [sys.executable, "bench/archive_memory.py", *given],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["rows"]["hf_models"] == models * days_of_the_last
    assert layout == "folders" or told["months"] == months
    assert told["peak_mb"] < 500, told
