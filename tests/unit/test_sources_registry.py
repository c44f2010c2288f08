"""The registry's five files."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from atom_dagster.landing import Landing, Pull
from atom_dagster.sources import (
    BadAnswer,
    RateLimited,
    Refused,
    SourceError,
    Unreachable,
    registry,
)
from tests.unit._loopback import HTML, NOW, Asked, Clock, Loopback, Reply, at, endpoints
from tests.unit._shared import recorded

FILES = {
    "models.csv": "org,model,modelId\na,1,a/1\na,2,a/2\n",
    "extra_models.csv": "org,model,modelId\nb,1,b/1\n",
    "metadata/organization_regions.csv": 'hf_org,region,notes\na,china,\nb,eu,"x, y"\n',
    "metadata/model_parameters.csv": (
        "model_id,total_params_b,active_params_b,is_moe,notes\n"
        "a/1,671,37,true,big\na/2,0.5,,,\nb/1,,,false,\n"
    ),
    "metadata/release_date_corrections.csv": (
        "# Corrections\n# by hand\nmodel_id,hf_created_at,actual_release_date,notes\n"
        "a/1,2025-01-02,2025-01-05,late\na/2,,2025-02-05,\n"
    ),
}


def fetch(server: Loopback, landing: Landing, *, tries: int = 5, now: datetime = NOW,
          **files: str | Reply) -> Pull:  # fmt: skip
    """Pull the good files, some of them replaced."""

    def answer(asked: Asked) -> Reply:
        name = asked.path.removeprefix("/lists/")
        given = files.get(name.rpartition("/")[2].removesuffix(".csv"), FILES.get(name))
        if given is None:
            return Reply(status=404)
        return given if isinstance(given, Reply) else Reply(given.encode())

    server.answer = answer
    world = endpoints(server.url)
    return registry.pull(world, landing, now=at(now), patience=Clock().patience(tries=tries))


def aside(pull: Pull) -> list[tuple[str, str, Any]]:
    """(table, reason, row) of everything set aside."""
    frame = registry.read(pull).quarantine.select("table_name", "reason", "payload")
    return [(table, reason, json.loads(payload)) for table, reason, payload in frame.rows()]


def test_the_five_files_are_one_pull(server: Loopback, landing: Landing) -> None:
    pull = fetch(server, landing)
    assert server.paths() == [f"/lists/{name}" for name in FILES]
    assert [page.request for page in pull.pages] == [f"/{name}" for name in FILES]
    assert [pull.read(page).decode() for page in pull.pages] == list(FILES.values())
    reading = registry.read(pull)
    stamp = (datetime(2026, 5, 23, 9, 30), pull.pull_id)
    assert {name: frame.rows() for name, frame in reading.frames.items()} == {
        "tracked_models": [
            ("a/1", "a", "core", *stamp),
            ("a/2", "a", "core", *stamp),
            ("b/1", "b", "extra", *stamp),
        ],
        "organization_regions": [("a", "china", None, *stamp), ("b", "eu", "x, y", *stamp)],
        "model_parameters": [
            ("a/1", 671.0, 37.0, True, "big", *stamp),
            ("a/2", 0.5, None, None, None, *stamp),
            ("b/1", None, None, False, None, *stamp),
        ],
        "release_date_corrections": [
            ("a/1", date(2025, 1, 2), date(2025, 1, 5), "late", *stamp),
            ("a/2", None, date(2025, 2, 5), None, *stamp),
        ],
    }
    assert reading.quarantine.height == 0


def test_the_same_files_later_are_the_same_pull(server: Loopback, landing: Landing) -> None:
    first = fetch(server, landing)
    assert fetch(server, landing, now=NOW + timedelta(days=3)) == first
    assert len(landing.pulls()) == 1


def test_carriage_returns_and_a_byte_order_mark_do_not_matter(server: Loopback, landing: Landing) -> None:
    text = "\ufeff" + FILES["models.csv"].replace("\n", "\r\n")
    frame = registry.read(fetch(server, landing, models=text)).frames["tracked_models"]
    assert frame["model_id"].to_list() == ["a/1", "a/2", "b/1"]


@pytest.mark.parametrize("name", list(FILES))
def test_a_wrong_header_is_named_with_what_was_expected(
    server: Loopback, landing: Landing, name: str
) -> None:
    stem = name.rpartition("/")[2].removesuffix(".csv")
    header = "modelId" if "models" in name else "notes"
    text = FILES[name].replace(header, "surprise", 1)
    with pytest.raises(BadAnswer, match=rf"{name} has the header '.*surprise'; expected '.*{header}'"):
        fetch(server, landing, **{stem: text})
    assert landing.pulls() == []


def test_a_wrong_header_is_refused_when_read_too(landing: Landing) -> None:
    with landing.open(source="registry", scope="lists", world="w", now=at()) as draft:
        draft.add("models.csv", b"id,name\n1,2\n", request="/models.csv")
        pull = draft.commit()
    with pytest.raises(BadAnswer, match=r"models\.csv has the header 'id,name'"):
        registry.read(pull)


@pytest.mark.parametrize(
    ("reply", "error", "sentence"),
    [
        (HTML, BadAnswer, "a web page instead of metadata/organization_regions.csv"),
        (Reply(b"hf_org,region,notes\n"), BadAnswer, "has no row"),
        (Reply(b""), BadAnswer, "has the header ''"),
        (Reply(b"hf_org,region,notes\n\xff\xfe,us,\n"), BadAnswer, "not UTF-8"),
        (Reply(status=404), BadAnswer, "status 404"),
        (Reply(status=401), Refused, "no credentials"),
        (Reply(status=403), Refused, "no credentials"),
        (Reply(status=429), RateLimited, "quota is used up"),
        (Reply(status=500), Unreachable, "status 500"),
        (Reply(b"x" * 99).gzipped(lose=9), BadAnswer, "torn answer"),
        (replace(Reply(b"hf_org,region,notes\na,us,\n"), cut=3), BadAnswer, "torn answer"),
    ],
)
def test_one_bad_file_spoils_the_pull(
    server: Loopback, landing: Landing, reply: Reply, error: type[SourceError], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        fetch(server, landing, tries=2, organization_regions=reply)
    assert landing.pulls() == []


def test_tracked_models_that_cannot_be_believed(server: Loopback, landing: Landing) -> None:
    pull = fetch(
        server,
        landing,
        models="org,model,modelId\na,1,a/1\na,1,\n,x,a/3\na,1,a/1\n",
        extra_models="org,model,modelId\na,1,a/1\nb,1,b/1\n",
    )
    frame = registry.read(pull).frames["tracked_models"]
    assert frame.select("model_id", "list").rows() == [("a/1", "core"), ("b/1", "extra")]
    assert [(reason, row["modelId"]) for _, reason, row in aside(pull)] == [
        ("missing_id", None),
        ("missing_id", "a/3"),
        ("duplicate", "a/1"),
        ("duplicate", "a/1"),
    ]


def test_regions_that_cannot_be_believed(server: Loopback, landing: Landing) -> None:
    text = "hf_org,region,notes\na,us,\nb,mars,\nc,,\n,eu,\na,eu,\nd,unknown,\n"
    pull = fetch(server, landing, organization_regions=text)
    frame = registry.read(pull).frames["organization_regions"]
    assert frame.select("hf_org", "region").rows() == [("a", "us"), ("d", "unknown")]
    assert [(reason, row["hf_org"]) for _, reason, row in aside(pull)] == [
        ("unknown_region", "b"),
        ("unknown_region", "c"),
        ("missing_id", None),
        ("duplicate", "a"),
    ]


def test_parameters_that_cannot_be_believed(server: Loopback, landing: Landing) -> None:
    text = (
        "model_id,total_params_b,active_params_b,is_moe,notes\na,7,,TRUE,\nb,seven,,,\n"
        "c,-7,,,\nd,7,inf,,\ne,7,,perhaps,\n,7,,,\na,8,,,\n"
    )
    pull = fetch(server, landing, model_parameters=text)
    frame = registry.read(pull).frames["model_parameters"]
    assert frame.select("model_id", "total_params_b", "is_moe").rows() == [("a", 7.0, True)]
    assert [(reason, row["model_id"]) for _, reason, row in aside(pull)] == [
        ("not_a_number", "b"),
        ("negative_count", "c"),
        ("not_a_number", "d"),
        ("not_a_flag", "e"),
        ("missing_id", None),
        ("duplicate", "a"),
    ]


def test_corrections_that_cannot_be_believed(server: Loopback, landing: Landing) -> None:
    text = (
        "model_id,hf_created_at,actual_release_date,notes\na,2025-01-01,2025-01-02,\n"
        "b,2025-01-01,soon,\nc,never,2025-01-02,\nd,2025-01-01,2026-05-25,\n"
        "e,2025-01-01,2026-05-24,\nf,2025-01-01,,\n"
    )
    pull = fetch(server, landing, release_date_corrections=text)
    frame = registry.read(pull).frames["release_date_corrections"]
    assert frame["model_id"].to_list() == ["a", "e"]
    assert [(reason, row["model_id"]) for _, reason, row in aside(pull)] == [
        ("not_a_date", "b"),
        ("not_a_date", "c"),
        ("future_date", "d"),
        ("not_a_date", "f"),
    ]


def test_lines_of_another_length_cost_only_themselves(server: Loopback, landing: Landing) -> None:
    text = "hf_org,region,notes\na,us,\nb,eu,x,y,z\n\nc,china,ok\n"
    pull = fetch(server, landing, organization_regions=text)
    frame = registry.read(pull).frames["organization_regions"]
    assert frame["hf_org"].to_list() == ["a", "c"]
    assert aside(pull) == [("organization_regions", "unknown_shape", ["b", "eu", "x", "y", "z"])]


def test_the_recorded_lists(server: Loopback, landing: Landing) -> None:
    folder = recorded("tracked-models/models.csv").parent
    files: dict[str, str | Reply] = {
        Path(name).stem: (folder / name).read_text(encoding="utf-8") for name in FILES
    }
    sent = {"Date": "Mon, 17 Aug 2026 00:00:00 GMT"}
    files["models"] = Reply((folder / "models.csv").read_bytes(), headers=sent)
    pull = fetch(server, landing, **files)
    assert pull.as_of.isoformat() == "2026-08-17T00:00:00+00:00"
    reading = registry.read(pull)
    assert {name: frame.height for name, frame in reading.frames.items()} == {
        "tracked_models": 1772 + 186,
        "organization_regions": 118,
        "model_parameters": 299,
        "release_date_corrections": 40,
    }
    assert reading.quarantine.height == 0
    lists = reading.frames["tracked_models"]["list"].value_counts(sort=True).rows()
    assert lists == [("core", 1772), ("extra", 186)]
    regions = reading.frames["organization_regions"]["region"].value_counts().rows()
    assert dict(regions) == {"us": 45, "china": 38, "eu": 19, "other": 13, "unknown": 3}
