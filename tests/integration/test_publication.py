"""What readers of the published file may rely on."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from atom_dagster import pipeline
from atom_dagster.assets import publish
from atom_dagster.resources import Home
from atom_dagster.settings import Settings
from atom_dagster.warehouse import Busy, Warehouse, WriterLock
from tests.conftest import atom_environment


@pytest.fixture
def copied(sample, tmp_path: Path):
    """A home of one's own, with the sample world's warehouse and published build."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(sample.warehouse, home)
    settings = Settings.from_env(sample.environment | {"ATOM_HOME": str(home)})
    publish.publish(home, Warehouse(home / "warehouse.duckdb"), settings)
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
        newest = publish.publish(home, Warehouse(home / "warehouse.duckdb"), settings)
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
        publish.publish(home, Warehouse(home / "warehouse.duckdb"), _later(settings))
    assert (home / "published").resolve() == before


def test_marts_of_other_inputs_are_not_published(copied):
    home, settings = copied
    before = (home / "published").resolve()
    with Warehouse(home / "warehouse.duckdb").writing("test") as connection:
        connection.execute("update raw.loads set pull_ids = pull_ids[2:] where scope = 'registry'")
    with pytest.raises(publish.Refused, match="not built whole from what is loaded"):
        publish.publish(home, Warehouse(home / "warehouse.duckdb"), _later(settings))
    assert (home / "published").resolve() == before


def _while_the_page_is_drawn(monkeypatch: pytest.MonkeyPatch, then: Callable[[], None]) -> None:
    """Let something happen between the copy of the tables and the swap."""
    render = publish.report.render

    def rendered(database: Path, target: Path) -> Any:
        then()
        return render(database, target)

    monkeypatch.setattr(publish.report, "render", rendered)


def test_the_warehouse_is_free_while_the_page_is_drawn(copied, monkeypatch: pytest.MonkeyPatch):
    home, settings = copied
    warehouse, free = Warehouse(home / "warehouse.duckdb"), []

    def look() -> None:
        with warehouse.lock.held("test", timeout=0):
            free.append(True)

    _while_the_page_is_drawn(monkeypatch, look)
    build = publish.publish(home, warehouse, _later(settings))
    assert free == [True]
    assert (home / "published").resolve().name == build.build_id


def test_what_a_load_overtakes_while_the_page_is_drawn_is_not_published(
    copied, monkeypatch: pytest.MonkeyPatch
):
    home, settings = copied
    before = (home / "published").resolve()
    warehouse = Warehouse(home / "warehouse.duckdb")

    def load() -> None:
        with warehouse.writing("test") as connection:
            connection.execute("insert into raw.loads values ('hub', '2020-01-01', 'r', ['p'])")

    _while_the_page_is_drawn(monkeypatch, load)
    with pytest.raises(publish.Stale, match="more was loaded while the build was written"):
        publish.publish(home, warehouse, _later(settings))
    assert (home / "published").resolve() == before
    assert not list((home / "builds").glob(".*.draft"))


def test_nobody_loads_between_the_last_look_and_the_swap(copied, monkeypatch: pytest.MonkeyPatch):
    home, settings = copied
    warehouse, point_to, busy = Warehouse(home / "warehouse.duckdb"), publish._point_to, []

    def pointed(link: Path, target: Path) -> None:
        with pytest.raises(Busy), warehouse.lock.held("test", timeout=0):
            pass
        busy.append(True)
        point_to(link, target)

    monkeypatch.setattr(publish, "_point_to", pointed)
    publish.publish(home, warehouse, _later(settings))
    assert busy == [True]


def test_two_publications_at_once_are_two_whole_builds(copied, monkeypatch: pytest.MonkeyPatch):
    home, settings = copied
    drafts: list[int] = []

    def look() -> None:
        time.sleep(0.5)  # so that another one would begin, if it could
        drafts.append(len(list((home / "builds").glob(".*.draft"))))

    _while_the_page_is_drawn(monkeypatch, look)
    with ThreadPoolExecutor(2) as pool:
        begun = [
            pool.submit(publish.publish, home, Warehouse(home / "warehouse.duckdb"), _later(settings))
            for _ in range(2)
        ]
        names = [one.result().build_id for one in begun]
    assert drafts == [1, 1]
    assert len(set(names)) == 2
    for name in names:
        _assert_checksums(home / "builds" / name)
    assert (home / "published").resolve().name in names


def test_nobody_builds_marts_while_a_build_is_written(copied, monkeypatch: pytest.MonkeyPatch):
    home, settings = copied
    busy = []

    def look() -> None:
        with pytest.raises(Busy), WriterLock(home / "build").held("a build", timeout=0):
            pass
        busy.append(True)

    _while_the_page_is_drawn(monkeypatch, look)
    publish.publish(home, Warehouse(home / "warehouse.duckdb"), _later(settings))
    assert busy == [True]


def test_a_publication_that_breaks_is_a_fault_and_no_rule(copied, monkeypatch: pytest.MonkeyPatch):
    home, settings = copied
    before = (home / "published").resolve()

    def broken() -> None:
        raise KeyError("drawn")

    _while_the_page_is_drawn(monkeypatch, broken)
    for name, value in atom_environment(home).items():
        monkeypatch.setenv(name, value)
    result = dg.materialize([publish.publish_asset([])], resources={"home": Home()}, raise_on_error=False)
    outcome = pipeline.Outcome([])
    pipeline._read_build(result, outcome, settings)
    assert outcome.refused is None
    assert outcome.fault is not None
    assert outcome.fault.startswith("Nothing was published. Step published failed (KeyError: ")
    assert (home / "published").resolve() == before
    monkeypatch.undo()
    publish.publish(home, Warehouse(home / "warehouse.duckdb"), _later(settings))
    assert not list((home / "builds").glob(".*.draft"))


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
    _assert_checksums((home / "published").resolve())


def _assert_checksums(build: Path) -> None:
    """Every file but SHA256SUMS is listed in it, with the digest it has."""
    lines = (build / "SHA256SUMS").read_text().splitlines()
    listed = {name: digest for digest, name in (line.split("  ") for line in lines)}
    files = {str(file.relative_to(build)) for file in build.rglob("*") if file.is_file()} - {"SHA256SUMS"}
    assert listed.keys() == files
    assert {"atom.duckdb", "csv/models.csv", "parquet/models.parquet"} <= files
    for name, digest in listed.items():
        assert hashlib.sha256((build / name).read_bytes()).hexdigest() == digest


def test_the_file_has_the_storage_version_of_duckdb_1_5(copied):
    home, _ = copied
    with duckdb.connect() as connection:
        connection.execute(f"attach '{(home / 'published').resolve() / 'atom.duckdb'}' as p (read_only)")
        [(tags,)] = connection.execute(
            "select tags from duckdb_databases() where database_name = 'p'"
        ).fetchall()
    assert tags["storage_version"].startswith("v1.5"), tags
