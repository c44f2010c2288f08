"""OpenRouter: the rankings with and without a key, and the catalogue."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from atom_dagster.landing import Landing, Pull
from atom_dagster.sources import (
    BadAnswer,
    NotObservable,
    RateLimited,
    Refused,
    SourceError,
    Unreachable,
    openrouter,
)
from atom_dagster.sources.tables import Reading
from tests.unit._loopback import HTML, NOW, Asked, Clock, Loopback, Reply, at, endpoints, serving
from tests.unit._shared import recorded

KEY = "sk-or-v1-0123456789abcdef"
START, END = date(2026, 5, 1), date(2026, 5, 3)
Row = dict[str, Any]


def row(day: date | str, slug: str = "a/x", tokens: Any = "5") -> Row:
    return {"date": str(day), "model_permaslug": slug, "total_tokens": tokens}


def rows_of(first: date, last: date) -> list[Row]:
    every = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    return [row(day, slug) for day in every for slug in ("a/x", "other")]


def envelope(rows: Sequence[Any], as_of: str = "2026-05-23T09:00:00.123Z") -> Reply:
    return Reply.json({"data": list(rows), "meta": {"as_of": as_of, "version": "v1"}})


def rankings(asked: Asked) -> Reply:
    """The official endpoint, its rules included."""
    if asked.headers.get("authorization") != f"Bearer {KEY}":
        return Reply.json({"error": {"message": "No auth"}}, status=401)
    first, last = (date.fromisoformat(asked.query[f"{n}_date"][0]) for n in ("start", "end"))
    if (last - first).days + 1 > 366 or last < openrouter.FIRST_DAY:
        return Reply.json({"error": {"message": "Invalid span"}}, status=400)
    return envelope(rows_of(first, last))


@pytest.fixture
def server() -> Iterator[Loopback]:
    with serving(rankings) as loopback:
        yield loopback


def fetch(server: Loopback, landing: Landing, **more: Any) -> list[Pull]:
    given = {"start": START, "end": END, "now": at(), "patience": Clock().patience(), **more}
    key = given.pop("key", KEY)
    world = endpoints(server.url, openrouter_key=key)
    return openrouter.pull_rankings(world, landing, **given)


def reading_of(server: Loopback, landing: Landing, rows: Sequence[Any]) -> Reading:
    server.replies(envelope(rows))
    return openrouter.read_rankings(fetch(server, landing)[0])


def test_a_span_is_asked_for_by_calendar_year_up_to_yesterday(server: Loopback, landing: Landing) -> None:
    told: list[tuple[str, int, int | None]] = []
    pulls = fetch(
        server,
        landing,
        start=date(2024, 6, 1),
        end=date(2027, 1, 1),
        progress=lambda *now: told.append(now),
    )
    spans = [(a.query["start_date"][0], a.query["end_date"][0]) for a in server.asked]
    assert spans == [("2025-01-01", "2025-12-31"), ("2026-01-01", "2026-05-22")]
    assert [openrouter.days(pull) for pull in pulls] == [
        (date(2025, 1, 1), date(2025, 12, 31)),
        (date(2026, 1, 1), date(2026, 5, 22)),
    ]
    assert pulls[0].as_of == datetime(2026, 5, 23, 9, 0, 0, 123000, tzinfo=UTC)
    assert [pull.scope for pull in pulls] == ["2025-01-01_2025-12-31", "2026-01-01_2026-05-22"]
    assert told == [("calls", 1, 2), ("calls", 2, 2)]


def test_a_leap_year_is_one_call(server: Loopback, landing: Landing) -> None:
    fetch(server, landing, start=date(2028, 1, 1), end=date(2028, 12, 31),
          now=at(datetime(2029, 1, 5, tzinfo=UTC)))  # fmt: skip
    assert len(server.asked) == 1


def test_tokens_come_as_text_and_are_read_as_numbers(server: Loopback, landing: Landing) -> None:
    reading = reading_of(
        server, landing, [row(START, "a/x:free", "9007199254740993"), row(START, "other", "0")]
    )
    tokens = reading.frames["openrouter_tokens"]
    assert tokens.row(0, named=True) == {
        "source": "openrouter_rankings",
        "day": START,
        "model_permaslug": "a/x:free",
        "total_tokens": 9007199254740993,
        "as_of": datetime(2026, 5, 23, 9, 0, 0, 123000),
        "pull_id": tokens["pull_id"][0],
    }
    assert tokens["total_tokens"].to_list() == [9007199254740993, 0]
    assert reading.quarantine.height == 0


def test_rows_that_cannot_be_believed_are_kept_aside(server: Loopback, landing: Landing) -> None:
    reading = reading_of(
        server,
        landing,
        [
            row(START, "good/1", "5"),
            row(START, "bad/negative", "-5"),
            row(START, "bad/overflow", "99999999999999999999"),
            row(START, "bad/text", "many"),
            row(START, "bad/half", "5.5"),
            row(START, "bad/none", None),
            row(START, "good/1", "6"),
            row(START, "", "6"),
            row("2026-05-25", "bad/future"),
            row("2026-05-23", "bad/today"),
            row("May 1", "bad/date"),
        ],
    )
    assert reading.frames["openrouter_tokens"]["model_permaslug"].to_list() == ["good/1"]
    assert reading.frames["openrouter_tokens"]["total_tokens"].to_list() == [5]
    aside = [
        (reason, json.loads(payload)["model_permaslug"])
        for reason, payload in reading.quarantine.select("reason", "payload").rows()
    ]
    assert aside == [
        ("negative_count", "bad/negative"),
        ("overflow", "bad/overflow"),
        ("not_a_number", "bad/text"),
        ("not_a_number", "bad/half"),
        ("not_a_number", "bad/none"),
        ("missing_id", ""),
        ("future_date", "bad/future"),
        ("incomplete_day", "bad/today"),
        ("not_a_date", "bad/date"),
        ("duplicate", "good/1"),
    ]


def test_a_row_of_another_shape_costs_only_itself(server: Loopback, landing: Landing) -> None:
    odd = row(START, "bad/list", [5])
    reading = reading_of(server, landing, [row(START, "good/1"), odd, "text", row(END, "good/2")])
    assert reading.frames["openrouter_tokens"]["model_permaslug"].to_list() == ["good/1", "good/2"]
    assert reading.quarantine["reason"].to_list() == ["not_a_number", "missing_id"]


def test_a_day_missing_at_the_source_is_noted_and_no_fault(server: Loopback, landing: Landing) -> None:
    server.replies(envelope([row(START), row(END)]))
    (pull,) = fetch(server, landing)
    assert pull.facts["missing_days"] == ["2026-05-02"]
    assert openrouter.days(pull) == (START, END)


def test_the_same_answer_is_the_same_pull_and_a_restated_one_is_new(
    server: Loopback, landing: Landing
) -> None:
    (first,) = fetch(server, landing)
    assert fetch(server, landing, now=at(NOW + timedelta(hours=1))) == [first]
    server.replies(envelope([row(START, tokens="6"), row(END)]))
    (second,) = fetch(server, landing)
    assert second.pull_id != first.pull_id
    assert len(landing.pulls("openrouter_rankings")) == 2


def test_a_span_before_the_series_or_after_yesterday(server: Loopback, landing: Landing) -> None:
    for start, end in ((date(2024, 1, 1), date(2024, 12, 31)), (date(2026, 5, 23), END)):
        with pytest.raises(NotObservable, match="no completed day there"):
            fetch(server, landing, start=start, end=end)
    assert server.asked == []


def test_a_year_the_service_cannot_show_costs_only_that_year(server: Loopback, landing: Landing) -> None:
    def answer(asked: Asked) -> Reply:
        if asked.query["start_date"][0].startswith("2026"):
            return Reply.json({"error": {"message": "Not recorded"}}, status=404)
        return rankings(asked)

    server.answer = answer
    (pull,) = fetch(server, landing, start=date(2025, 6, 1))
    assert openrouter.days(pull)[1] == date(2025, 12, 31)
    with pytest.raises(NotObservable, match=r"cannot show 2026-05-01 to 2026-05-03.*Not recorded"):
        fetch(server, landing)


@pytest.mark.parametrize(
    ("reply", "error", "sentence"),
    [
        (Reply(status=401), Refused, "check that OPENROUTER_API_KEY holds a valid key"),
        (Reply(status=403), Refused, "OPENROUTER_API_KEY"),
        (Reply(status=429), RateLimited, "quota is used up"),
        (Reply(status=500), Unreachable, "status 500"),
        (HTML, BadAnswer, "web page instead of JSON"),
        (Reply(b'{"data": ['), BadAnswer, "not whole JSON"),
        (envelope([row(START)] * 50).gzipped(lose=12), BadAnswer, "torn answer"),
        (replace(envelope([row(START)]), cut=9), BadAnswer, "torn answer"),
        (envelope([]), BadAnswer, "an empty list; nothing was recorded"),
        (Reply.json([row(START)]), BadAnswer, "without a list named 'data'"),
        (Reply.json({"rows": []}), BadAnswer, "without a list named 'data'"),
        (envelope([{"date": "2026-05-01", "model": "a"}]), BadAnswer, "'model_permaslug'"),
        (envelope([row("yesterday")]), BadAnswer, "no row for 2026-05-01 to 2026-05-03"),
    ],
)
def test_answers_that_are_no_rankings(
    server: Loopback, landing: Landing, reply: Reply, error: type[SourceError], sentence: str
) -> None:
    server.replies(reply)
    with pytest.raises(error, match=sentence) as caught:
        fetch(server, landing, patience=Clock().patience(tries=2))
    assert KEY not in str(caught.value)
    assert landing.pulls() == []


def test_a_field_that_vanished_is_refused_when_read_too(landing: Landing) -> None:
    with landing.open(source="openrouter_rankings", scope="s", world="w", now=at()) as draft:
        body = json.dumps({"data": [{"date": "2026-05-01", "model_permaslug": "a", "tokens": "1"}]})
        draft.add("rankings-daily.json", body.encode(), request="/x")
        pull = draft.commit()
    with pytest.raises(BadAnswer, match="lack the field 'total_tokens'"):
        openrouter.read_rankings(pull)


def test_the_key_goes_only_to_the_rankings_and_is_never_landed(server: Loopback, landing: Landing) -> None:
    (pull,) = fetch(server, landing)
    assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"
    for file in landing.root.rglob("*"):
        if file.is_file():
            assert KEY.encode() not in file.read_bytes()
    assert KEY.encode() not in pull.read(pull.pages[0])


def export(body: bytes, entry: dict[str, Any] | None = None, **more: Any) -> Callable[[Asked], Reply]:
    """The keyless export, as others recorded it."""

    def answer(asked: Asked) -> Reply:
        base = f"http://{asked.headers['host']}"
        dated = "/api/v1/datasets/exports/rankings-daily/2026-05-23.csv"
        if asked.path == openrouter.EXPORT:
            digest = hashlib.sha256(body).hexdigest()
            csv = {"url": base + dated, "bytes": len(body), "sha256": digest, **(entry or {})}
            latest = {"csv": {"url": base + "/api/v1/datasets/exports/rankings-daily/latest.csv"}}
            given = {
                "snapshot_date": "2026-05-23",
                "retrieved_at": "2026-05-23T01:46:00Z",
                "files": {"json": {"url": base + "/x.json"}, "csv": csv},
                "latest": latest,
                **more,
            }
            return Reply.json(given)
        return Reply(body) if asked.path == dated else Reply(status=404)

    return answer


CSV = (
    b"date,model_permaslug,rank,total_tokens,share_of_daily_tokens\r\n"
    b"2026-05-01,a/x-20260401:free,1,60,0.6\r\n2026-05-01,other,,40,0.4\r\n"
    b"2026-05-23,a/x-20260401,1,1,1\r\n"
)


def test_without_a_key_the_public_export_is_read(server: Loopback, landing: Landing) -> None:
    server.answer = export(CSV)
    (pull,) = fetch(server, landing, key=None)
    assert [asked.path.rpartition("/")[2] for asked in server.asked] == [
        "latest.manifest.json",
        "2026-05-23.csv",
    ]
    assert all("authorization" not in asked.headers for asked in server.asked)
    assert pull.source == "openrouter_export"
    assert pull.as_of == datetime(2026, 5, 23, 1, 46, tzinfo=UTC)
    reading = openrouter.read_rankings(pull)
    assert reading.frames["openrouter_tokens"].select("source", "day", "total_tokens").rows() == [
        ("openrouter_export", START, 60),
        ("openrouter_export", START, 40),
    ]
    assert reading.quarantine["reason"].to_list() == ["incomplete_day"]


@pytest.mark.parametrize(
    "manifest",
    [
        {"files": None, "latest": None, "file": "2026-05-23.csv"},
        {"files": [{"href": "/api/v1/datasets/exports/rankings-daily/2026-05-23.csv"}]},
    ],
)
def test_the_manifest_is_read_tolerantly(
    server: Loopback, landing: Landing, manifest: dict[str, Any]
) -> None:
    server.answer = export(CSV, **manifest)
    assert fetch(server, landing, key=None)[0].facts["first"] == "2026-05-01"


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (export(CSV, {"sha256": "0" * 64}), "not the one its manifest names"),
        (export(CSV, {"url": "https://example.org/x.csv"}), "a file at https://example.org"),
        (export(CSV, files={}, latest={}), "names no CSV file"),
        (export(HTML.body), "web page instead of its CSV"),
        (export(CSV.replace(b"total_tokens", b"tokens")), "has the columns"),
        (export(CSV[:60]), "has the columns|no row"),
        (lambda asked: HTML, "web page instead of JSON"),
    ],
)
def test_exports_that_are_none(
    server: Loopback, landing: Landing, answer: Callable[[Asked], Reply], sentence: str
) -> None:
    server.answer = answer
    with pytest.raises(BadAnswer, match=sentence):
        fetch(server, landing, key=None)
    assert landing.pulls() == []


def test_an_export_that_does_not_reach_the_span(server: Loopback, landing: Landing) -> None:
    server.answer = export(CSV)
    with pytest.raises(NotObservable, match="shows 2026-05-01 to 2026-05-23 only; set OPENROUTER"):
        fetch(server, landing, key=None, start=date(2025, 1, 1), end=date(2025, 2, 1))


@pytest.mark.parametrize("name", ["daily_tokens_really_7_day_sums.csv", "market_share_with_empty_days.csv"])
def test_tables_of_other_shapes_are_refused(server: Loopback, landing: Landing, name: str) -> None:
    server.answer = export(recorded(f"defective/{name}").read_bytes())
    with pytest.raises(BadAnswer, match="has the columns"):
        fetch(server, landing, key=None)


def test_the_recorded_year(server: Loopback, landing: Landing) -> None:
    server.replies(Reply(recorded("openrouter/rankings-daily_2025.json").read_bytes()))
    (pull,) = fetch(server, landing, start=date(2025, 1, 1), end=date(2025, 12, 31),
                    now=at(datetime(2026, 8, 23, tzinfo=UTC)))  # fmt: skip
    assert pull.facts["missing_days"] == ["2025-06-15", "2025-07-15"]
    assert pull.as_of == datetime(2026, 8, 22, 7, 10, 16, 952000, tzinfo=UTC)
    reading = openrouter.read_rankings(pull)
    tokens = reading.frames["openrouter_tokens"]
    assert tokens.height == 18_513
    assert reading.quarantine.height == 0
    months = dict(tokens.group_by(pl.col("day").dt.month()).agg(pl.col("total_tokens").sum()).rows())
    assert months[1] == 2_230_133_956_091
    assert months[6] == 9_411_636_910_043
    assert months[12] == 26_014_738_422_454


def entry(name: str, **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "canonical_slug": f"{name}-20260101",
        "hugging_face_id": f"Lab/{name}",
        "name": name.title(),
        "created": 1_767_225_600,
        "pricing": {"prompt": "0.1"},
        **more,
    }


def catalogue(server: Loopback, landing: Landing, reply: Reply, **more: Any) -> list[Pull]:
    server.replies(reply)
    world = endpoints(server.url, openrouter_key=KEY, **more)
    return openrouter.pull_catalogues(world, landing, now=at(), patience=Clock().patience(tries=2))


def test_a_catalogue_is_read(server: Loopback, landing: Landing) -> None:
    entries = [
        entry("a"),
        entry("b", hugging_face_id=""),
        entry("c", hugging_face_id=None),
        entry("d", created=-1),
        entry("a", created=1),
        entry(""),
        entry("e", created=int(datetime(2026, 6, 1, tzinfo=UTC).timestamp())),
        entry("f", canonical_slug=None),
    ]
    for reply in (Reply.json({"data": entries}), Reply.json(
        {"data": entries, "total_count": 8, "links": {"next": None}}
    )):  # fmt: skip
        (pull,) = catalogue(server, landing, reply)
        assert "authorization" not in server.asked[-1].headers
        reading = openrouter.read_catalogue(pull)
        models = reading.frames["openrouter_models"]
        assert models.row(0) == (
            "a", "a-20260101", "Lab/a", "A", datetime(2026, 1, 1), datetime(2026, 5, 23, 9, 30),
            pull.pull_id,
        )  # fmt: skip
        assert models.select("model_id", "hugging_face_id").rows()[1:] == [
            ("b", None), ("c", None), ("f", "Lab/f")
        ]  # fmt: skip
        assert reading.quarantine["reason"].to_list() == [
            "negative_count", "missing_id", "future_date", "duplicate"
        ]  # fmt: skip
    assert len(landing.pulls("openrouter_models")) == 2


@pytest.mark.parametrize(
    ("reply", "error", "sentence"),
    [
        (Reply.json({"data": []}), BadAnswer, "empty list"),
        (Reply.json({"data": [{"id": "a", "slug": "a"}]}), BadAnswer, "'canonical_slug'"),
        (HTML, BadAnswer, "web page"),
        (Reply(status=403), Refused, "no credentials"),
        (Reply(status=500), Unreachable, "status 500"),
    ],
)
def test_answers_that_are_no_catalogue(
    server: Loopback, landing: Landing, reply: Reply, error: type[SourceError], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        catalogue(server, landing, reply)
    assert landing.pulls() == []


@pytest.mark.parametrize(
    ("name", "rows", "open_weights"),
    [("models_2025-12-17.json", 342, 191), ("models_2026-08-16.json", 413, 165)],
)
def test_both_generations_of_the_recorded_catalogue(
    server: Loopback, landing: Landing, name: str, rows: int, open_weights: int
) -> None:
    body = recorded(f"openrouter/{name}").read_bytes()
    sent = {"Date": "Sun, 16 Aug 2026 12:00:00 GMT"}
    (pull,) = catalogue(server, landing, Reply(body, headers=sent))
    reading = openrouter.read_catalogue(pull)
    models = reading.frames["openrouter_models"]
    assert models.height == rows
    assert models["hugging_face_id"].drop_nulls().len() == open_weights
    assert models["canonical_slug"].null_count() == reading.quarantine.height == 0
    assert pull.as_of == datetime(2026, 8, 16, 12, tzinfo=UTC)
