"""The recorded world serves what was kept, as it was, dated as it was."""

import io
import json

import httpx
import polars as pl
import pytest

from atom_dagster.settings import SettingsError
from atom_dagster.worlds import has_live_hub, open_world
from tests.unit._worlds import settings

WORLD = """
archives:
  hub: {path: hub/models, kind: selection, folder_date_is: observed_on}
openrouter:
  rankings_daily:
    - {path: old.json, recorded_at: "2026-01-05T07:00:00Z"}
    - {path: new.json, recorded_at: "2026-02-05T07:00:00Z"}
  models:
    - {path: catalogue.json, recorded_at: "2025-12-17T00:00:00Z"}
registry: {path: lists, recorded_at: 2026-01-02T00:00:00Z}
"""


def rows(*days, tokens="1"):
    return [{"date": d, "model_permaslug": "a/b", "total_tokens": tokens, "kept": 1} for d in days]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "world.yml").write_text(WORLD)
    for day, ids in {"2026-02-15": ["a/b"], "2026-03-01": ["a/b", "c/d"]}.items():
        path = tmp_path / "hub" / "models" / day / "models.parquet"
        path.parent.mkdir(parents=True)
        pl.DataFrame({"id": ids, "downloads": [1] * len(ids)}).write_parquet(path)
    old = {"data": rows("2025-01-01", "2025-01-02"), "meta": {"as_of": "2026-01-05T07:00:00Z"}}
    new = {
        "data": rows("2025-01-02", "2025-01-03", tokens="2"),
        "meta": {"as_of": "2026-02-05T07:00:00Z", "version": "v1"},
    }
    (tmp_path / "old.json").write_text(json.dumps(old))
    (tmp_path / "new.json").write_text(json.dumps(new))
    (tmp_path / "catalogue.json").write_text('{ "data":  [] }')
    (tmp_path / "lists" / "metadata").mkdir(parents=True)
    (tmp_path / "lists" / "models.csv").write_bytes("org,model,modelId\r\né,b,é/b\r\n".encode())
    (tmp_path / "secret.txt").write_text("no")
    return tmp_path


@pytest.fixture
def world(folder):
    recorded = settings(world=f"recorded:{folder}", folder=folder / "home")
    with open_world(recorded) as endpoints, httpx.Client(trust_env=False) as client:
        yield endpoints, client


def test_it_declares_what_its_file_says(world, folder):
    endpoints, _ = world
    assert endpoints.hub is None and not endpoints.is_synthetic
    assert not has_live_hub(settings(world=f"recorded:{folder}"))
    assert (endpoints.archives[0].kind, endpoints.archives[0].folder_date_is) == (
        "selection",
        "observed_on",
    )
    assert len(endpoints.catalogues) == 1


def test_files_go_out_verbatim_with_their_own_date(world, folder):
    endpoints, client = world
    tree = f"{endpoints.archives[0].url}/api/datasets/{endpoints.archives[0].repo}/tree/main/models"
    names = [entry["path"] for entry in client.get(f"{tree}?recursive=true").json()]
    assert names == [
        "models/2026-02-15",
        "models/2026-02-15/models.parquet",
        "models/2026-03-01",
        "models/2026-03-01/models.parquet",
    ]
    assert [e["type"] for e in client.get(tree).json()] == ["directory"] * 2
    resolve = f"{endpoints.archives[0].url}/datasets/{endpoints.archives[0].repo}/resolve/main/"
    answer = client.get(resolve + names[3])
    assert answer.content == (folder / "hub" / names[3]).read_bytes()
    assert pl.read_parquet(io.BytesIO(answer.content)).height == 2
    assert answer.headers["date"] == "Sun, 01 Mar 2026 00:00:00 GMT"
    catalogue = client.get(endpoints.catalogues[0])
    assert catalogue.text == '{ "data":  [] }'
    assert catalogue.headers["date"] == "Wed, 17 Dec 2025 00:00:00 GMT"
    registry = client.get(endpoints.registry + "/models.csv")
    assert registry.content == (folder / "lists" / "models.csv").read_bytes()
    assert registry.headers["date"] == "Fri, 02 Jan 2026 00:00:00 GMT"


def test_rankings_are_cut_by_day_and_newer_days_win(world):
    endpoints, client = world

    def ask(start, end):
        path = f"/api/v1/datasets/rankings-daily?start_date={start}&end_date={end}"
        return client.get(endpoints.openrouter + path)

    answer = ask("2025-01-01", "2025-12-31")
    body = answer.json()
    assert [(r["date"], r["total_tokens"]) for r in body["data"]] == [
        ("2025-01-01", "1"),
        ("2025-01-02", "2"),
        ("2025-01-03", "2"),
    ]
    assert body["data"][0]["kept"] == 1
    assert body["meta"]["as_of"] == "2026-02-05T07:00:00Z"
    assert answer.headers["date"] == "Thu, 05 Feb 2026 07:00:00 GMT"
    assert [r["date"] for r in ask("2025-01-02", "2025-01-02").json()["data"]] == ["2025-01-02"]
    assert ask("2026-01-01", "2026-12-31").status_code == 400
    assert ask("yesterday", "2026-12-31").status_code == 400


def test_nothing_else_is_served(world):
    endpoints, client = world
    root = endpoints.registry.removesuffix("/registry")
    for path in (
        "/registry/../secret.txt",
        "/registry/%2e%2e/secret.txt",
        "/hub/api/models",
        "/registry/metadata",
        "/catalogues/1/api/v1/models",
        "/catalogues/x/api/v1/models",
        "/archive/datasets/recorded/hub/resolve/main/models/%2e%2e/%2e%2e/secret.txt",
    ):
        assert client.get(root + path).status_code == 404, path


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (WORLD, "- a\n- b", "declares nothing"),
        (WORLD, "a: [", "cannot be read as YAML"),
        ("archives:", "archive:", "'archive', which no world has"),
        ("kind: selection", "kind: some", "archives.hub.kind must be one of complete, selection"),
        ("hub/models", "hub/nowhere", "names hub/nowhere, which is not in"),
        ("hub/models", "../..", "which is not in this world's folder"),
        ("2026-02-05T07:00:00Z", "soon", r"rankings_daily\[1\] needs recorded_at"),
        ("{path: lists, ", "{", "registry has no path"),
        ("  models:\n    - ", "  models: ", "openrouter.models must be a list"),
    ],
)
def test_a_malformed_declaration_is_one_sentence(folder, old, new, sentence):
    assert old in WORLD
    (folder / "world.yml").write_text(WORLD.replace(old, new))
    recorded = settings(world=f"recorded:{folder}", folder=folder / "home")
    with pytest.raises(SettingsError, match=sentence) as caught, open_world(recorded):
        pass
    assert "\n" not in str(caught.value)


def test_parts_may_be_missing(folder):
    (folder / "world.yml").write_text("registry: {path: lists, recorded_at: 2026-01-02}\n")
    recorded = settings(world=f"recorded:{folder}", folder=folder / "home")
    with pytest.raises(SettingsError, match="recorded_at"), open_world(recorded):
        pass
    (folder / "world.yml").write_text('registry: {path: lists, recorded_at: "2026-01-02"}\n')
    with open_world(recorded) as endpoints:
        assert endpoints.archives == () and endpoints.catalogues == ()
        url = endpoints.openrouter + "/api/v1/datasets/rankings-daily"
        assert httpx.get(url, trust_env=False).status_code == 404
