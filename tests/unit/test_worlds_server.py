"""The loopback server speaks the real wire formats, and misbehaves when told to."""

import csv
import gzip
import hashlib
import io
import json
import time
from contextlib import contextmanager
from datetime import UTC, datetime

import httpx
import polars as pl
import pytest

from atom_dagster.settings import SettingsError
from atom_dagster.worlds import has_live_hub, open_world
from tests.unit._worlds import NOW, settings

LIST = "/api/models?limit=1000&sort=createdAt&direction=-1"
FIELDS = "".join(f"&expand={f}" for f in ("createdAt", "downloads", "downloadsAllTime", "tags"))


@pytest.fixture(scope="module")
def world():
    with open_world(settings()) as endpoints, httpx.Client(trust_env=False) as client:
        yield endpoints, client


@contextmanager
def faulty(tmp_path, *rules):
    file = tmp_path / "faults.json"
    file.write_text(json.dumps(rules))
    with (
        open_world(settings(faults=file)) as endpoints,
        httpx.Client(trust_env=False) as client,
    ):
        yield endpoints, client


def test_it_starts_in_under_a_second_once_generated(world):
    began = time.monotonic()
    with open_world(settings()) as endpoints:
        assert httpx.get(endpoints.registry + "/models.csv", trust_env=False).status_code == 200
    assert time.monotonic() - began < 1


def test_list_is_paged_by_link_and_whole(world):
    endpoints, client = world
    answer = client.get(endpoints.hub + LIST + FIELDS)
    pages = [answer.json()]
    while "next" in answer.links:
        answer = client.get(answer.links["next"]["url"])
        pages.append(answer.json())
    ids = [model["id"] for page in pages for model in page]
    assert all(len(page) == 1000 for page in pages[:-1]) and 5_000 < len(ids) < 8_500
    assert len(set(ids)) == len(ids)
    created = [m["createdAt"] for page in pages for m in page if "createdAt" in m]
    assert created == sorted(created, reverse=True)
    assert created[-1] == "2022-03-02T23:29:04.000Z"
    assert len(ids) - len(created) == 1  # the model without createdAt


def test_expand_is_restrictive_and_refuses_what_the_list_does_not_have(world):
    endpoints, client = world
    model = client.get(endpoints.hub + "/api/models?limit=1&expand[]=downloads").json()[0]
    assert set(model) == {"_id", "id", "downloads"}
    for field in ("childrenModelCount", "usedStorage", "nonsense"):
        answer = client.get(endpoints.hub + f"/api/models?expand={field}")
        assert answer.status_code == 400
        assert answer.json()["error"].startswith("✖ Invalid option: expected one of ")
    one = client.get(endpoints.hub + "/api/models/Qwen/Qwen3-8B?expand=childrenModelCount")
    assert set(one.json()["childrenModelCount"]) <= {"adapter", "finetune", "merge", "quantized"}
    refused = client.get(endpoints.hub + "/api/models/Qwen/Qwen3-8B?expand=xetEnabled")
    assert refused.status_code == 400 and "usedStorage" in refused.json()["error"]
    default = client.get(endpoints.hub + "/api/models?limit=5000").json()
    assert len(default) == 1000
    assert {"modelId", "likes", "private", "createdAt"} <= set(default[0])
    assert "downloadsAllTime" not in default[0]


def test_list_filters(world):
    endpoints, client = world

    def ids(query):
        return [model["id"] for model in client.get(f"{endpoints.hub}/api/models?{query}").json()]

    assert set(ids("author=openai&filter=text-generation")) >= {"openai/gpt-oss-20b"}
    assert all(i.startswith("openai/") for i in ids("author=openai"))
    children = ids("filter=base_model:quantized:Qwen/Qwen3-8B")
    assert "Qwen/Qwen3-8B-AWQ" in children or children
    assert all("Qwen" in i.split("/")[1] for i in ids("search=Qwen3-8B"))
    assert client.get(f"{endpoints.hub}/api/models?sort=nonsense").status_code == 400
    assert client.get(f"{endpoints.hub}/api/models?cursor=nonsense").status_code == 400


def test_one_model_is_found_moved_private_or_gone(world):
    endpoints, client = world

    def get(model_id):
        return client.get(f"{endpoints.hub}/api/models/{model_id}")

    assert get("Qwen/Qwen3-8B").json()["id"] == "Qwen/Qwen3-8B"
    moved = get("THUDM/chatglm3-6b")
    assert moved.status_code == 307
    followed = client.get(moved.headers["location"]).json()
    assert followed["id"] == "zai-org/chatglm3-6b"
    assert get("microsoft/WizardLM-2-8x22B").status_code == 404
    assert get("nvidia/AceInstruct-72B").status_code == 401
    assert get("nobody/nothing").status_code == 404
    assert get("Qwen/Qwen3.8-27B").status_code == 404  # not released on this day


def test_before_the_rename_the_old_name_stands():
    past = settings(now=datetime(2025, 7, 1, tzinfo=UTC))
    with open_world(past) as endpoints, httpx.Client(trust_env=False) as client:
        assert client.get(endpoints.hub + "/api/models/THUDM/chatglm3-6b").status_code == 200
        assert client.get(endpoints.hub + "/api/models/zai-org/chatglm3-6b").status_code == 404


def test_headers_of_time_quota_and_compression(world):
    endpoints, client = world
    answer = client.get(endpoints.hub + LIST)
    assert answer.headers["date"] == "Wed, 20 May 2026 12:00:00 GMT"
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["ratelimit"].startswith('"api";r=')
    assert answer.headers["ratelimit-policy"].startswith('"fixed window";"api";q=')
    plain = client.get(endpoints.hub + LIST, headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.json() == answer.json()


def test_archive_listing_names_files_with_their_sizes(world):
    endpoints, client = world
    tree = f"{endpoints.archives[0].url}/api/datasets/{endpoints.archives[0].repo}/tree/main/models"
    top = client.get(f"{tree}?limit=100")
    entries = top.json() + client.get(top.links["next"]["url"]).json()
    assert {entry["type"] for entry in entries} == {"directory"}
    assert entries[0]["path"] == "models/2023-11-01"
    assert entries[-1]["path"] == "models/2026-05-20"
    file = client.get(f"{tree}/2026-04-01").json()[0]
    resolve = f"{endpoints.archives[0].url}/datasets/{endpoints.archives[0].repo}/resolve/main/"
    whole = client.get(resolve + file["path"])
    assert len(whole.content) == file["size"]
    assert pl.read_parquet(io.BytesIO(whole.content)).height > 4_000
    rest = client.get(resolve + file["path"], headers={"range": "bytes=1000-"})
    assert rest.status_code == 206 and rest.headers["etag"] == whole.headers["etag"]
    assert rest.content == whole.content[1000:]
    assert client.get(resolve + "models/2026-05-27/models.parquet").status_code == 404
    assert client.get(f"{tree}/2024-09-04").status_code == 404


def test_archive_and_live_say_the_same_of_one_day(world):
    endpoints, client = world
    path = "models/2026-05-20/models.parquet"
    url = f"{endpoints.archives[0].url}/datasets/{endpoints.archives[0].repo}/resolve/main/{path}"
    kept = pl.read_parquet(io.BytesIO(client.get(url).content))
    live = client.get(f"{endpoints.hub}/api/models?author=Qwen{FIELDS}").json()
    both = pl.DataFrame(live).join(kept, on="_id")
    assert both.height == len(live)
    assert (both["downloadsAllTime"] == both["downloadsAllTime_right"]).all()


def rankings(world, query, key=None):
    endpoints, client = world
    path = "/api/v1/datasets/rankings-daily?" + query
    headers = {"authorization": f"Bearer {key or endpoints.openrouter_key}"}
    return client.get(endpoints.openrouter + path, headers=headers)


def test_rankings_take_a_key_and_at_most_366_days(world):
    year = rankings(world, "start_date=2025-01-01&end_date=2025-12-31").json()
    assert len(year["data"]) == 363 * 51
    assert isinstance(year["data"][0]["total_tokens"], str)
    assert year["meta"]["as_of"] == "2026-05-20T00:10:00.000Z"
    assert {row["date"] for row in year["data"]}.isdisjoint({"2025-06-15", "2025-07-15"})
    assert rankings(world, "start_date=2025-01-01", key="wrong").status_code == 401
    assert rankings(world, "start_date=2025-01-01&end_date=2026-01-02").status_code == 400
    assert rankings(world, "start_date=2024-01-01&end_date=2024-12-31").status_code == 400
    clamped = rankings(world, "start_date=2024-12-01&end_date=2025-01-31").json()
    assert clamped["meta"]["start_date"] == clamped["data"][0]["date"] == "2025-01-01"
    late = rankings(world, "start_date=2026-05-01&end_date=2026-06-01").json()
    assert late["data"][-1]["date"] == late["meta"]["end_date"] == "2026-05-19"


def test_a_past_day_does_not_depend_on_today(world):
    query = "start_date=2025-03-01&end_date=2025-03-31"
    later = settings(now=datetime(2027, 2, 1, tzinfo=UTC))
    with open_world(later) as endpoints, httpx.Client(trust_env=False) as client:
        assert rankings((endpoints, client), query).json()["data"] == rankings(world, query).json()["data"]


def test_the_keyless_export_is_named_by_its_manifest(world):
    endpoints, client = world
    base = endpoints.openrouter + "/api/v1/datasets/exports/rankings-daily/"
    told = client.get(base + "latest.manifest.json").json()
    file = told["files"]["csv"]
    table = client.get(file["url"]).content
    assert hashlib.sha256(table).hexdigest() == file["sha256"]
    found = list(csv.DictReader(io.StringIO(table.decode())))
    assert len(found) == told["row_count"] == 30 * 51
    assert sum(float(r["share_of_daily_tokens"]) for r in found[:51]) == pytest.approx(1, abs=1e-3)


def test_registry_is_in_the_authors_layout(world):
    endpoints, client = world

    def lines(name):
        return client.get(f"{endpoints.registry}/{name}").text.splitlines()

    models = lines("models.csv")
    assert models[0] == "org,model,modelId"
    assert "zai-org,chatglm3-6b,zai-org/chatglm3-6b" in models
    assert "THUDM,chatglm3-6b,THUDM/chatglm3-6b" in models
    assert not any("Qwen3.8" in line for line in models)
    assert len(lines("extra_models.csv")) > 100
    assert "EleutherAI,unknown,Distributed collective without one base." in lines(
        "metadata/organization_regions.csv"
    )
    assert "deepseek-ai/DeepSeek-V3,671,37,true," in lines("metadata/model_parameters.csv")
    corrections = lines("metadata/release_date_corrections.csv")
    assert all(line.startswith("#") for line in corrections[:3])
    assert corrections[3] == "model_id,hf_created_at,actual_release_date,notes"
    assert any(line.startswith("moonshotai/Kimi-K2.5,2026-01-01,2026-01-27,") for line in corrections)


def test_faults_count_and_wear_off(tmp_path):
    rule = {"path": "^/hub/api/models", "after": 1, "times": 2, "status": 500}
    with faulty(tmp_path, rule, {"path": "registry", "retry_after": 7, "status": 429}) as (e, c):
        statuses = [c.get(e.hub + "/api/models?limit=1").status_code for _ in range(4)]
        assert statuses == [200, 500, 500, 200]
        answer = c.get(e.registry + "/models.csv")
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
        (tmp_path / "faults.json").write_text("[]")  # read again for each request
        assert c.get(e.registry + "/models.csv").status_code == 200


def test_faults_of_the_wire(tmp_path):
    rules = [
        {"path": "models.csv", "body": "html"},
        {"path": "catalogue|v1/models", "truncate": True},
        {"path": "extra_models", "drop": True},
        {"path": "regions", "torn": True},
        {"path": "parameters", "replace": {"model_id": "modelId"}},
        {"path": "corrections", "delay_s": 0.3},
    ]
    with faulty(tmp_path, *rules) as (e, c):
        assert c.get(e.registry + "/models.csv").text.startswith("<!DOCTYPE html>")
        with pytest.raises((httpx.DecodingError, json.JSONDecodeError, gzip.BadGzipFile)):
            c.get(e.catalogues[0]).json()
        with pytest.raises(httpx.RemoteProtocolError):
            c.get(e.registry + "/extra_models.csv")
        with pytest.raises(httpx.RemoteProtocolError):
            c.get(e.registry + "/metadata/organization_regions.csv")
        assert c.get(e.registry + "/metadata/model_parameters.csv").text.startswith("modelId,")
        began = time.monotonic()
        c.get(e.registry + "/metadata/release_date_corrections.csv")
        assert time.monotonic() - began >= 0.3


def test_a_small_quota_is_overrun(tmp_path):
    with faulty(tmp_path, {"path": "api/models", "quota": 3, "window": 300}) as (e, c):
        answers = [c.get(e.hub + "/api/models?limit=1") for _ in range(4)]
        assert [a.status_code for a in answers] == [200, 200, 200, 429]
        assert [a.headers["ratelimit"].split(";")[1] for a in answers] == [
            "r=2",
            "r=1",
            "r=0",
            "r=0",
        ]
        assert "q=3;w=300" in answers[0].headers["ratelimit-policy"]


WAYS = {
    "counters": lambda f: (f["downloadsAllTime"] < f["downloads"]).any(),
    "no_rows": lambda f: f.is_empty(),
    "half_rows": lambda f: 2_000 < f.height < 3_500,
    "duplicates": lambda f: f["id"].is_duplicated().sum() == 2,
    "negative": lambda f: f["downloadsAllTime"][0] == -1,
    "overflow": lambda f: f["downloadsAllTime"][0] == 2**63,
    "future": lambda f: f["createdAt"][0].year > 2030,
    "no_ids": lambda f: f["id"][0] is None,
    "rename:downloads=downloads_30d": lambda f: "downloads_30d" in f.columns,
    "drop:tags": lambda f: "tags" not in f.columns,
}


def test_an_archive_folder_can_be_spoilt(tmp_path):
    for way, is_spoilt in WAYS.items():
        with faulty(tmp_path, {"path": "2026-01-07", "corrupt": [way]}) as (e, c):
            url = f"{e.archives[0].url}/datasets/{e.archives[0].repo}/resolve/main/models/"
            bad = pl.read_parquet(io.BytesIO(c.get(url + "2026-01-07/models.parquet").content))
            good = pl.read_parquet(io.BytesIO(c.get(url + "2026-01-14/models.parquet").content))
            assert is_spoilt(bad), way
            assert good.height > 4_000 and not is_spoilt(good), way


def test_rows_of_json_answers_can_be_spoilt(tmp_path):
    ways = {"negative": "-1", "not_a_number": "many", "overflow": str(2**63)}
    for way, count in ways.items():
        with faulty(tmp_path, {"path": "rankings-daily", "corrupt": [way]}) as (e, c):
            rows = rankings((e, c), "start_date=2025-03-01&end_date=2025-03-02").json()["data"]
            assert rows[0]["total_tokens"] == count and rows[1]["total_tokens"].isdigit()
    with faulty(tmp_path, {"path": "api/models", "corrupt": ["no_rows"]}) as (e, c):
        assert c.get(e.hub + LIST).json() == []


def test_a_fault_file_must_be_a_list(tmp_path):
    file = tmp_path / "faults.json"
    file.write_text("{}")
    with (
        pytest.raises(SettingsError, match="no list of objects"),
        open_world(settings(faults=file)),
    ):
        pass


def test_live_world_sends_each_credential_home_only():
    from dataclasses import replace

    base = settings()
    with open_world(replace(base, world="live", hf_token="hf_x", openrouter_key="sk")) as endpoints:
        assert endpoints.hub == "https://huggingface.co" and has_live_hub(replace(base, world="live"))
        assert (endpoints.hub_token, endpoints.openrouter_key) == ("hf_x", "sk")
        assert not endpoints.is_synthetic
    with open_world(replace(base, hf_token="hf_x", openrouter_key="sk")) as endpoints:
        assert endpoints.is_synthetic and endpoints.hub_token is None
        assert endpoints.hub and has_live_hub(base)
        assert endpoints.openrouter_key != "sk"
    assert NOW.tzinfo is UTC
