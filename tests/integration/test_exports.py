"""The published exports say what the published tables say, and another can upload and read them."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
import yaml
from frictionless import Package
from huggingface_hub import HfApi, hf_hub_download

from atom_dagster.exports import SPREADSHEET_ROWS
from atom_dagster.settings import DBT_PROJECT, Settings
from atom_dagster.worlds import open_world
from atom_dagster.worlds.server_datasets import TOKEN
from tests.conftest import atom

ROWS_CHECKED = 20_000
"""Of a table, by the data dictionary's own tool, which reads row by row; DuckDB compares all of them."""
NO_UNIT = re.compile(r"^(rank|occurrence|keys)|_value$")
"""Numbers that are places or counts of the row's own kind, or whose unit stands in the row."""


@pytest.fixture(scope="module")
def folder(sample) -> Path:
    return (sample.home / "published").resolve()


@pytest.fixture(scope="module")
def described(folder: Path) -> dict:
    return json.loads((folder / "datapackage.json").read_text())


def test_csv_holds_every_row_of_every_table_in_its_order(sample, folder: Path, described: dict):
    with sample.connect() as connection:
        tables = [name for (name,) in connection.execute("show tables from marts").fetchall()]
        assert sorted(one["name"] for one in described["resources"]) == tables
        for one in described["resources"]:
            name, file = one["name"], folder / one["path"]
            assert file == folder / "csv" / f"{name}.csv{'.zst' if one['rows'] > SPREADSHEET_ROWS else ''}"
            columns = connection.execute(f"describe marts.{name}").fetchall()
            lists = {column: kind for column, kind, *_ in columns if kind.endswith("[]")}
            types = {column: "JSON" if column in lists else kind for column, kind, *_ in columns}
            parsed = ", ".join(f'cast("{column}" as {kind}) as "{column}"' for column, kind in lists.items())
            read = (
                f"select *{f' replace ({parsed})' if parsed else ''}"
                f" from read_csv('{file}', header = true, columns = {types!r}, nullstr = '',"
                " allow_quoted_nulls = false)"
            )
            [(different,)] = connection.execute(
                f"with a as (select row_number() over () as at, * from marts.{name}),"
                f" b as (select row_number() over () as at, * from ({read}))"
                " select (select count(*) from (from a except all from b))"
                " + (select count(*) from (from b except all from a))"
            ).fetchall()
            assert different == 0, name
            [(rows,)] = connection.execute(f"select count(*) from marts.{name}").fetchall()
            assert rows == one["rows"], name


def test_the_data_dictionary_holds_by_its_own_tool(folder: Path):
    package = Package(str(folder / "datapackage.json"))
    for resource in package.resources:
        report = resource.validate(limit_rows=ROWS_CHECKED)
        assert report.valid, (resource.name, report.flatten(["rowNumber", "fieldName", "message"])[:3])


def test_every_key_is_one(sample, described: dict):
    with sample.connect() as connection:
        for one in described["resources"]:
            key = ", ".join(f'"{column}"' for column in one["schema"]["primaryKey"])
            assert key, one["name"]
            twice = connection.execute(
                f"select {key} from marts.{one['name']} group by all having count(*) > 1 limit 1"
            ).fetchall()
            assert not twice, one["name"]


def test_every_table_and_column_is_described_and_every_number_has_its_unit(sample, described: dict):
    assert not sample.rows(
        "select schema_name, table_name, column_name from duckdb_columns()"
        " where schema_name in ('marts', 'meta') and trim(coalesce(comment, '')) = ''"
        " union all select schema_name, table_name, null from duckdb_tables()"
        " where schema_name in ('marts', 'meta') and trim(coalesce(comment, '')) = ''"
    )
    for one in described["resources"]:
        assert one["description"]
        for field in one["schema"]["fields"]:
            assert field["description"], field
            if field["type"] in {"integer", "number"} and not NO_UNIT.search(field["name"]):
                assert field.get("unit"), f"{one['name']}.{field['name']}"


def test_the_card_names_every_table_once(folder: Path, described: dict):
    text = (folder / "README.md").read_text()
    front = yaml.safe_load(text.split("---\n")[1])
    names = sorted(one["name"] for one in described["resources"])
    assert sorted(one["config_name"] for one in front["configs"]) == names
    assert all((folder / one["data_files"]).is_file() for one in front["configs"])
    assert [one["config_name"] for one in front["configs"] if one.get("default")]
    assert re.findall(r"^\| `(\w+)` \| [\d,]+ \|", text, re.MULTILINE) == names
    for target in re.findall(r"\]\(((?!https?://)[^)]+)\)", text):
        assert (folder / target).is_file(), target


def test_the_docs_hold_the_sql_that_made_the_tables(sample, folder: Path):
    page = (folder / "docs" / "index.html").read_text()
    assert "compiled_code" in page
    assert str(sample.home) not in page
    assert str(DBT_PROJECT) not in page
    assert "docs/index.html" in (folder / "SHA256SUMS").read_text()


def test_the_build_is_sent_and_read_back(sample, folder: Path, tmp_path: Path):
    settings = Settings.from_env(sample.environment)
    with open_world(settings) as endpoints:
        environment = sample.environment | {"HF_ENDPOINT": str(endpoints.hub), "HF_TOKEN": TOKEN}
        first = atom("publish", "--to-hub", "atom/sample", environment=environment)
        assert first.returncode == 0, first.stderr
        again = atom("publish", "--to-hub", "atom/sample", environment=environment)
        assert again.returncode == 0, again.stderr
        assert f"holds build {folder.name} already" in again.stdout
        refused = atom("publish", "--to-hub", "sample", environment=environment)
        assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 2), refused.stderr
        said = "".join(done.stdout + done.stderr for done in (first, again, refused))
        assert TOKEN not in said

        api = HfApi(endpoints.hub, token=TOKEN)
        titles = [commit.title for commit in api.list_repo_commits("atom/sample", repo_type="dataset")]
        assert titles == [f"Build {folder.name} (sample world, synthetic)", "initial commit"]
        mine = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
        assert set(api.list_repo_files("atom/sample", repo_type="dataset")) == mine | {".gitattributes"}
        for name in sorted(mine):
            found = hf_hub_download(
                "atom/sample",
                name,
                repo_type="dataset",
                cache_dir=tmp_path,
                endpoint=endpoints.hub,
                token=TOKEN,
            )
            assert _sha256(Path(found)) == _sha256(folder / name), name


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def test_synthetic_numbers_are_not_sent_to_the_public_hub(sample):
    done = atom("publish", "--to-hub", "atom/sample", environment=sample.environment | {"HF_TOKEN": "hf_x"})
    assert done.returncode == 2
    assert "numbers are synthetic, and https://huggingface.co is not on this machine" in done.stderr
