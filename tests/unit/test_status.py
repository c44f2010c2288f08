"""The matrix of months and sources, and what it says to run."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import duckdb
import pytest
from rich.console import Console

from atom_dagster import attempts, drawing, inputs, status
from atom_dagster.assets import status as status_asset
from atom_dagster.partitions import months_between
from atom_dagster.resources import Home
from atom_dagster.settings import Settings
from atom_dagster.warehouse import Warehouse, create_raw

NOW = datetime(2025, 9, 10, 6, tzinfo=UTC)
HUB, TOKENS = "hub", "openrouter"


@dataclass(frozen=True)
class Outcome:
    """What an attempt came to."""

    by_month: dict[date, list] = field(default_factory=dict)
    failed: dict[date, str] = field(default_factory=dict)
    unobservable: dict[date, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    notes: dict[date, str] = field(default_factory=dict)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings("sample", tmp_path, seed=1, fixed_now=NOW, hub_scope="all", faults=None)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        create_raw(connection)
        yield connection


def month(text: str) -> date:
    return date.fromisoformat(f"{text}-01")


def read(connection: duckdb.DuckDBPyConnection, source: str, *days: str, models: int = 2) -> None:
    """Hub readings of these days."""
    for day in days:
        connection.execute(
            "insert into raw.hf_models (source, model_id, observed_on, pull_id)"
            " select ?, 'm' || n, ?::date, ? from range(?) as r (n)",
            [source, day, f"{source}-{day}", models],
        )


def tokens(
    connection: duckdb.DuckDBPyConnection, first: str, last: str, *, without: Sequence[str] = ()
) -> None:
    """A pull of OpenRouter that asked for a span, loaded in all its months."""
    scope, pull_id = f"{first}_{last}", f"or-{first}-{last}"
    connection.execute(
        "insert into raw.openrouter_tokens select 'openrouter_rankings', day::date, 'm', 1, ?, ?"
        " from range(?::date, ?::date + interval 1 day, interval 1 day) as r (day)"
        " where not list_contains(?::varchar[], day::date::varchar)",
        [NOW.replace(tzinfo=None), pull_id, first, last, list(without)],
    )
    connection.execute(
        "insert into raw.pulls values (?, 'openrouter_rankings', 'w', ?, ?, ?, true, 1, 1, 'p')",
        [pull_id, scope, NOW.replace(tzinfo=None), NOW.replace(tzinfo=None)],
    )
    for found in months_between(date.fromisoformat(first), date.fromisoformat(last)):
        connection.execute(
            "insert or replace into raw.loads values ('openrouter', ?, 'r', [?])", [found, pull_id]
        )


def attempted(connection, scope: str, at: datetime = NOW, **outcome) -> None:
    attempts.record(connection, scope, Outcome(**outcome), at)


def look(connection, settings: Settings) -> dict[tuple[str, str], status.Cell]:
    found = status.examine(connection, settings)
    return {(cell.scope, f"{cell.month:%Y-%m}"): cell for cell in found.cells}


def test_every_month_since_the_first_is_there_for_each_source(connection, settings):
    found = status.examine(connection, settings)
    months = months_between(date(2023, 11, 1), NOW.date())
    for scope in (HUB, TOKENS):
        assert [cell.month for cell in found.of(scope)] == months
    assert [cell.is_open for cell in found.of(HUB)] == [False] * (len(months) - 1) + [True]


def test_a_month_of_readings_says_who_read_it(connection, settings):
    read(connection, "hub_archive", "2025-08-06", "2025-08-27", models=3)
    read(connection, "hub_elsewhere", "2025-08-27", "2025-08-28", models=5)
    read(connection, "hub_live", "2025-09-01")
    cell = look(connection, settings)[HUB, "2025-08"]
    assert (cell.state, cell.days, cell.models, cell.rows) == ("complete", 3, 5, 16)
    assert cell.newest_on == date(2025, 8, 28)
    assert cell.sources == [
        status.Source("hub_archive", 2, 6, date(2025, 8, 27)),
        status.Source("hub_elsewhere", 2, 10, date(2025, 8, 28)),
    ]
    assert status.examine(connection, settings).newest_on()["hub_live"] == date(2025, 9, 1)


@pytest.mark.parametrize(
    ("days", "states"),
    [
        # 45 days apart: as wide as a measurement allows.
        (("2025-06-01", "2025-07-16", "2025-08-30"), {"06": "complete", "07": "complete"}),
        (("2025-06-01", "2025-07-17", "2025-08-30"), {"06": "partial", "07": "partial"}),
        # A month without a reading between near ones is measured; one between far ones is a gap.
        (("2025-05-31", "2025-07-01"), {"05": "complete", "06": "bridged", "07": "partial"}),
        (("2025-05-10", "2025-07-01"), {"05": "partial", "06": "empty"}),
        # What nothing has followed for long is a gap, and what nothing has followed yet no bridge.
        (("2025-07-26", "2025-07-27"), {"07": "complete", "08": "empty"}),
        (("2025-07-26",), {"07": "partial", "08": "empty"}),
        (("2025-06-30", "2025-07-27"), {"06": "complete", "07": "complete"}),
    ],
)
def test_gaps_are_those_that_a_measurement_minds(connection, settings, days, states):
    assert status.max_gap_days() == 45
    read(connection, "hub_archive", *days)
    cells = look(connection, settings)
    assert {name: cells[HUB, f"2025-{name}"].state for name in states} == states


def test_a_gap_is_told_in_every_month_it_touches(connection, settings):
    read(connection, "hub_archive", "2025-03-15", "2025-06-10", "2025-07-20", "2025-08-30")
    cells = look(connection, settings)
    gap = status.Gap(date(2025, 3, 15), date(2025, 6, 10), 87)
    touched = [name for (scope, name), cell in cells.items() if scope == HUB and cell.gaps == [gap]]
    assert touched == ["2025-03", "2025-04", "2025-05", "2025-06"]
    assert not cells[HUB, "2025-07"].gaps


def test_days_missing_at_openrouter_are_not_those_nobody_asked_for(connection, settings):
    tokens(connection, "2025-06-01", "2025-07-10", without=["2025-06-15"])
    cells = look(connection, settings)
    june, july = cells[TOKENS, "2025-06"], cells[TOKENS, "2025-07"]
    assert (june.state, june.days, june.days_expected) == ("partial", 29, 30)
    assert (june.missing_at_source, june.not_held) == ([date(2025, 6, 15)], [])
    assert (july.days, july.missing_at_source, len(july.not_held)) == (10, [], 21)
    # Of the running month only the days that are over.
    assert cells[TOKENS, "2025-09"].days_expected == 9
    assert cells[TOKENS, "2024-12"].state == "not_observable"


def test_missing_at_the_source_is_nothing_to_run_for(connection, settings):
    tokens(connection, "2025-01-01", "2025-09-09", without=["2025-06-15", "2025-07-15"])
    assert [cell.to_do for cell in status.examine(connection, settings).of(TOKENS)] == [None] * 23


def _whole(connection, *, but: Sequence[str] = ()) -> None:
    """A reading a week and all tokens, every month committed but those named."""
    days = [date(2023, 11, 1) + timedelta(weeks=n) for n in range(97)]
    read(connection, "hub_archive", *(str(day) for day in days if f"{day:%Y-%m}" not in but))
    tokens(connection, "2025-01-01", "2025-09-09")
    months = months_between(date(2023, 11, 1), NOW.date())
    attempted(connection, HUB, by_month={m: [] for m in months})
    attempted(
        connection,
        TOKENS,
        by_month={m: [] for m in months if m.year > 2024},
        unobservable={m: f"Not {m:%Y-%m}." for m in months if m.year <= 2024},
    )


def test_nothing_is_to_do_where_all_is_held(connection, settings):
    _whole(connection)
    found = status.examine(connection, settings)
    assert (found.commands, found.holes, found.months_complete) == ([], 0, 22)


def test_commands_are_as_few_as_the_holes_allow(connection, settings):
    _whole(connection)
    connection.execute("delete from raw.attempts where month = '2025-04-01'")
    connection.execute("delete from raw.openrouter_tokens where month(day) = 4")
    connection.execute("delete from raw.loads where month = '2025-04-01'")
    attempted(connection, HUB, failed={month("2025-03"): "The archive's 2025-03 is broken."})
    attempted(
        connection,
        HUB,
        failed={month("2025-06"): "No.", month("2025-02"): "The archive's 2025-02 is broken."},
    )
    found = status.examine(connection, settings)
    options = f" --world sample --home {settings.home}"
    assert [(command.command, command.why) for command in found.commands] == [
        (
            f"atom backfill --from 2025-02 --to 2025-04{options}",
            "Hub 2025-02 … 2025-03 failed: The archive's the month is broken;"
            " OpenRouter 2025-04 not asked for yet",
        ),
        (f"atom backfill --from 2025-06 --to 2025-06{options}", "Hub failed: No"),
    ]
    assert found.holes == 4


def test_only_the_month_itself_is_said_in_words():
    reason = "2025-03 failed: models/2025-03-12/models.parquet is no file; ask 2025-03 again."
    assert status.without_month(reason, month("2025-03")) == (
        "the month failed: models/2025-03-12/models.parquet is no file; ask the month again"
    )


def test_nothing_is_suggested_where_nobody_can_observe(connection, settings):
    _whole(connection, but=["2024-03", "2024-04"])
    empty = {month(text): f"Nobody saw {text}." for text in ("2024-03", "2024-04")}
    attempted(connection, HUB, unobservable=empty)
    found = status.examine(connection, settings)
    assert found.commands == []
    assert {cell.state for cell in found.of(HUB) if cell.month in empty} == {"not_observable"}
    # Its neighbours are held with a gap that nobody can fill.
    assert {cell.state for cell in found.of(HUB) if cell.month == month("2024-02")} == {"partial"}
    [remark] = [r for r in drawing.remarks(found) if "Nobody" in r.text]
    assert (remark.months, remark.text) == (list(empty), "cannot be observed: Nobody saw the month")


@pytest.mark.parametrize(
    ("asked", "to_do"),
    [
        (datetime(2025, 8, 31, 23), "last asked for on 2025-08-31"),
        (datetime(2025, 9, 1), None),
    ],
)
def test_a_month_asked_for_before_its_end_is_asked_for_again(connection, settings, asked, to_do):
    read(connection, "hub_archive", "2025-06-01")
    attempted(connection, HUB, asked.replace(tzinfo=UTC), unobservable={month("2025-08"): "Not yet."})
    assert look(connection, settings)[HUB, "2025-08"].to_do == to_do


@pytest.mark.parametrize(("asked", "to_do"), [(9, None), (8, "last asked for on 2025-09-08")])
def test_the_running_month_is_asked_for_daily(connection, settings, asked, to_do):
    read(connection, "hub_live", f"2025-09-0{asked}")
    at = datetime(2025, 9, asked, 5, tzinfo=UTC)
    attempted(connection, HUB, at, by_month={month("2025-09"): []})
    assert look(connection, settings)[HUB, "2025-09"].to_do == to_do


def test_the_ledger_keeps_the_last_attempt(connection, settings):
    at = NOW - timedelta(days=2)
    attempted(
        connection, HUB, at, failed={month("2025-05"): "Broken."}, errors=["No listing.", "No listing."]
    )
    assert status.examine(connection, settings).faults == {HUB: "No listing."}
    cell = look(connection, settings)[HUB, "2025-05"]
    assert (cell.attempt, cell.reason, cell.attempted_at) == ("failed", "Broken.", at.replace(tzinfo=None))
    attempted(connection, HUB, by_month={month("2025-05"): []})
    assert connection.execute("select * exclude attempted_at from raw.attempts").fetchall() == [
        (HUB, month("2025-05"), "committed", None)
    ]
    assert status.examine(connection, settings).faults == {}


def test_a_month_whose_load_failed_is_not_called_committed(connection):
    may = month("2025-05")
    attempted(connection, HUB, by_month={may: []}, failed={may: "Two rows of one key."})
    assert connection.execute("select state, reason from raw.attempts").fetchall() == [
        ("failed", "Two rows of one key.")
    ]


def test_what_went_wrong_with_a_committed_month_is_shown(connection, settings):
    may = month("2025-05")
    read(connection, "hub_series", "2025-05-07")
    attempted(connection, HUB, by_month={may: []}, notes={may: "No file of 2025-05."})
    cell = look(connection, settings)[HUB, "2025-05"]
    assert (cell.attempt, cell.reason) == ("committed", "No file of 2025-05.")
    told = [remark.text for remark in drawing.remarks(status.examine(connection, settings))]
    assert "loaded on 2025-09-10, but: No file of the month" in told


def test_the_ledger_is_no_input_of_the_marts(connection):
    before = inputs.digest(connection)
    attempted(connection, HUB, failed={month("2025-05"): "Broken."})
    assert inputs.digest(connection) == before


def test_a_warehouse_without_a_ledger_is_understood(connection, settings):
    read(connection, "hub_archive", "2025-08-06")
    connection.execute("drop table raw.attempts")
    cells = look(connection, settings)
    assert (cells[HUB, "2025-08"].attempt, cells[HUB, "2025-08"].to_do) == (None, None)
    assert cells[HUB, "2025-01"].to_do == "not asked for yet"


def test_the_ledger_of_an_earlier_version_is_kept(settings):
    warehouse = Warehouse(settings.home / "warehouse.duckdb")
    settings.home.mkdir(exist_ok=True)
    with duckdb.connect(str(warehouse.path)) as connection:
        create_raw(connection)
        read(connection, "hub_archive", "2025-08-06")
        connection.execute("drop table raw.attempts")
        connection.execute(
            "create table raw.attempts (scope varchar, month date, state varchar not null"
            " check (state in ('committed', 'failed', 'not_observable')), reason varchar,"
            " sources varchar[] not null, attempted_at timestamp not null, primary key (scope, month))"
        )
        connection.execute(
            "insert into raw.attempts values ('hub', '2025-05-01', 'failed', 'Broken.', ['a'], ?)",
            [NOW.replace(tzinfo=None)],
        )
    [may] = [cell for cell in status.survey(settings).of(HUB) if cell.month == month("2025-05")]
    assert (may.attempt, may.reason) == ("failed", "Broken."), "it is read as it stands"
    for _ in range(2):
        with warehouse.writing("test") as connection:
            attempted(connection, HUB, failed={month("2025-06"): "No."})
    with warehouse.reading("test") as connection:
        rows = connection.execute("from raw.attempts order by month").fetchall()
    at = NOW.replace(tzinfo=None)
    assert rows == [
        (HUB, month("2025-05"), "failed", "Broken.", at),
        (HUB, month("2025-06"), "failed", "No.", at),
    ]


def test_while_nothing_is_loaded(settings):
    found = status.survey(settings)
    assert not found.is_loaded
    assert [command.command for command in found.commands] == [
        f"atom run --world sample --home {settings.home}"
    ]
    assert len(found.cells) == 46
    json.dumps(found.as_json(), default=lambda value: value.isoformat())


def test_it_waits_for_a_writer_and_says_for_whom(settings):
    warehouse = Warehouse(settings.home / "warehouse.duckdb")
    with warehouse.writing("load of hub"):
        pass
    descriptor = warehouse.lock.acquire("load of hub")
    heard: list[str] = []

    def released(who: str) -> None:
        heard.append(who)
        os.close(descriptor)

    assert status.survey(settings, on_wait=released).is_loaded
    assert [who.startswith("load of hub (process ") for who in heard] == [True]


def test_the_asset_shows_the_same(settings, monkeypatch: pytest.MonkeyPatch):
    with Warehouse(settings.home / "warehouse.duckdb").writing("test") as connection:
        _whole(connection, but=["2024-03", "2024-04"])
        attempted(connection, HUB, failed={month("2024-03"): "A | bar."})
    monkeypatch.setattr(Home, "settings", property(lambda _: settings))
    result = dg.materialize([status_asset.status], resources={"home": Home()})
    [event] = result.get_asset_materialization_events()
    metadata = {name: value.value for name, value in event.materialization.metadata.items()}
    assert (metadata["holes"], metadata["months complete"]) == (1, 19)
    assert metadata["age of hub_archive (days)"] == 7
    assert metadata["newest in openrouter_rankings"] == "2025-09-09"
    [legend, _, head, rule, *rows] = str(metadata["matrix"]).splitlines()
    assert "✗ failed" in legend
    assert len(rows) == 23
    assert {row.count("|") for row in (head, rule, *rows)} == {13}
    assert rows[0].startswith("| 2025-09 | ● 1 | 2 |")
    assert "failed on 2025-09-10: A \\| bar" in str(metadata["remarks"])
    assert "* `atom backfill --from 2024-03 --to 2024-03 --world sample" in str(metadata["to run"])


@pytest.mark.parametrize(("width", "has_rows"), [(80, False), (119, False), (120, True), (200, True)])
def test_it_fits_a_terminal(connection, settings, width: int, has_rows: bool):
    _whole(connection, but=["2024-03", "2024-04"])
    read(connection, "hub_elsewhere", "2025-08-27", "2025-08-28", models=5)
    read(connection, "hub_live", "2025-08-28")
    attempted(connection, HUB, failed={month("2025-03"): "A long story about what did not come. " * 4})
    console = Console(width=width, file=io.StringIO(), highlight=False)
    drawing.draw(status.examine(connection, settings), console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    lines = text.splitlines()
    assert max(len(line) for line in lines if not line.startswith("atom ")) <= width
    assert "…" not in "".join(line for line in lines if line[:2] == "20"), "no cell is cut"
    assert ("rows" in lines[1]) == has_rows
    [august] = [line for line in lines if line.startswith("2025-08")]
    assert "archive, elsewhere," in august
    assert sum(line[:4] in {"2023", "2024", "2025"} for line in lines) == 23
    for sign in ("●", "◐", "✗", "·"):
        assert sign in text
