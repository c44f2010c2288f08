"""Verifying and pruning a finished world: what is found, what goes, and that no mart changes."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from atom_dagster.landing import DRAFTS, Landing, Pull
from tests.conftest import Finished, atom, copy_home
from tests.integration.test_killed import assert_same_marts

SOON = "2026-11-12T09:00:00+00:00"
"""Three hours after the sample's run, on the same day."""


@pytest.fixture
def home(sample: Finished, tmp_path: Path) -> Path:
    """The finished sample world, copied."""
    home = tmp_path / "home"
    copy_home(sample.home, home)
    return home


@pytest.fixture
def environment(sample: Finished, home: Path) -> dict[str, str]:
    return sample.environment | {"ATOM_HOME": str(home), "ATOM_NOW": SOON}


def _ran(*arguments: str, environment: dict[str, str], code: int = 0) -> subprocess.CompletedProcess[str]:
    done = atom(*arguments, environment=environment)
    assert done.returncode == code, done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    return done


def _crawled_again(landing: Landing) -> Pull:
    """A second crawl of the day: everything is read again, with one more download each."""
    [first] = landing.pulls("hub_live")
    between = first.fetched_at + timedelta(hours=1)  # the run that follows crawls once more, at SOON
    with landing.open(source="hub_live", scope=first.scope, world=first.world, now=lambda: between) as draft:
        for page in first.pages:
            body = first.read(page)
            if page.name.startswith("crawl"):
                rows = json.loads(body)
                for row in rows:
                    row["downloads"] += 1
                    row["downloadsAllTime"] += 1
                body = json.dumps(rows).encode()
            draft.add(page.name, body, request=page.request, status=page.status, notes=page.notes)
        return draft.commit(as_of=between, facts=first.facts)


def _snapshot_again(landing: Landing, folder: str) -> tuple[Pull, Pull]:
    """A snapshot that the archive has replaced: the same models, with more likes."""
    [first] = [pull for pull in landing.pulls("hub_archive") if pull.scope == folder]
    page = first.pages[0]
    table = pl.read_parquet(first.file(page)).with_columns(pl.col("likes") + 1)
    target = landing.root.parent / "again.parquet"
    table.write_parquet(target)
    with landing.open(
        source="hub_archive", scope=folder, world=first.world, now=lambda: datetime.fromisoformat(SOON)
    ) as draft:
        draft.add(page.name, target.read_bytes(), request=page.request, notes=page.notes)
        return first, draft.commit(as_of=first.as_of, facts={**first.facts, "oid": "another"})


def _pull_ids(home: Path) -> set[str]:
    """Every pull id that any raw table names."""
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        tables = connection.execute(
            "select table_name from duckdb_columns() where schema_name = 'raw' and column_name = 'pull_id'"
        ).fetchall()
        union = " union ".join(f"select pull_id from raw.{table}" for (table,) in tables)
        rows = connection.execute(f"{union} union select unnest(pull_ids) from raw.loads").fetchall()
    return {pull_id for (pull_id,) in rows}


def test_a_prune_changes_no_mart(home: Path, environment: dict[str, str], tmp_path: Path):
    landing = Landing(home / "landing")
    [crawl] = landing.pulls("hub_live")
    _crawled_again(landing)  # stays: nobody else holds its edges' download counts
    snapshot, _ = _snapshot_again(landing, "2026-08-05")
    gone = {crawl.pull_id, snapshot.pull_id}
    # Not loaded yet: raw does not tell what they hold.
    assert "0 would go" in _ran("prune", environment=environment).stdout
    _ran("run", environment=environment)
    assert gone <= _pull_ids(home)
    before = tmp_path / "before.duckdb"
    shutil.copy((home / "published" / "atom.duckdb").resolve(), before)

    dry = _ran("prune", environment=environment).stdout
    assert "2 would go" in dry
    assert all(f"{pull_id}  " in dry for pull_id in gone)
    assert {pull.pull_id for pull in Landing(home / "landing").pulls()} >= gone

    applied = _ran("prune", "--apply", environment=environment).stdout
    assert "2 removed" in applied
    assert not {pull.pull_id for pull in Landing(home / "landing").pulls()} & gone
    assert "was pruned, and its rows are still loaded" in _ran("verify", environment=environment).stdout
    assert "0 removed" in _ran("prune", "--apply", environment=environment).stdout

    _ran("run", environment=environment)
    assert not _pull_ids(home) & gone
    assert_same_marts(before, (home / "published" / "atom.duckdb").resolve())
    assert "note" not in _ran("verify", environment=environment).stdout


def test_verify_finds_what_is_damaged_and_says_what_to_do(home: Path, environment: dict[str, str]):
    assert _ran("verify", environment=environment).stdout.endswith(": all good.\n")
    landing = Landing(home / "landing")
    [crawl] = landing.pulls("hub_live")
    [registry] = landing.pulls("registry")
    [catalogue] = landing.pulls("openrouter_models")
    snapshots = landing.pulls("hub_archive")[:4]
    rankings = landing.pulls("openrouter_rankings")[0]

    page = crawl.file(crawl.pages[0])
    body = gzip.decompress(page.read_bytes())
    page.write_bytes(gzip.compress(body[:-1]))  # one byte less
    snapshots[0].file(snapshots[0].pages[0]).unlink()
    (snapshots[1].path / "manifest.json").unlink()
    (snapshots[2].path / "manifest.json").write_text("{")
    (snapshots[3].path / "stray").write_text("")
    shutil.rmtree(catalogue.path)
    moved = registry.path.with_name("registry-elsewhere")
    registry.path.rename(moved)
    manifest = json.loads((rankings.path / "manifest.json").read_text())
    manifest["scope"] = "2025-01-01_2025-01-02"
    (rankings.path / "manifest.json").write_text(json.dumps(manifest))
    draft = landing.root / DRAFTS / "hub_live-2026-11-01"
    draft.mkdir(parents=True)
    (draft / "draft.json").write_text(json.dumps({"day": "2026-11-01"}))

    done = _ran("verify", environment=environment, code=1)
    lines = done.stdout.splitlines()
    found = {line.split()[1].rstrip(";,"): line for line in lines if line.startswith("damaged")}
    expected = {
        f"hub_live/{crawl.pull_id}/{crawl.pages[0].file}": "backup",
        f"hub_archive/{snapshots[0].pull_id}/models.parquet": "delete that folder and run `atom run`",
        f"hub_archive/{snapshots[1].pull_id}": "has no manifest.json; delete that folder",
        f"hub_archive/{snapshots[2].pull_id}/manifest.json": "cannot be read (JSONDecodeError)",
        f"hub_archive/{snapshots[3].pull_id}/stray": "named by no manifest",
        f"openrouter_models/{catalogue.pull_id}": "is loaded and no longer in landing",
        f"registry/{moved.name}": "move it back there",
        f"registry/{registry.pull_id}": "is loaded and no longer in landing",
        f"openrouter_rankings/{rankings.pull_id}/manifest.json": "was changed after the pull",
    }
    for where, says in expected.items():
        assert says in found.pop(where, ""), (where, done.stdout)
    assert found == {}
    assert [line for line in lines if line.startswith("note")] == [
        "note     .drafts/hub_live-2026-11-01 is a draft of 2026-11-01;"
        " `atom prune --apply` or the next pull removes it."
    ]
    assert lines[-1].endswith(f"{len(expected)} damaged.")


def test_a_landing_that_cannot_be_read_is_not_pruned(home: Path, environment: dict[str, str]):
    (Landing(home / "landing").pulls("registry")[0].path / "manifest.json").write_text("{")
    done = _ran("prune", "--apply", environment=environment, code=1)
    assert "nothing was pruned, `atom verify` says what to do." in done.stderr
