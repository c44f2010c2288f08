"""CSV, data dictionary and dataset card of a small build made by hand."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import duckdb
import pytest
import yaml
from frictionless import Package

from atom_dagster import exports
from atom_dagster.exports.contents import ORIGINS
from atom_dagster.sources.tables import PULLS

AWKWARD = 'said "no", then\nleft; 模型 é'


def build(folder: Path, *, is_synthetic: bool = True, world: str = "sample") -> Path:
    """A build of two small marts, with what is awkward to write down."""
    (folder / "parquet").mkdir(parents=True)
    with duckdb.connect(str(folder / "atom.duckdb")) as connection:
        connection.execute("create schema marts; create schema meta")
        connection.execute(
            "create table marts.ram_baselines (baseline varchar not null, day integer, downloads double,"
            " is_frozen boolean not null, members varchar[] not null, snapshot_on date, share double,"
            " primary key (baseline, day))"
        )
        connection.execute("comment on table marts.ram_baselines is 'How much | must it be?\nA table.'")
        for column in ("baseline", "day", "downloads", "is_frozen", "members", "snapshot_on", "share"):
            connection.execute(f"comment on column marts.ram_baselines.{column} is 'What {column} is.\n'")
        connection.execute(
            "insert into marts.ram_baselines values ('a', 7, 1.5, true, ['x/y', ?], date '2026-05-23', null),"
            " (?, 14, null, false, [], null, 0.25)",
            [AWKWARD, AWKWARD],
        )
        connection.execute("create table marts.downloads_by_region_monthly (month date, primary key (month))")
        connection.execute("comment on table marts.downloads_by_region_monthly is 'By region.'")
        connection.execute("comment on column marts.downloads_by_region_monthly.month is 'First day.'")
        connection.execute(
            "insert into marts.downloads_by_region_monthly"
            " select date '2026-01-01' + n::integer from range(3) as t(n)"
        )
        for table in ("ram_baselines", "downloads_by_region_monthly"):
            target = folder / "parquet" / f"{table}.parquet"
            connection.execute(f"copy marts.{table} to '{target}' (format parquet)")
        connection.execute(
            "create table meta.build as select '20260523T000000Z-abc' as build_id, ? as world,"
            " ?::boolean as is_synthetic, '2026-05-23T00:00:00+00:00' as built_at, null::varchar as as_of,"
            " '0.1.0' as atom_version",
            [world, is_synthetic],
        )
        connection.execute(
            "create table meta.pulls as from (values"
            " ('hub_archive', '2026-05-20', timestamp '2026-05-20', timestamp '2026-05-21'),"
            " ('openrouter_rankings', '2025-01-01_2025-12-31', timestamp '2026-05-19',"
            " timestamp '2026-05-23'),"
            " ('openrouter_rankings', '2026-01-01_2026-03-31', timestamp '2026-05-22',"
            " timestamp '2026-05-23')) as t(source, scope, as_of, fetched_at)"
        )
    return folder


def front_matter(folder: Path) -> dict:
    text = (folder / "README.md").read_text()
    return yaml.safe_load(re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)[1])  # type: ignore[index]


def test_csv_is_utf8_with_iso_dates_and_lists_as_json(tmp_path: Path):
    folder = build(tmp_path)
    exports.write(folder)
    with duckdb.connect() as connection:
        rows = connection.execute(
            f"from read_csv('{folder}/csv/ram_baselines.csv', all_varchar = true)"
        ).fetchall()
    members = json.dumps(["x/y", AWKWARD], ensure_ascii=False, separators=(",", ":"))
    assert rows[0] == ("a", "7", "1.5", "true", members, "2026-05-23", None)
    assert rows[1] == (AWKWARD, "14", None, "false", "[]", None, "0.25")
    assert "模型".encode() in (folder / "csv" / "ram_baselines.csv").read_bytes()


def test_the_data_dictionary_is_valid_and_true(tmp_path: Path):
    folder = build(tmp_path)
    exports.write(folder)
    report = Package(str(folder / "datapackage.json")).validate()
    assert report.valid, report.flatten(["title", "message"])
    described = json.loads((folder / "datapackage.json").read_text())
    assert described["name"] == "atom-sample"
    assert described["is_synthetic"] is True
    assert described["version"] == "0.1.0+20260523T000000Z-abc"
    [baselines] = [one for one in described["resources"] if one["name"] == "ram_baselines"]
    assert baselines["description"] == "How much | must it be? A table."
    assert baselines["schema"]["primaryKey"] == ["baseline", "day"]
    fields = {field["name"]: field for field in baselines["schema"]["fields"]}
    assert {name: field["type"] for name, field in fields.items()} == {
        "baseline": "string",
        "day": "integer",
        "downloads": "number",
        "is_frozen": "boolean",
        "members": "array",
        "snapshot_on": "date",
        "share": "number",
    }
    assert [fields[name].get("unit") for name in ("day", "downloads", "share", "baseline")] == [
        "days",
        "downloads",
        "1",
        None,
    ]
    assert fields["downloads"]["description"] == "What downloads is."
    assert (fields["is_frozen"]["constraints"], fields["share"]["constraints"]) == (
        {"required": True},
        {"required": False},
    )
    for file in (baselines, *baselines["alternatives"]):
        content = (folder / file["path"]).read_bytes()
        assert (file["bytes"], file["hash"]) == (
            len(content),
            f"sha256:{hashlib.sha256(content).hexdigest()}",
        )


def test_its_own_tool_sees_a_changed_value(tmp_path: Path):
    folder = build(tmp_path)
    exports.write(folder)
    file = folder / "csv" / "downloads_by_region_monthly.csv"
    file.write_text(file.read_text().replace("2026-01-02", "2026-01-99"))
    found = {kind for (kind,) in Package(str(folder / "datapackage.json")).validate().flatten(["type"])}
    assert {"hash-count", "type-error"} & found, found


def test_a_table_no_spreadsheet_holds_is_compressed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(exports, "SPREADSHEET_ROWS", 2)
    folder = build(tmp_path)
    exports.write(folder)
    assert sorted(file.name for file in (folder / "csv").iterdir()) == [
        "downloads_by_region_monthly.csv.zst",
        "ram_baselines.csv",
    ]
    packed = folder / "csv" / "downloads_by_region_monthly.csv.zst"
    with duckdb.connect() as connection:
        found = connection.execute(f"select month::varchar from read_csv('{packed}')").fetchall()
    assert found == [("2026-01-01",), ("2026-01-02",), ("2026-01-03",)]
    # frictionless knows the description, and not how to unpack the file
    assert not list(Package.metadata_validate(json.loads((folder / "datapackage.json").read_text())))
    assert "(csv/downloads_by_region_monthly.csv.zst)" in (folder / "README.md").read_text()


def test_the_card_of_a_synthetic_build_says_so_first_and_names_no_source_as_asked(tmp_path: Path):
    folder = build(tmp_path)
    exports.write(folder)
    text, front = (folder / "README.md").read_text(), front_matter(folder)
    body = text.partition("\n---\n")[2]
    assert "synthetic" in front["pretty_name"]
    assert (front["license"], front["tags"][0]) == ("apache-2.0", "synthetic")
    assert [line for line in body.splitlines() if line][1].startswith("> **Synthetic.**")
    assert "huggingface.co" not in body
    assert "Source: OpenRouter" not in body
    assert not (folder / "LICENSE.md").exists()
    described = json.loads((folder / "datapackage.json").read_text())
    assert all("path" not in source for source in described["sources"])
    assert [one["name"] for one in described["licenses"]] == ["Apache-2.0"]


def test_the_card_of_a_measured_build_names_sources_and_licences(tmp_path: Path):
    folder = build(tmp_path, is_synthetic=False, world="live")
    exports.write(folder)
    text, front = (folder / "README.md").read_text(), front_matter(folder)
    assert "ynthetic" not in text
    assert "Source: OpenRouter (openrouter.ai/rankings), as of 2026-05-22T00:00:00Z. (CC BY 4.0)" in text
    assert (front["license"], front["license_link"]) == ("other", "LICENSE.md")
    assert "Open Database License" in (folder / "LICENSE.md").read_text()
    described = json.loads((folder / "datapackage.json").read_text())
    assert [one["name"] for one in described["licenses"]] == ["ODbL-1.0", "CC-BY-4.0"]
    assert [(source["name"], source["as_of"]) for source in described["sources"]] == [
        ("hub_archive", "2026-05-20T00:00:00Z"),
        ("openrouter_rankings", "2026-05-22T00:00:00Z"),
    ]


@pytest.mark.parametrize(
    ("months", "last"),
    [
        ("date '2026-02-01', 28), (date '2026-03-01', 31", "2026-03-31"),
        # Asked for, and not served yet.
        ("date '2026-02-01', 28), (date '2026-03-01', 30", "2026-03-30"),
        ("date '2025-12-01', 31", "2025-12-31"),
        # Another source goes further.
        ("date '2026-04-01', 12", "2026-03-31"),
        ("cast(null as date), 0", None),
    ],
)
def test_a_source_gives_the_last_day_of_its_rows(months: str, last: str | None, tmp_path: Path):
    folder = build(tmp_path, is_synthetic=False, world="live")
    with duckdb.connect(str(folder / "atom.duckdb")) as connection:
        connection.execute(
            "create table marts.observations as select 'hub_archive' as source, 'x/y' as model_id,"
            " unnest([date '2026-05-17', date '2026-05-19', date '2026-05-18']) as observed_on"
        )
        connection.execute(
            "create table marts.inference_by_region_monthly as"
            f" select * from (values ({months})) as t(month, days_present) where month is not null"
        )
        for table in ("observations", "inference_by_region_monthly"):
            connection.execute(f"copy marts.{table} to '{folder}/parquet/{table}.parquet'")
    exports.write(folder)
    sources = json.loads((folder / "datapackage.json").read_text())["sources"]
    assert [(source["name"], source.get("last_day"), source["as_of"]) for source in sources] == [
        ("hub_archive", "2026-05-19", "2026-05-20T00:00:00Z"),
        ("openrouter_rankings", last, "2026-05-22T00:00:00Z"),
    ]
    card = (folder / "README.md").read_text()
    assert "| source | what | last day held | newest answer as of (UTC) | pulls |" in card
    assert f"(https://openrouter.ai/rankings) | {last or '–'} | 2026-05-22 00:00 | 2 |" in card


def test_the_card_tells_the_hub_which_file_is_which_table(tmp_path: Path):
    folder = build(tmp_path)
    exports.write(folder)
    front = front_matter(folder)
    assert [one["config_name"] for one in front["configs"] if one.get("default")] == [
        "downloads_by_region_monthly"
    ]
    assert {one["data_files"] for one in front["configs"]} == {
        f"parquet/{file.name}" for file in (folder / "parquet").iterdir()
    }
    assert front["size_categories"] == ["n<1K"]
    assert r"How much \| must it be? A table." in (folder / "README.md").read_text()


def test_a_report_and_docs_are_linked_where_they_are(tmp_path: Path):
    folder = build(tmp_path)
    exports.write(folder)
    assert "index.html" not in (folder / "README.md").read_text()
    for part in ("report", "docs"):
        (folder / part).mkdir()
        (folder / part / "index.html").write_text("")
    exports.write(folder)
    for part in ("report", "docs"):
        assert f"({part}/index.html)" in (folder / "README.md").read_text()


def test_every_source_that_is_pulled_has_an_origin_and_a_licence():
    names = re.findall(r"[a-z_]+", PULLS.columns["source"].comment.replace(" or ", ", "))
    assert set(ORIGINS) == set(names)


def test_a_source_that_nobody_described_is_named_and_states_no_licence(tmp_path: Path):
    folder = build(tmp_path, is_synthetic=False, world="live")
    with duckdb.connect(str(folder / "atom.duckdb")) as connection:
        connection.execute("update meta.pulls set source = 'new_archive' where source = 'hub_archive'")
    exports.write(folder)
    described = json.loads((folder / "datapackage.json").read_text())
    [source] = [one for one in described["sources"] if one["name"] == "new_archive"]
    assert (source["title"], source["license"]) == ("new_archive", "other-unstated")
    assert "path" not in source
    assert Package(str(folder / "datapackage.json")).validate().valid
    licence = (folder / "LICENSE.md").read_text()
    assert "| `new_archive` | new_archive | No licence is stated: ask" in licence
    assert "None" not in licence + (folder / "README.md").read_text()
