"""Crawling the live Hub: its pages, its refusals, and what lands."""

from __future__ import annotations

import gzip
import json
import socket
from dataclasses import replace
from datetime import date, timedelta

import pytest

from atom_dagster.landing import Landing
from atom_dagster.sources import BadAnswer, NotObservable, RateLimited, Refused, SourceError, Unreachable, hub
from tests.unit._hub import crawl, listing, model
from tests.unit._loopback import HTML, NOW, Asked, Clock, Loopback, Reply, at, endpoints

TOKEN = "hf_0123456789abcdefghij"


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
