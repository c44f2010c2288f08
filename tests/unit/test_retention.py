"""What may be removed from landing: never the only copy of an observation."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from atom_dagster import removal, retention
from atom_dagster.landing import DRAFTS, PRUNED, Landing, Pull, locked
from atom_dagster.partitions import month_of
from atom_dagster.settings import Settings
from atom_dagster.sources.tables import PULLS, TABLES
from atom_dagster.warehouse import Warehouse

DAY = date(2026, 5, 23)
NOW = datetime(2026, 5, 23, 20, tzinfo=UTC)

Rows = Sequence[Mapping[str, Any]]


@dataclass
class Home:
    """A landing and a warehouse, filled by hand."""

    settings: Settings

    @property
    def landing(self) -> Landing:
        return Landing(self.settings.home / "landing")

    def land(
        self,
        source: str,
        scope: str,
        hour: int,
        facts: dict[str, Any],
        as_of: datetime | None = None,
    ) -> Pull:
        """A pull made at an hour of the day, with a body of its own."""
        moment = NOW.replace(hour=hour)
        with self.landing.open(source=source, scope=scope, world="test", now=lambda: moment) as draft:
            draft.add("page.json", f"{source} {hour} {as_of}".encode(), request="/x")
            return draft.commit(as_of=as_of, facts=facts)

    def load(self, pull: Pull, months: Sequence[date] | None = None, **rows: Rows) -> None:
        """Rows by table as a load leaves them, and the pull in these months (all of its own)."""
        with Warehouse(self.settings.home / "warehouse.duckdb").writing("test") as connection:
            self._insert(connection, "pulls", pl.DataFrame([pull.record()], schema=PULLS.schema))
            for table, found in rows.items():
                common = {"pull_id": pull.pull_id, "source": pull.source, "as_of": pull.record()["as_of"]}
                schema = TABLES[table].schema
                frame = pl.DataFrame(
                    [{name: {**common, **row}.get(name) for name in schema} for row in found],
                    schema=schema,
                )
                self._insert(connection, table, frame)
            for month in months if months is not None else retention.months_of(pull) or []:
                connection.execute(
                    "insert into raw.loads values ('test', ?, 'r', [?])"
                    " on conflict do update set pull_ids = list_concat(pull_ids, excluded.pull_ids)",
                    [month, pull.pull_id],
                )

    def _insert(self, connection: duckdb.DuckDBPyConnection, table: str, frame: pl.DataFrame) -> None:
        connection.register("incoming", frame)
        connection.execute(f"insert into raw.{table} by name from incoming")
        connection.unregister("incoming")

    def crawl(self, hour: int, *models: str, **rows: Rows) -> Pull:
        """A live crawl of DAY that read these models, landed and loaded."""
        pull = self.land("hub_live", DAY.isoformat(), hour, {"observed_on": DAY.isoformat()})
        self.load(pull, hf_models=_models(*models), **rows)
        return pull

    def prune(self, **options: Any) -> retention.Pruned:
        return retention.prune(self.settings, **options)


def _models(*names: str, day: date = DAY) -> Rows:
    return [{"model_id": name, "observed_on": day} for name in names]


def _edge(**more: Any) -> Rows:
    return [
        {
            "model_id": "u/child",
            "relation": "finetune",
            "base_model_id": "lab/base",
            "observed_on": DAY,
            "created_at": datetime(2026, 1, 1),
            **more,
        }
    ]


def _tokens(first: date, days: int, *slugs: str) -> Rows:
    return [
        {"day": first + timedelta(days=n), "model_permaslug": slug, "total_tokens": 1}
        for n in range(days)
        for slug in slugs
    ]


def _names(items: Sequence[retention.Item]) -> list[str]:
    return sorted(item.name.partition("/")[2] for item in items)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(Settings("sample", tmp_path, seed=1, fixed_now=NOW, hub_scope="all", faults=None))


def test_a_crawl_whose_models_a_later_one_of_the_day_read_goes(home: Home):
    first = home.crawl(6, "a", "b")
    home.crawl(9, "a", "b", "c")
    pruned = home.prune()
    assert _names(pruned.gone) == [first.pull_id]
    assert pruned.gone[0].kind == "same_day"
    assert pruned.gone[0].bytes > 0
    assert pruned.kept == []
    assert first.path.exists(), "a dry run removes nothing"


def test_a_crawl_that_alone_read_a_model_stays(home: Home):
    home.crawl(6, "a", "gone-at-noon")
    home.crawl(9, "a")
    pruned = home.prune()
    assert pruned.gone == []
    assert [item.why for item in pruned.kept] == ["it alone holds 1 rows of raw.hf_models"]


def test_of_crawls_that_say_the_same_the_last_stays(home: Home):
    ids = [home.crawl(hour, "a", "b").pull_id for hour in (6, 9, 12)]
    assert _names(home.prune().gone) == sorted(ids[:2])


def test_two_crawls_do_not_justify_each_other(home: Home):
    first = home.crawl(6, "a", "x")
    second = home.crawl(9, "x", "y")
    third = home.crawl(12, "a", "y")
    # x is in the first and the second: only the first may go, since only then every key stays once.
    assert _names(home.prune().gone) == [first.pull_id]
    assert _names(home.prune().kept) == [second.pull_id]
    assert third.path.exists()


def test_crawls_of_other_days_say_nothing_of_this_one(home: Home):
    home.crawl(6, "a")
    later = home.land("hub_live", "2026-05-24", 9, {"observed_on": "2026-05-24"})
    home.load(later, hf_models=_models("a", day=date(2026, 5, 24)))
    pruned = home.prune()
    assert pruned.gone == pruned.kept == []


@pytest.mark.parametrize(
    ("before", "after", "goes"),
    [
        ({"downloads_all_time": 7}, {"downloads_all_time": 7}, True),
        ({"downloads_all_time": 7}, {"downloads_all_time": 9}, True),
        ({"downloads_all_time": 9}, {"downloads_all_time": 7}, False),
        ({"downloads_30d": 9}, {"downloads_30d": 7}, False),
        ({"hf_id": "1"}, {"hf_id": "2"}, False),
        ({"base_hf_id": "1"}, {}, False),
        ({"relation": "adapter"}, {}, False),
    ],
)
def test_an_edge_must_be_said_again_with_no_fewer_downloads(home: Home, before, after, goes: bool):
    first = home.crawl(6, "a", hf_derivatives=_edge(**before))
    home.crawl(9, "a", hf_derivatives=_edge(**after))
    pruned = home.prune()
    assert _names(pruned.gone if goes else pruned.kept) == [first.pull_id]
    assert goes or pruned.kept[0].why == "it alone holds 1 rows of raw.hf_derivatives"


def test_a_probe_is_an_observation(home: Home):
    home.crawl(6, "a", hf_probes=[{"model_id": "lost", "observed_on": DAY, "status_code": 404}])
    home.crawl(9, "a")
    assert home.prune().kept[0].why == "it alone holds 1 rows of raw.hf_probes"


def test_a_pull_that_is_not_loaded_is_never_spoken_of(home: Home):
    home.land("hub_live", DAY.isoformat(), 6, {"observed_on": DAY.isoformat()})
    home.crawl(9, "a")
    pruned = home.prune()
    assert pruned.gone == pruned.kept == []


def test_a_later_pull_that_is_not_loaded_justifies_nothing(home: Home):
    home.crawl(6, "a")
    home.land("hub_live", DAY.isoformat(), 9, {"observed_on": DAY.isoformat()})
    assert home.prune().gone == []


def test_a_pull_loaded_in_some_of_its_months_stays(home: Home):
    facts = {"first": "2025-01-01", "last": "2025-02-28"}
    old, new = (
        home.land("openrouter_rankings", "2025-01-01_2025-02-28", hour, facts, NOW - timedelta(days=age))
        for hour, age in ((6, 90), (9, 1))
    )
    # Its February has a model that the new one lacks, and is not loaded: raw does not tell.
    home.load(old, [date(2025, 1, 1)], openrouter_tokens=_tokens(date(2025, 1, 1), 31, "m"))
    home.load(new, openrouter_tokens=_tokens(date(2025, 1, 1), 59, "m"))
    pruned = home.prune(vintages_older_than=30)
    assert pruned.gone == []
    assert [item.why for item in pruned.kept] == ["it is not wholly loaded; run `atom run`"]


@pytest.mark.parametrize("harm", ["byte", "folder"])
def test_a_later_pull_whose_bytes_are_damaged_justifies_nothing(home: Home, harm: str):
    home.crawl(6, "a")
    later = home.crawl(9, "a")
    assert len(home.prune().gone) == 1
    if harm == "byte":
        later.file(later.pages[0]).write_bytes(b"")
    else:
        shutil.rmtree(later.path)
    assert home.prune(is_applied=True).gone == []


def test_behind_a_damaged_pull_the_sound_ones_are_compared(home: Home):
    first = home.crawl(6, "a")
    second = home.crawl(9, "a")
    third = home.crawl(12, "a")
    third.file(third.pages[0]).unlink()
    assert _names(home.prune(is_applied=True).gone) == [first.pull_id]
    assert second.path.exists()


def test_an_archive_pulled_again_with_other_content(home: Home):
    facts = {"folder_date": "2026-05-20", "folder_date_is": "observed_on"}
    day = date(2026, 5, 20)
    pulls = [home.land("hub_archive", "2026-05-20", hour, facts) for hour in (6, 9)]
    home.load(pulls[0], hf_models=_models("a", day=day))
    home.load(pulls[1], hf_models=_models("a", "b", day=day))
    pruned = home.prune()
    assert _names(pruned.gone) == [pulls[0].pull_id]
    assert pruned.gone[0].kind == "pulled_again"


def test_an_archive_that_does_not_tell_its_months_stays(home: Home):
    pulls = [home.land("hub_elsewhere", "r1", hour, {}) for hour in (6, 9)]
    for pull in pulls:
        home.load(pull, [month_of(DAY)], hf_models=_models("a"))
    assert [item.why for item in home.prune().kept] == ["it is not wholly loaded; run `atom run`"]


@pytest.fixture
def vintages(home: Home) -> list[Pull]:
    """Ages 90, 60 and 1 day: the oldest is held in full by the newest, the second not."""
    first = date(2025, 1, 1)
    pulls = []
    for hour, age, days, slugs in ((6, 90, 10, ["m"]), (9, 60, 10, ["m", "dropped"]), (12, 1, 20, ["m"])):
        facts = {"first": "2025-01-01", "last": f"2025-01-{days}"}
        pull = home.land(
            "openrouter_rankings", f"2025-01-01_2025-01-{days}", hour, facts, NOW - timedelta(days=age)
        )
        home.load(pull, openrouter_tokens=_tokens(first, days, *slugs))
        pulls.append(pull)
    return pulls


@pytest.mark.parametrize(
    ("days", "gone", "kept"),
    [(None, [], []), (91, [], []), (89, [0], []), (59, [0], [1]), (1, [0], [1])],
)
def test_vintages_go_only_when_asked_and_held(home: Home, vintages: list[Pull], days, gone, kept):
    pruned = home.prune(vintages_older_than=days)
    assert _names(pruned.gone) == [vintages[n].pull_id for n in gone]
    assert _names(pruned.kept) == [vintages[n].pull_id for n in kept]


def test_what_goes_leaves_its_manifest_and_its_id_is_not_given_again(home: Home):
    first = home.crawl(6, "a")
    home.crawl(9, "a")
    home.prune(is_applied=True)
    assert not first.path.exists()
    told = json.loads((home.landing.root / PRUNED / f"{first.pull_id}.json").read_text())
    assert told["pages"][0]["sha256"] == first.pages[0].sha256
    assert told["taken_out"] == {"at": NOW.isoformat(), "why": "the Hub was crawled again later that day"}
    again = home.land("hub_live", DAY.isoformat(), 6, {"observed_on": DAY.isoformat()})
    assert again.pull_id == f"{first.pull_id}-2"
    assert home.landing.verify(again) == []


def test_a_killed_removal_leaves_nothing_half_removed(home: Home, monkeypatch: pytest.MonkeyPatch):
    first = home.crawl(6, "a")
    second = home.crawl(9, "a")
    real = shutil.rmtree

    def killed(folder: Path, **_: Any) -> None:
        if folder.exists():
            next(folder.iterdir()).unlink()
            raise KeyboardInterrupt

    monkeypatch.setattr(removal.shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        home.prune(is_applied=True)
    assert [pull.pull_id for pull in home.landing.pulls()] == [second.pull_id]
    assert [folder.name for folder in removal.remains(home.landing)] == [first.pull_id]
    monkeypatch.setattr(removal.shutil, "rmtree", real)
    assert home.prune(is_applied=True).gone == []
    assert removal.remains(home.landing) == []


def test_a_pull_that_another_process_makes_again_stays(home: Home):
    first = home.crawl(6, "a")
    home.crawl(9, "a")
    folder = home.landing.root / DRAFTS
    with locked(folder / f"hub_live-{DAY}.lock", 0):
        pruned = home.prune(is_applied=True)
    assert (_names(pruned.gone), _names(pruned.kept)) == ([], [first.pull_id])
    assert "Another process" in pruned.kept[0].why
    assert first.path.exists()


def test_drafts_of_earlier_days_go(home: Home):
    for day in (21, 23):
        moment = NOW.replace(day=day)
        # The later draft's opening would sweep the earlier one away.
        with Landing(home.settings.home / f"{day}").open(
            source="hub_live", scope=f"2026-05-{day}", world="test", now=lambda moment=moment: moment
        ) as draft:
            draft.add("page.json", b"[]", request="/x")
        shutil.copytree(
            home.settings.home / f"{day}" / DRAFTS, home.landing.root / DRAFTS, dirs_exist_ok=True
        )
    pruned = home.prune(is_applied=True)
    assert [(item.kind, item.name) for item in pruned.gone] == [("draft", f"{DRAFTS}/hub_live-2026-05-21")]
    assert [draft.name for draft in removal.drafts(home.landing)] == ["hub_live-2026-05-23"]
