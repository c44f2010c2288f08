"""Bad input through the whole job: what is bad is named or set aside, and nothing else suffers.

Faults are the loopback world's (``worlds.server``). The job runs in this process, through the command
line's own entry, so that the pauses between attempts can be left out.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest

from atom_dagster import cli, history
from atom_dagster.instance import open_instance
from atom_dagster.settings import Settings
from atom_dagster.sources import archive, http
from atom_dagster.worlds import open_world
from atom_dagster.worlds.corruption import spoil
from atom_dagster.worlds.sample import KEY
from tests.conftest import Finished, atom_environment, copy_home
from tests.integration.test_killed import assert_same_marts

SECRETS = {"HF_TOKEN": "hf_MineAlone123", "OPENROUTER_API_KEY": "sk-or-MineAlone456"}
CLOSED = "2026-10"
OPEN = "2026-11"
"""The sample's current month, the one in which all sources are asked."""

CORRECTIONS = "model_id,hf_created_at,actual_release_date,notes"

Rule = dict[str, Any]


@dataclass(frozen=True)
class Ended:
    """How the job ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def complaints(self) -> list[str]:
        return [line for line in self.stderr.splitlines() if line.startswith("atom: ")]


@dataclass(frozen=True)
class Place:
    """A home of one's own with a finished world in it, and the command line over it."""

    home: Path
    run: Callable[..., Ended]

    def forget(self, *months: str, rows: bool = False) -> None:
        """Remove the archive's pulls of these months from landing, and their rows as well."""
        for month in months:
            for pull in (self.home / "landing" / "hub_archive").glob(f"hub_archive-{month}-*"):
                shutil.rmtree(pull)
            if rows:
                with duckdb.connect(str(self.home / "warehouse.duckdb")) as connection:
                    connection.execute("delete from raw.loads where month = ?", [f"{month}-01"])
                    connection.execute(
                        "delete from raw.hf_models where strftime(observed_on, '%Y-%m') = ?", [month]
                    )

    def warehouse(self, sql: str, *parameters: object) -> list[tuple]:
        with duckdb.connect(str(self.home / "warehouse.duckdb"), read_only=True) as connection:
            return connection.execute(sql, list(parameters)).fetchall()

    def published(self, sql: str, *parameters: object) -> list[tuple]:
        with duckdb.connect(str(self.home / "published" / "atom.duckdb"), read_only=True) as connection:
            return connection.execute(sql, list(parameters)).fetchall()

    def build(self) -> str:
        return (self.home / "published").resolve().name

    def held(self) -> dict[str, Any]:
        """Everything that a bad pull must leave as it was."""
        tables = self.warehouse(
            "select table_name from duckdb_tables()"
            " where schema_name = 'raw' and table_name != 'attempts' order by 1"
        )
        rows = {
            table: self.warehouse(f"select count(*), bit_xor(hash(t)) from raw.{table} as t")
            for (table,) in tables
        }
        landed = sorted(pull.name for pull in (self.home / "landing").glob("[!.]*/*"))
        return {"rows": rows, "landed": landed, "build": self.build()}


@pytest.fixture
def place(
    sample: Finished,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[Place]:
    """The finished sample world, copied; pauses between attempts take no time here."""
    home = tmp_path / "home"
    copy_home(sample.home, home)
    faults = tmp_path / "faults.json"
    for name in set(os.environ) - set(atom_environment(home)):
        monkeypatch.delenv(name)
    monkeypatch.setattr(http.PATIENCE, "base", 0.0)
    monkeypatch.setattr(http.PATIENCE, "sleep", lambda _: None)

    def run(*arguments: str, faults_are: list[Rule] | None = None, **variables: str) -> Ended:
        faults.write_text(json.dumps(faults_are or []))
        environment = atom_environment(home, ATOM_FAULTS=str(faults), **SECRETS) | variables
        # The command line writes to the environment; the test's end takes it back.
        for name in ("ATOM_WORLD", "ATOM_SEED", "DAGSTER_HOME", "ATOM_ACCEPT_SHRINK"):
            monkeypatch.setenv(name, "")
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(list(arguments))
        out, err = capfd.readouterr()
        for text in (out, err):
            assert "Traceback" not in text
            assert not [secret for secret in (*SECRETS.values(), KEY) if secret in text]
        return Ended(int(ended.value.code or 0), out, err)

    yield Place(home, run)
    shutil.rmtree(home, ignore_errors=True)


def _asked(ended: Ended, code: int, *sentences: str) -> None:
    """The exit code, and one complaint for each sentence and none besides."""
    assert ended.code == code, ended.stderr
    for sentence in sentences:
        assert any(sentence in line for line in ended.complaints), (sentence, ended.stderr)
    assert all(line.endswith(".") for line in ended.complaints), ended.stderr


# A source that fails: exit code 3, its sentence, and everything held stays.

LISTING = "tree/main/models"
FAR = "2026-08"
"""A month whose rankings are held and restated no more, so that only the archive is asked."""
FILES = f"resolve/main/models/{FAR}"
EVERY = {
    "unreachable": ({"drop": True}, "cannot be reached"),
    "401": ({"status": 401}, "refused"),
    "403": ({"status": 403}, "refused"),
    "429 storm": ({"status": 429, "retry_after": 0}, "its quota is used up (429)"),
    "429 and a long wait": ({"status": 429, "retry_after": 4000}, "asks us to wait 4000 s"),
    "500s": ({"status": 500, "retry_after": 0}, "keeps answering with status 500"),
    "a web page": ({"body": "html"}, "a web page instead of"),
    "nothing": ({"body": "[]"}, ""),
}


@pytest.mark.parametrize("fault", EVERY)
def test_a_service_that_fails_is_named_and_costs_nothing(place: Place, fault: str):
    rule, sentence = EVERY[fault]
    place.forget(CLOSED)
    before = place.held()
    ended = place.run("backfill", "--from", CLOSED, "--to", OPEN, faults_are=[rule])
    _asked(ended, 3, sentence)
    for service in ("The registry", "The Hub", "archive", "OpenRouter"):
        assert any(service in line for line in ended.complaints), (service, ended.stderr)
    assert len(ended.complaints) == 4
    assert f"{CLOSED}: " in ended.stderr
    assert "not observable" not in ended.stderr
    assert place.held() == before


def _spoilt_file(place: Place, day: str, *ways: str) -> list[Rule]:
    """Rules by which the archive's file of a day is spoilt, and listed with the size it then has."""
    good = (place.home / "world").rglob(f"archive/{day}.parquet")
    body = next(iter(good)).read_bytes()
    bad = spoil(body, "application/octet-stream", ways)
    return [
        {"path": LISTING, "replace": {f'"size":{len(body)},': f'"size":{len(bad)},'}},
        {"path": f"resolve/main/models/{day}", "corrupt": list(ways)},
    ]


PARTS = {
    "archive: file unreachable": ([{"path": FILES, "drop": True}], "cannot be reached"),
    "archive: file refused": ([{"path": FILES, "status": 403}], "refused"),
    "archive: file is a web page": ([{"path": FILES, "body": "html"}], "bytes"),
    "archive: file cut short": ([{"path": FILES, "truncate": True}], "bytes"),
    "archive: file torn": ([{"path": FILES, "torn": True}], ""),
    "archive: file with a renamed column": (["rename:likes=Likes"], "a field 'Likes' where 'likes'"),
    "archive: file without a column": (["drop:downloads"], "lacks the field 'downloads'"),
    "archive: file without a row": (["no_rows"], "holds no model"),
    "archive: file of far fewer rows": (["half_rows", "half_rows"], "less than half"),
    "hub: gzip cut short": ([{"path": "hub/api/models", "truncate": True}], "a torn answer"),
    "hub: no model": ([{"path": "hub/api/models", "corrupt": ["no_rows"]}], "listed no model at all"),
    "hub: a renamed field": (
        [{"path": "hub/api/models", "corrupt": ["rename:downloadsAllTime=downloads_all_time"]}],
        "'downloadsAllTime'",
    ),
    "rankings: gzip cut short": ([{"path": "rankings-daily", "truncate": True}], "a torn answer"),
    "rankings: no row": ([{"path": "rankings-daily", "corrupt": ["no_rows"]}], "an empty list"),
    "rankings: a renamed field": (
        [{"path": "rankings-daily", "corrupt": ["rename:total_tokens=tokens"]}],
        "lack the field 'total_tokens'",
    ),
    "catalogue: no entry": ([{"path": "openrouter/api/v1/models", "corrupt": ["no_rows"]}], "an empty list"),
    "catalogue: a renamed field": (
        [{"path": "openrouter/api/v1/models", "corrupt": ["rename:canonical_slug=slug"]}],
        "lack the field 'canonical_slug'",
    ),
    "registry: a wrong header": (
        [{"path": "registry/models.csv", "replace": {"org,model,modelId": "org,name,modelId"}}],
        "has the header 'org,name,modelId'",
    ),
    "registry: no row": ([{"path": "registry/models.csv", "body": "org,model,modelId\n"}], "has no row"),
    "registry: gzip cut short": ([{"path": "registry/models.csv", "truncate": True}], "a torn answer"),
}  # fmt: skip


@pytest.mark.parametrize("fault", PARTS)
def test_a_bad_pull_is_named_and_costs_nothing(place: Place, fault: str):
    rules, sentence = PARTS[fault]
    place.forget(FAR)
    if isinstance(rules[0], str):
        days = sorted(file.stem for file in (place.home / "world").glob(f"*/archive/{FAR}-*.parquet"))
        assert len(days) >= 4
        rules = [rule for day in days for rule in _spoilt_file(place, day, *rules)]
    # The second span is what the first run asked the rankings for last: the same answer is no news.
    first, last = (FAR, FAR) if fault.startswith("archive") else ("2026-09", OPEN)
    before = place.held()
    ended = place.run("backfill", "--from", first, "--to", last, faults_are=rules)
    _asked(ended, 3, sentence)
    assert len(ended.complaints) == 1
    assert place.held() == before


def test_a_shrunken_snapshot_is_accepted_by_name(place: Place, monkeypatch: pytest.MonkeyPatch):
    place.forget(FAR)
    day = f"{FAR}-12"
    rules = _spoilt_file(place, day, "half_rows", "half_rows")
    asked = ("backfill", "--from", FAR, "--to", "2026-09")
    ended = place.run(*asked, faults_are=rules)
    _asked(ended, 3, f"run again with --accept-shrink {day}")
    monkeypatch.setenv("DAGSTER_HOME", "")  # which open_instance sets
    with open_instance(Settings.from_env()) as instance:
        assert history.asked(instance, "ingest")[0].done == [date(2026, 9, 1)], "its neighbour is closed"
    ended = place.run(*asked, "--accept-shrink", day, "--accept-shrink", f"{FAR}-13", faults_are=rules)
    _asked(ended, 0)
    assert [line for line in ended.stderr.splitlines() if "changed nothing" in line] == [
        f"  warns: --accept-shrink {FAR}-13 changed nothing: no snapshot of that day was pulled that holds"
        " less than half of the one before."
    ]
    [manifest] = (place.home / "landing" / "hub_archive").glob(f"hub_archive-{day}-*/manifest.json")
    facts = json.loads(manifest.read_text())["facts"]
    assert facts["shrink_accepted_from_rows"] > 2 * facts["rows"]
    [(rows,)] = place.warehouse("select count(*) from raw.hf_models where observed_on = ?", day)
    assert rows == facts["rows"]


def test_an_archive_that_answers_for_no_file_is_not_asked_for_all_of_them(
    place: Place, monkeypatch: pytest.MonkeyPatch
):
    place.forget("2026-07", FAR)
    asked: list[str] = []
    pull = archive.pull

    def counted(endpoints: Any, landing: Any, snapshot: archive.Snapshot, **options: Any) -> Any:
        asked.append(snapshot.path)
        return pull(endpoints, landing, snapshot, **options)

    monkeypatch.setattr(archive, "pull", counted)
    rules: list[Rule] = [{"path": "resolve/main/models", "status": 500, "retry_after": 0}]
    one = {"ATOM_PULL_WORKERS": "1"}
    ended = place.run("backfill", "--from", "2026-07", "--to", FAR, faults_are=rules, **one)
    _asked(ended, 3, "2026-07 … 2026-08: The Hub's archive keeps answering with status 500")
    assert len(asked) == 3
    asked.clear()
    rules = [{"path": "resolve/main/models", "status": 429, "retry_after": 4000}]
    ended = place.run("backfill", "--from", "2026-07", "--to", FAR, faults_are=rules, **one)
    _asked(ended, 3, "2026-07 … 2026-08: The Hub's archive asks us to wait 4000 s")
    assert len(asked) == 1


def test_what_loaded_is_published_although_sources_failed(place: Place):
    """The registry and OpenRouter fail; the Hub, whose live pull reads the registry's lists, does not."""
    rows = place.warehouse("select count(*) from raw.hf_models where strftime(observed_on, '%Y-%m') = ?", FAR)
    place.forget(FAR, rows=True)
    before = place.build()
    rules: list[Rule] = [{"path": "^/registry", "status": 401}, {"path": "^/openrouter", "status": 403}]
    # A day later, so that there is something new to load and to build.
    ended = place.run(
        "backfill", "--from", FAR, "--to", OPEN, faults_are=rules, ATOM_NOW="2026-11-13T06:00:00Z"
    )
    _asked(ended, 3, "The registry refused", "OpenRouter refused")
    assert "Published build" in ended.stdout
    assert place.build() != before
    [(newest,)] = place.published("select max(observed_on) from marts.observations")
    assert newest == date(2026, 11, 13)
    again = place.warehouse(
        "select count(*) from raw.hf_models where strftime(observed_on, '%Y-%m') = ?", FAR
    )
    assert again == rows
    # The registry's lists of last time were used: models missing from the crawl were asked for by name.
    assert place.warehouse(
        "select count(*) > 0 from raw.hf_probes where observed_on = date '2026-11-13'"
    ) == [(True,)]


def _model_without_size_and_date(place: Place, now: str) -> Rule:
    """A rule that slips a model of an unknown lab into the live list, with as little as can be."""
    settings = Settings.from_env(atom_environment(place.home, ATOM_NOW=now))
    with open_world(settings) as endpoints:
        page = httpx.get(f"{endpoints.hub}/api/models?limit=1000&sort=createdAt&direction=-1").text
    second = f'{{"_id":"{json.loads(page)[1]["_id"]}"'
    assert page.count(second) == 1
    thing = {"_id": "f" * 24, "id": "nobody-knows/Thing", "downloads": 5, "downloadsAllTime": 9}
    row = json.dumps(thing | {"likes": 0, "tags": []})
    return {"path": "hub/api/models", "replace": {second: f"{row},{second}"}}


def test_bad_rows_are_set_aside_and_their_neighbours_stay(place: Place):
    """One bad row of every kind in every source; a lab nobody knows; a model without size or date."""
    place.forget(FAR)
    days = sorted(file.stem for file in (place.home / "world").glob(f"*/archive/{FAR}-*.parquet"))
    ways, later = ["negative", "overflow", "future", "no_ids"], "2026-11-13T06:00:00Z"
    rules = [rule for day, way in zip(days, ways, strict=False) for rule in _spoilt_file(place, day, way)]
    rules += [
        _model_without_size_and_date(place, later),
        {"path": "hub/api/models", "times": 1, "corrupt": ["future"]},
        {"path": "hub/api/models.*cursor", "times": 1, "corrupt": ["not_a_number"]},
        {"path": "hub/api/models.*cursor", "after": 1, "times": 1, "corrupt": ["duplicates"]},
        {"path": "rankings-daily.*2026-11", "corrupt": ["overflow"]},
        {
            "path": "registry/models.csv",
            "replace": {
                "org,model,modelId\n": "org,model,modelId\n"
                "nobody-knows,Thing,nobody-knows/Thing\n,Nameless,\nnobody-knows,Thing,nobody-knows/Thing\n"
            },
        },
        {
            "path": "model_parameters.csv",
            "replace": {"is_moe,notes\n": "is_moe,notes\na/negative,-1,,false,\na/text,many,,false,\n"},
        },
        {
            "path": "release_date_corrections.csv",
            "replace": {f"\n{CORRECTIONS}\n": f"\n{CORRECTIONS}\na/x,2026-01-01,2035-01-01,\n"},
        },
        {"path": "openrouter/api/v1/models", "corrupt": ["future"]},
    ]
    before = place.warehouse("select observed_on, count(*) from raw.hf_models group by all")
    ended = place.run("backfill", "--from", FAR, "--to", OPEN, faults_are=rules, ATOM_NOW=later)
    _asked(ended, 0)
    assert ended.complaints == []
    aside = place.warehouse(
        "select source, table_name, reason, count(*)"
        " from raw.quarantine join raw.pulls using (pull_id, source)"
        " where fetched_at >= timestamp '2026-11-13' group by all"
    )
    found = {(source, table, reason): count for source, table, reason, count in aside}
    for expected in (
        ("hub_archive", "hf_models", "negative_count"),
        ("hub_archive", "hf_models", "overflow"),
        ("hub_archive", "hf_models", "future_date"),
        ("hub_archive", "hf_models", "missing_id"),
        ("hub_live", "hf_models", "not_a_number"),
        ("hub_live", "hf_models", "duplicate"),
        ("hub_live", "hf_models", "future_date"),
        ("openrouter_rankings", "openrouter_tokens", "overflow"),
        ("openrouter_models", "openrouter_models", "future_date"),
        ("registry", "tracked_models", "missing_id"),
        ("registry", "tracked_models", "duplicate"),
        ("registry", "model_parameters", "negative_count"),
        ("registry", "model_parameters", "not_a_number"),
        ("registry", "release_date_corrections", "future_date"),
    ):
        assert found.pop(expected, 0) == 1, (expected, aside)
    assert not found, found
    after = dict(place.warehouse("select observed_on, count(*) from raw.hf_models group by all"))
    lost = {day: rows - after[day] for day, rows in before if rows != after[day]}
    assert lost == dict.fromkeys(map(date.fromisoformat, days[: len(ways)]), 1)
    # Nothing of the bad values reaches the marts.
    assert place.published("select count(*) from marts.models where release_date > date '2026-11-13'") == [
        (0,)
    ]
    assert place.published("select min(tokens) >= 0 from marts.inference_by_model_monthly") == [(True,)]
    [unknown] = place.published(
        "select organization, region, country, total_params_b, size_bucket, release_date, tracked_list,"
        " last_observed_on from marts.models where model_id = 'nobody-knows/Thing'"
    )
    assert unknown == ("nobody-knows", "unknown", None, None, None, None, "core", date(2026, 11, 13))


def test_a_month_that_contradicts_itself_keeps_the_old_build_published(place: Place):
    """All counters of a month are impossible: loaded, refused by name, and mended by a better file."""
    before, marts = place.build(), place.home / "published" / "atom.duckdb"
    good = place.home.parent / "good.duckdb"
    shutil.copy(marts, good)
    place.forget(FAR)
    days = sorted(file.stem for file in (place.home / "world").glob(f"*/archive/{FAR}-*.parquet"))
    rules = [rule for day in days for rule in _spoilt_file(place, day, "counters")]
    ended = place.run("backfill", "--from", FAR, "--to", FAR, faults_are=rules)
    _asked(ended, 1, "counters_agree")
    # One sentence of the rule; no source is said to have failed.
    assert len(ended.complaints) == 1
    assert ended.complaints[0].startswith("atom: Nothing was published, because a blocking rule is violated.")
    assert place.build() == before
    assert "Still published" in ended.stdout
    # The archive mends the files: they are pulled again, and all is as before.
    ended = place.run("backfill", "--from", FAR, "--to", FAR, ATOM_NOW="2026-11-12T07:00:00Z")
    _asked(ended, 0)
    assert ended.complaints == []
    assert place.build() != before
    assert_same_marts(good, marts)
