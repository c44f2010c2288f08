"""What becomes of the live Hub's rows: typed, or kept aside with a reason."""

from __future__ import annotations

import json
from datetime import date, datetime

import polars as pl
import pytest

from atom_dagster.landing import Landing, Pull
from atom_dagster.sources import BadAnswer, hub
from atom_dagster.sources.tables import Reading
from tests.unit._hub import Rows, crawl, listing, model
from tests.unit._loopback import at, serving
from tests.unit._shared import recorded


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
