"""The dbt project is described throughout, and its page holds what dbt knows and nothing of this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from atom_dagster import dbt_docs
from atom_dagster.assets import dbt
from atom_dagster.settings import DBT_PROJECT


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    return json.loads(dbt.ensure_manifest().read_text())


def test_every_table_and_column_is_described(manifest: dict[str, Any]) -> None:
    nodes = [*manifest["nodes"].values(), *manifest["sources"].values()]
    tables = [node for node in nodes if node["resource_type"] in {"model", "seed", "source"}]
    assert {node["resource_type"] for node in tables} == {"model", "seed", "source"}
    silent = [node["name"] for node in tables if not node["description"].strip()]
    silent += [node["name"] for node in tables if not node["columns"]]
    silent += [
        f"{node['name']}.{column['name']}"
        for node in tables
        for column in node["columns"].values()
        if not column["description"].strip()
    ]
    assert not silent


def test_figures_stand_on_published_tables(manifest: dict[str, Any]) -> None:
    exposures = manifest["exposures"].values()
    assert exposures
    for exposure in exposures:
        figure = exposure["name"].removeprefix("report_")
        assert exposure["url"] == f"../report/index.html#{figure}"
        assert exposure["description"].strip()
        assert (exposure["type"], exposure["owner"]["name"]) == ("dashboard", "team:atom")
        parents = [manifest["nodes"][name] for name in exposure["depends_on"]["nodes"]]
        assert parents
        assert {node["schema"] for node in parents} == {"marts"}


def test_the_page_holds_the_manifest_with_types_and_without_paths(tmp_path: Path) -> None:
    said = "ends </script><b>early</b>"
    node = {
        "resource_type": "model",
        "schema": "marts",
        "name": "models",
        "alias": "models",
        "database": "warehouse",
        "description": said,
        "config": {"materialized": "table"},
        "build_path": "/somewhere/of/mine/models.sql",
        "compiled_path": "/somewhere/of/mine/models.sql",
        "root_path": "/somewhere/of/mine",
    }
    manifest = {"metadata": {"dbt_version": "1"}, "nodes": {"model.atom.models": node}, "sources": {}}
    target = tmp_path / "docs" / "index.html"
    with duckdb.connect() as connection:
        connection.execute("create schema marts; create table marts.models (members varchar[])")
        dbt_docs.write(target, manifest, connection)
    page = target.read_text()
    assert '"VARCHAR[]"' in page
    assert said not in page
    assert said.replace("<", r"\u003c").replace(">", r"\u003e") in page
    assert "/somewhere/of/mine" not in page
    assert "INLINE DATA" not in page


def test_the_project_s_page_tells_no_path_of_this_machine(tmp_path: Path, manifest: dict[str, Any]) -> None:
    assert str(DBT_PROJECT) in json.dumps(manifest), "without paths in it, this would show nothing"
    target = tmp_path / "index.html"
    with duckdb.connect() as connection:
        dbt_docs.write(target, manifest, connection)
    page = target.read_text()
    assert "downloads_by_region_monthly" in page
    for path in (DBT_PROJECT, DBT_PROJECT.parent, Path.home()):
        assert f"{path}/" not in page
        assert f'"{path}"' not in page


def test_a_page_of_another_version_is_not_written_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "index.html").write_text("<html>MANIFEST elsewhere</html>")
    monkeypatch.setattr(dbt_docs, "files", lambda _package: tmp_path)
    with duckdb.connect() as connection, pytest.raises(RuntimeError, match="a page without a place"):
        dbt_docs.write(tmp_path / "docs.html", {"nodes": {}, "sources": {}, "metadata": {}}, connection)
    assert not (tmp_path / "docs.html").exists()


def test_without_a_build_the_parsed_project_is_documented(tmp_path: Path, manifest: dict[str, Any]) -> None:
    assert dbt.built_manifest(tmp_path) == manifest
    (tmp_path / "dbt").mkdir()
    (tmp_path / "dbt" / "manifest.json").write_text('{"torn')
    assert dbt.built_manifest(tmp_path) == manifest
    (tmp_path / "dbt" / "manifest.json").write_text('{"nodes": {}}')
    assert dbt.built_manifest(tmp_path) == {"nodes": {}}
