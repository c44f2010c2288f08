"""What readers of the published file may rely on."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from atom_dagster.assets import publish
from atom_dagster.settings import Settings
from atom_dagster.warehouse import Warehouse


@pytest.fixture
def copied(sample, tmp_path: Path):
    """A home of one's own, with the sample world's warehouse and published build."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(sample.warehouse, home)
    settings = Settings.from_env(sample.environment | {"ATOM_HOME": str(home)})
    with Warehouse(home / "warehouse.duckdb").writing("test") as connection:
        publish.publish(home, connection, settings)
    return home, settings


def _later(settings: Settings) -> Settings:
    return replace(settings, fixed_now=settings.now() + timedelta(hours=1))


def test_readers_keep_the_build_they_opened(copied):
    home, settings = copied
    path = str(home / "published" / "atom.duckdb")
    reader = duckdb.connect(path, read_only=True)
    [(before,)] = reader.execute("select build_id from meta.build").fetchall()
    for _ in range(publish.BUILDS_KEPT + 1):
        settings = _later(settings)
        with Warehouse(home / "warehouse.duckdb").writing("test") as connection:
            newest = publish.publish(home, connection, settings)
    assert reader.execute("select build_id from meta.build").fetchall() == [(before,)]
    assert reader.execute("select count(*) > 0 from marts.observations").fetchall() == [(True,)]
    with duckdb.connect(path, read_only=True) as second:
        assert second.execute("select build_id from meta.build").fetchall() == [(newest.build_id,)]
    reader.close()
    assert len([p for p in (home / "builds").iterdir() if p.is_dir()]) == publish.BUILDS_KEPT


def test_the_report_page_is_part_of_the_build(copied):
    home, _ = copied
    page = home / "published" / "report" / "index.html"
    digest = hashlib.sha256(page.read_bytes()).hexdigest()
    assert f"{digest}  report/index.html\n" in (home / "published" / "SHA256SUMS").read_text()
    assert (home / "published").resolve().name in page.read_text(encoding="utf-8")


def test_a_violated_rule_leaves_the_published_build(copied):
    home, settings = copied
    before = (home / "published").resolve()
    with Warehouse(home / "warehouse.duckdb").writing("test") as connection:
        connection.execute(
            "update raw.hf_models set observed_on = date '2027-01-01' where model_id ="
            " (select min(model_id) from raw.hf_models) and observed_on ="
            " (select max(observed_on) from raw.hf_models)"
        )
        with pytest.raises(publish.Refused, match="no_reading_from_the_future"):
            publish.publish(home, connection, _later(settings))
    assert (home / "published").resolve() == before


def test_marts_of_other_inputs_are_not_published(copied):
    home, settings = copied
    before = (home / "published").resolve()
    with Warehouse(home / "warehouse.duckdb").writing("test") as connection:
        connection.execute("update raw.loads set pull_ids = pull_ids[2:] where scope = 'registry'")
        with pytest.raises(publish.Refused, match="not built whole from what is loaded"):
            publish.publish(home, connection, _later(settings))
    assert (home / "published").resolve() == before


def test_parquet_says_which_world_it_comes_from(copied):
    import pyarrow.parquet as pq

    home, _ = copied
    files = sorted((home / "published" / "parquet").glob("*.parquet"))
    assert len(files) >= 17
    for file in files:
        marks = pq.read_metadata(file).metadata
        assert (marks[b"world"], marks[b"is_synthetic"]) == (b"sample", b"true")


def test_published_file_keeps_constraints_comments_and_order(copied):
    home, _ = copied
    path = (home / "published" / "atom.duckdb").resolve()
    with duckdb.connect(str(path), read_only=True) as connection:
        keys = connection.execute(
            "select count(distinct table_name) from duckdb_constraints()"
            " where schema_name = 'marts' and constraint_type = 'PRIMARY KEY'"
        ).fetchall()
        tables = connection.execute(
            "select count(*) - 1 from duckdb_tables() where schema_name = 'marts'"
        ).fetchall()
        assert keys == tables
        ids = [row[0] for row in connection.execute("select model_id from marts.models").fetchall()]
        assert ids == sorted(ids)


def test_checksums_are_true(copied):
    home, _ = copied
    build = (home / "published").resolve()
    lines = (build / "SHA256SUMS").read_text().splitlines()
    assert len(lines) >= 19
    for line in lines:
        digest, name = line.split("  ")
        assert hashlib.sha256((build / name).read_bytes()).hexdigest() == digest


def test_the_file_has_the_storage_version_of_duckdb_1_5(copied):
    home, _ = copied
    with duckdb.connect() as connection:
        connection.execute(f"attach '{(home / 'published').resolve() / 'atom.duckdb'}' as p (read_only)")
        [(tags,)] = connection.execute(
            "select tags from duckdb_databases() where database_name = 'p'"
        ).fetchall()
    assert tags["storage_version"].startswith("v1.5"), tags
