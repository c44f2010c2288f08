"""The live Hub: its pages, its refusals, and what becomes of them."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
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
    hub,
)
from atom_dagster.sources.tables import Reading
from tests.unit._loopback import (
    HTML,
    NOW,
    Asked,
    Clock,
    Loopback,
    Reply,
    at,
    endpoints,
    serving,
)
from tests.unit._shared import recorded

TOKEN = "hf_0123456789abcdefghij"
Rows = Sequence[Any]


def model(name: str, **more: Any) -> dict[str, Any]:
    return {
        "_id": f"id-{name}",
        "id": name,
        "createdAt": "2025-03-01T10:00:00.000Z",
        "downloads": 10,
        "downloadsAllTime": 100,
        "gated": False,
        "lastModified": "2025-03-02T10:00:00.000Z",
        "library_name": "transformers",
        "likes": 1,
        "pipeline_tag": "text-generation",
        "safetensors": {"parameters": {"BF16": 7}, "total": 7},
        "tags": ["transformers", "license:mit"],
        **more,
    }


def listing(*pages: Rows, names: dict[str, Reply] | None = None) -> Callable[[Asked], Reply]:
    """A Hub whose list has these pages, and that knows some models by name."""

    def answer(asked: Asked) -> Reply:
        if asked.path.startswith("/api/models/"):
            missing = Reply.json({"error": "Repository not found"}, status=404)
            return (names or {}).get(asked.path.removeprefix("/api/models/"), missing)
        number = int(asked.query.get("cursor", ["0"])[0])
        headers = {}
        if number + 1 < len(pages):
            base = f"http://{asked.headers['host']}/api/models?limit=1000"
            headers["Link"] = f'<{base}&cursor={number + 1}>; rel="next"'
        return Reply.json(pages[number], headers=headers)

    return answer


@pytest.fixture
def server() -> Iterator[Loopback]:
    with serving() as loopback:
        yield loopback


@pytest.fixture
def landing(tmp_path: Path) -> Landing:
    return Landing(tmp_path / "landing")


def crawl(server: Loopback, landing: Landing, **more: Any) -> Pull:
    given = {"now": at(), "patience": Clock().patience(), **more}
    token = given.pop("token", None)
    return hub.pull(endpoints(server.url, hub_token=token), landing, **given)


def reading_of(landing: Landing, *pages: Rows) -> Reading:
    with serving(listing(*pages)) as server:
        return hub.read(crawl(server, landing))


def reasons(reading: Reading) -> list[tuple[str, str]]:
    """(reason, id) of every row set aside."""
    frame = reading.quarantine
    return [
        (reason, str(json.loads(payload).get("id")))
        for reason, payload in frame.select("reason", "payload").rows()
    ]


def test_a_crawl_follows_link_and_lands_the_pages_as_they_came(server: Loopback, landing: Landing) -> None:
    pages = [[model("a/1"), model("a/2")], [model("b/1")], []]
    server.answer = listing(*pages)
    told: list[tuple[str, int, int | None]] = []
    pull = crawl(server, landing, progress=lambda *now: told.append(now))
    first = server.asked[0]
    assert first.path == "/api/models"
    assert first.query["expand"] == list(hub.EXPAND)
    assert (first.query["limit"], first.query["sort"]) == (["1000"], ["createdAt"])
    assert first.query["direction"] == ["-1"]
    assert "childrenModelCount" not in first.query["expand"]
    assert [json.loads(pull.read(page)) for page in pull.pages] == pages
    assert [page.request for page in pull.pages][1:] == [
        "/api/models?limit=1000&cursor=1",
        "/api/models?limit=1000&cursor=2",
    ]
    assert (pull.source, pull.scope) == ("hub_live", "2026-05-23")
    assert pull.facts["rows"] == 3
    assert pull.record()["is_complete"]
    assert pull.as_of == NOW
    assert told == [("pages", 1, None), ("pages", 2, None), ("pages", 3, None)]
    assert landing.verify(pull) == []


def test_a_crawl_becomes_typed_rows(landing: Landing) -> None:
    bases = {"relation": "quantized", "models": [{"_id": "id-b", "id": "a/1"}]}
    reading = reading_of(
        landing, [model("a/1", gated="auto"), model("c/q", baseModels=bases, safetensors=None)]
    )
    (first, second) = reading.frames["hf_models"].rows(named=True)
    assert first == {
        "source": "hub_live",
        "model_id": "a/1",
        "hf_id": "id-a/1",
        "observed_on": date(2026, 5, 23),
        "folder_date": None,
        "created_at": datetime(2025, 3, 1, 10),
        "downloads_30d": 10,
        "downloads_all_time": 100,
        "likes": 1,
        "pipeline_tag": "text-generation",
        "library_name": "transformers",
        "license": "mit",
        "gated": "auto",
        "safetensors_total": 7,
        "pull_id": first["pull_id"],
    }
    assert (second["gated"], second["safetensors_total"]) == ("false", None)
    (edge,) = reading.frames["hf_derivatives"].rows(named=True)
    assert edge["pull_id"] == first["pull_id"]
    assert (edge["model_id"], edge["relation"]) == ("c/q", "quantized")
    assert (edge["base_model_id"], edge["base_hf_id"]) == ("a/1", "id-b")
    assert (edge["created_at"], edge["downloads_30d"]) == (datetime(2025, 3, 1, 10), 10)
    assert reading.frames["hf_probes"].height == reading.quarantine.height == 0


def test_bases_from_tags_where_nothing_else_says(landing: Landing) -> None:
    tags = {
        "x/both": ["base_model:b/1", "base_model:finetune:b/1", "base_model:finetune:b/1"],
        "x/bare": ["base_model:b/1", "base_model:merge:b/2", "license:mit"],
        "x/none": ["license:mit"],
        "x/odd": ["base_model:distilled:b/1"],
    }
    told = {"relation": "adapter", "models": [{"_id": "1", "id": "b/1"}, {"_id": "2", "id": "b/2"}]}
    rows = [model(name, tags=names) for name, names in tags.items()]
    rows.append(model("x/told", tags=["base_model:merge:b/9"], baseModels=told))
    rows.append(model("x/empty", tags=["base_model:merge:b/9"], baseModels={"models": []}))
    reading = reading_of(landing, rows)
    frame = reading.frames["hf_derivatives"].select("model_id", "relation", "base_model_id")
    assert sorted(frame.rows()) == [
        ("x/bare", "merge", "b/2"),
        ("x/bare", "unspecified", "b/1"),
        ("x/both", "finetune", "b/1"),
        ("x/empty", "merge", "b/9"),
        ("x/told", "adapter", "b/1"),
        ("x/told", "adapter", "b/2"),
    ]
    assert reading.quarantine["reason"].to_list() == ["unknown_relation"]
    assert reading.frames["hf_models"].height == 6


def test_rows_that_cannot_be_believed_are_kept_aside(landing: Landing) -> None:
    reading = reading_of(
        landing,
        [
            model("good/1"),
            model("bad/negative", downloads=-5),
            model("bad/all_time", downloadsAllTime=-1),
            model("bad/overflow", downloads=2**63),
            model("bad/huge", downloadsAllTime=1e30),
            model("bad/half", downloads=10.5),
            model("bad/text", downloads="many"),
            model("bad/truth", likes=True),
            model("bad/future", createdAt="2026-05-25T00:00:00.000Z"),
            model("good/tomorrow", createdAt="2026-05-24T23:59:59.000Z"),
            model("bad/date", createdAt="yesterday"),
            {**model("bad/none"), "id": None},
            model(""),
        ],
        [model("good/1", downloads=11), model("good/2", downloads=None), model("good/1")],
    )
    assert reading.frames["hf_models"]["model_id"].to_list() == [
        "good/1", "good/tomorrow", "good/2"
    ]  # fmt: skip
    assert reading.frames["hf_models"]["downloads_30d"].to_list() == [10, 10, None]
    assert reasons(reading) == [
        ("negative_count", "bad/negative"),
        ("negative_count", "bad/all_time"),
        ("overflow", "bad/overflow"),
        ("overflow", "bad/huge"),
        ("not_a_number", "bad/half"),
        ("not_a_number", "bad/text"),
        ("not_a_number", "bad/truth"),
        ("future_date", "bad/future"),
        ("not_a_date", "bad/date"),
        ("missing_id", "None"),
        ("missing_id", ""),
        ("duplicate", "good/1"),
        ("duplicate", "good/1"),
    ]
    payload = json.loads(reading.quarantine["payload"][1])
    assert payload == model("bad/all_time", downloadsAllTime=-1), "as received"
    again = json.loads(reading.quarantine["payload"][11])
    assert again["downloads"] == 11, "the first stays, the other one is kept aside"


def test_a_row_of_another_shape_costs_only_itself(landing: Landing) -> None:
    odd = model("bad/tags", tags=[{"name": "mit"}])
    rows = [model("a/1"), model("a/2"), odd, "nonsense", model("a/3", downloads=-1), model("a/4")]
    reading = reading_of(landing, rows)
    assert reading.frames["hf_models"]["model_id"].to_list() == ["a/1", "a/2", "a/4"]
    assert sorted(reading.quarantine["reason"].to_list()) == [
        "negative_count", "unknown_shape", "unknown_shape"
    ]  # fmt: skip
    assert json.dumps(odd) in reading.quarantine["payload"].to_list()
    assert json.dumps(model("a/3", downloads=-1)) in reading.quarantine["payload"].to_list()


def test_an_unusable_size_costs_only_the_size(landing: Landing) -> None:
    reading = reading_of(landing, [model("a/1", safetensors={"total": 10**30}), model("a/2")])
    assert reading.frames["hf_models"]["safetensors_total"].to_list() == [None, 7]
    assert reasons(reading) == [("unusable_size", "a/1")]


def test_a_killed_crawl_asks_only_for_what_is_left(server: Loopback, landing: Landing) -> None:
    pages = [[model(f"a/{n}")] for n in range(4)]
    server.answer = listing(*pages, names={"gone/1": Reply(status=404)})

    def killed(what: str, done: int, total: int | None) -> None:
        if (what, done) == ("pages", 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crawl(server, landing, progress=killed)
    assert landing.pulls() == []
    assert len(server.asked) == 2
    resumed = crawl(server, landing, tracked=["a/0", "a/3", "gone/1"])
    assert [asked.query.get("cursor") for asked in server.asked[2:]] == [["2"], ["3"], None]
    assert server.asked[-1].path == "/api/models/gone/1", "seen before the kill counts as seen"
    undisturbed = Landing(landing.root.parent / "other")
    assert crawl(server, undisturbed, tracked=["a/0", "a/3", "gone/1"]).pull_id == resumed.pull_id


def test_a_draft_of_another_crawl_is_not_gone_on_with(server: Loopback, landing: Landing) -> None:
    server.answer = listing([model("a/1")], [model("a/2")])

    def killed(what: str, done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crawl(server, landing, progress=killed)
    pull = crawl(server, landing, scope="organizations", organizations=["a"])
    assert pull.pages[0].request.startswith("/api/models?author=a&")
    assert len(pull.pages) == 2


def test_the_same_hub_twice_a_day_is_one_pull(server: Loopback, landing: Landing) -> None:
    server.answer = listing([model("a/1")])
    first = crawl(server, landing)
    assert crawl(server, landing, now=at(NOW + timedelta(hours=5))) == first
    server.answer = listing([model("a/1", downloads=11)])
    assert crawl(server, landing).pull_id != first.pull_id
    assert len(landing.pulls()) == 2


def test_by_organization(server: Loopback, landing: Landing) -> None:
    def answer(asked: Asked) -> Reply:
        author = asked.query.get("author", ["?"])[0]
        if author == "b" and "cursor" not in asked.query:
            link = f'<http://{asked.headers["host"]}{asked.target}&cursor=1>; rel="next"'
            return Reply.json([model("b/1")], headers={"Link": link})
        return Reply.json([] if author == "nobody" else [model(f"{author}/2")])

    server.answer = answer
    pull = crawl(server, landing, scope="organizations", organizations=["b", "a", "nobody"])
    assert [asked.query["author"] for asked in server.asked] == [["a"], ["b"], ["b"], ["nobody"]]
    assert hub.read(pull).frames["hf_models"]["model_id"].to_list() == ["a/2", "b/1", "b/2"]
    assert pull.facts["organizations"] == ["a", "b", "nobody"]
    assert not pull.record()["is_complete"]
    with pytest.raises(ValueError, match="at least one"):
        crawl(server, landing, scope="organizations")


def test_tracked_models_the_crawl_does_not_show_are_asked_for_by_name(
    server: Loopback, landing: Landing
) -> None:
    def answer(asked: Asked) -> Reply:
        if asked.path == "/api/models/old/name":
            return Reply(status=307, headers={"Location": "/api/models/new/name?" + "expand=tags"})
        return listing(
            [model("a/1"), model("new/name")],
            names={
                "new/name": Reply.json(model("new/name", downloads=99)),
                "hidden/1": Reply.json({"error": "Invalid credentials"}, status=401),
                "late/1": Reply.json(model("late/1")),
            },
        )(asked)

    server.answer = answer
    tracked = ["a/1", "old/name", "gone/1", "hidden/1", "late/1"]
    pull = crawl(server, landing, tracked=tracked)
    assert "/api/models/a/1" not in server.paths()
    assert pull.facts["probed"] == 4
    reading = hub.read(pull)
    probes = reading.frames["hf_probes"].drop("pull_id")
    today = date(2026, 5, 23)
    assert probes.rows() == [
        ("old/name", today, 200, "new/name", "id-new/name"),
        ("gone/1", today, 404, None, None),
        ("hidden/1", today, 401, None, None),
        ("late/1", today, 200, "late/1", "id-late/1"),
    ]
    models = reading.frames["hf_models"].select("model_id", "downloads_30d").rows()
    assert models == [("a/1", 10), ("new/name", 10), ("late/1", 10)]
    assert reading.quarantine.height == 0


def test_a_world_without_a_live_hub(landing: Landing) -> None:
    with pytest.raises(NotObservable, match="no live Hub"):
        hub.pull(endpoints("http://127.0.0.1:1", hub=None), landing, now=at())


def test_the_token_goes_only_where_it_belongs_and_is_never_landed(
    server: Loopback, landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_ambient_of_this_machine")
    server.answer = listing([model("a/1")], names={"b/1": Reply.json({}, status=401)})
    crawl(server, landing, tracked=["b/1"])
    assert all("authorization" not in asked.headers for asked in server.asked)
    crawl(server, landing, tracked=["b/1"], token=TOKEN)
    assert server.asked[-1].headers["authorization"] == f"Bearer {TOKEN}"
    for file in landing.root.rglob("*"):
        if file.is_file():
            body = file.read_bytes()
            text = gzip.decompress(body) if file.suffix == ".gz" else body
            assert b"hf_" not in text.replace(b"hf_hub", b"")
            assert b"uthorization" not in text


def test_an_unreachable_hub(landing: Landing) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(Unreachable, match=r"^The Hub cannot be reached"):
            hub.pull(endpoints(url), landing, now=at(), patience=Clock().patience(tries=2))


@pytest.mark.parametrize(
    ("reply", "error", "sentence"),
    [
        (Reply(status=401), Refused, "The Hub refused /api/models with status 401; set HF_TOKEN"),
        (Reply(status=403), Refused, "status 403; set HF_TOKEN"),
        (Reply(status=429), RateLimited, "quota is used up"),
        (Reply(status=429, headers={"RateLimit": '"api";r=0;t=9000'}), RateLimited, "9001 s"),
        (Reply(status=500), Unreachable, "status 500"),
        (Reply.json({"error": "✖ Invalid option"}, status=400), BadAnswer, "Invalid option"),
        (HTML, BadAnswer, "web page instead of JSON"),
        (Reply.json([model("a/1")] * 40).gzipped(lose=30), BadAnswer, "torn answer"),
        (replace(Reply.json([model("a/1")]), cut=5), BadAnswer, "torn answer"),
        (Reply(b'[{"id": "a/1"'), BadAnswer, "torn answer"),
        (Reply.json([]), BadAnswer, "no model at all"),
        (Reply.json({"models": []}), BadAnswer, "no list of models"),
        (Reply.json([1, 2]), BadAnswer, "something else than models"),
        (Reply.json([{"_id": "1", "id": "a/1"}]), BadAnswer, "lacks the field 'createdAt'"),
    ],
)
def test_answers_that_are_no_crawl(
    server: Loopback, landing: Landing, reply: Reply, error: type[SourceError], sentence: str
) -> None:
    server.replies(reply)
    with pytest.raises(error, match=sentence) as caught:
        crawl(server, landing, patience=Clock().patience(tries=2))
    assert str(caught.value).count("\n") == 0
    assert landing.pulls() == []


def test_a_valid_token_that_is_refused(server: Loopback, landing: Landing) -> None:
    server.replies(Reply(status=401))
    with pytest.raises(Refused, match="check that HF_TOKEN holds a valid key") as caught:
        crawl(server, landing, token=TOKEN)
    assert TOKEN not in str(caught.value)


def test_faults_that_pass_leave_no_trace(server: Loopback, landing: Landing) -> None:
    good = Reply.json([model("a/1")])
    clock = Clock()
    server.replies(
        Reply(status=500),
        Reply(status=429, headers={"Retry-After": "7"}),
        replace(good, cut=4),
        good.gzipped(lose=30),
        good,
    )
    pull = crawl(server, landing, patience=clock.patience(tries=5))
    assert hub.read(pull).frames["hf_models"].height == 1
    assert 7.0 in clock.slept


@pytest.mark.parametrize(("field", "other"), [("downloads", "downloads30d"), ("tags", "labels")])
def test_a_field_that_vanished_is_named(server: Loopback, landing: Landing, field: str, other: str) -> None:
    row = model("a/1")
    row[other] = row.pop(field)
    server.answer = listing([row])
    with pytest.raises(BadAnswer, match=f"lacks the field '{field}'"):
        crawl(server, landing)


def test_a_field_that_was_renamed_is_named(server: Loopback, landing: Landing) -> None:
    row = model("a/1")
    row["pipelineTag"] = row.pop("pipeline_tag")
    server.answer = listing([row])
    with pytest.raises(BadAnswer, match="'pipelineTag' where 'pipeline_tag' was expected"):
        crawl(server, landing)


@pytest.mark.parametrize("target", ["http://127.0.0.2:9/api/models?cursor=1", "https://huggingface.co/x"])
def test_a_link_never_leads_to_another_host(server: Loopback, landing: Landing, target: str) -> None:
    server.replies(Reply.json([model("a/1")], headers={"Link": f'<{target}>; rel="next"'}))
    with pytest.raises(BadAnswer, match="not the endpoint that was asked"):
        crawl(server, landing, token=TOKEN)
    assert len(server.asked) == 1


def test_a_link_that_leads_in_a_circle(server: Loopback, landing: Landing) -> None:
    link = '</api/models?cursor=1>; rel="next"'
    server.replies(Reply.json([model("a/1")], headers={"Link": link}))
    with pytest.raises(BadAnswer, match="one it already gave"):
        crawl(server, landing)
    assert len(server.asked) == 2


def landed(landing: Landing, body: bytes) -> Pull:
    with landing.open(source="hub_live", scope="s", world="w", now=at()) as draft:
        draft.add("crawl-00000.json", body, request="/api/models")
        return draft.commit()


def test_a_true_page_of_the_hub(landing: Landing) -> None:
    body = recorded("hub/api_models_page.json").read_bytes()
    reading = hub.read(landed(landing, body))
    models = reading.frames["hf_models"].select(
        "model_id", "hf_id", "created_at", "downloads_30d", "downloads_all_time", "license"
    )
    assert models.row(1) == (
        "moonshotai/Kimi-K2.6",
        "69ddc148e75532a1d02c97c7",
        datetime(2026, 4, 14, 4, 23, 36),
        291840,
        None,
        "other",
    )
    assert models.height == 3
    assert reading.quarantine.height == 0


def test_pages_whose_keys_a_recorder_renamed_are_refused(landing: Landing) -> None:
    body = recorded("hub/models_1000_renamed_keys.json").read_bytes()
    with pytest.raises(BadAnswer, match="no list of models"):
        hub.read(landed(landing, body))
    rows = json.dumps(json.loads(body)["models"]).encode()
    with pytest.raises(BadAnswer, match="'pipelineTag' where 'pipeline_tag' was expected"):
        hub.read(landed(landing, rows))


def test_reading_is_the_same_every_time(landing: Landing) -> None:
    pages = [[model(f"a/{n}", tags=[f"base_model:merge:b/{n}"]) for n in range(50)], [model("c/1")]]
    with serving(listing(*pages)) as server:
        pull = crawl(server, landing)
    first, second = hub.read(pull), hub.read(pull)
    for name in first.frames:
        assert first.frames[name].equals(second.frames[name])
    assert isinstance(first.frames["hf_models"], pl.DataFrame)
