"""The writer's lock, and replacing a month in one transaction."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

import duckdb
import polars as pl
import pytest

from atom_dagster.sources import BadAnswer
from atom_dagster.sources.tables import OPENROUTER_TOKENS, QUARANTINE, TABLES, Reading
from atom_dagster.warehouse import (
    Busy,
    DuplicateKey,
    OtherVersion,
    Warehouse,
    WriterLock,
    create_raw,
    replace_month,
)

JUNE, JULY = date(2025, 6, 1), date(2025, 7, 1)


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(tmp_path / "warehouse.duckdb")


def _reading(*rows: tuple[date, str, int], pull_id: str = "p1", rejected: int = 0) -> Reading:
    from datetime import datetime

    frame = pl.DataFrame(
        [
            {
                "source": "openrouter_rankings",
                "day": day,
                "model_permaslug": slug,
                "total_tokens": tokens,
                "as_of": datetime(2026, 1, 1),
                "pull_id": pull_id,
            }
            for day, slug, tokens in rows
        ],
        schema=OPENROUTER_TOKENS.schema,
    )
    bad = pl.DataFrame(
        [
            {
                "source": "openrouter_rankings",
                "table_name": "openrouter_tokens",
                "reason": "negative_count",
                "payload": "{}",
                "pull_id": pull_id,
            }
        ]
        * rejected,
        schema=QUARANTINE.schema,
    )
    return Reading({"openrouter_tokens": frame}, bad)


def _pull(pull_id: str = "p1") -> dict[str, object]:
    from datetime import datetime

    return {
        "pull_id": pull_id,
        "source": "openrouter_rankings",
        "world": "sample",
        "scope": "2025",
        "fetched_at": datetime(2026, 1, 1),
        "as_of": datetime(2026, 1, 1),
        "is_complete": False,
        "requests": 1,
        "bytes": 10,
        "path": "landing/x",
    }


def _replace(connection, month, reading, pull_id="p1", reader="r"):
    return replace_month(
        connection,
        scope="openrouter",
        month=month,
        tables=["openrouter_tokens"],
        pulls=[_pull(pull_id)],
        reader=reader,
        read=lambda _: [reading],
    )


def _tokens(connection) -> list[tuple]:
    return connection.execute(
        "select day, model_permaslug, total_tokens from raw.openrouter_tokens order by all"
    ).fetchall()


def test_every_raw_table_has_its_columns_key_and_comments(warehouse):
    with warehouse.writing("test") as connection:
        for table in TABLES.values():
            columns = connection.execute(
                "select column_name, comment from duckdb_columns()"
                " where schema_name = 'raw' and table_name = ? order by column_index",
                [table.name],
            ).fetchall()
            assert [name for name, _ in columns] == list(table.columns)
            assert all(comment for _, comment in columns)


def test_a_month_is_replaced_and_its_neighbours_stay(warehouse):
    both = _reading((JUNE, "a", 1), (JULY, "a", 2))
    with warehouse.writing("test") as connection:
        _replace(connection, JUNE, both)
        _replace(connection, JULY, both)
        _replace(connection, JUNE, _reading((JUNE, "b", 9), pull_id="p2"), pull_id="p2")
        assert _tokens(connection) == [(JUNE, "b", 9), (JULY, "a", 2)]


def test_the_same_pulls_are_not_read_twice(warehouse):
    def unread(_):
        raise AssertionError("must not be read")

    with warehouse.writing("test") as connection:
        first = _replace(connection, JUNE, _reading((JUNE, "a", 1)))
        second = replace_month(
            connection,
            scope="openrouter",
            month=JUNE,
            tables=["openrouter_tokens"],
            pulls=[_pull()],
            reader="r",
            read=unread,
        )
    assert (first.is_unchanged, second.is_unchanged) == (False, True)
    assert first.rows == second.rows == {"openrouter_tokens": 1}


def test_another_reader_reads_everything_again(warehouse):
    with warehouse.writing("test") as connection:
        _replace(connection, JUNE, _reading((JUNE, "a", 1)))
        again = _replace(connection, JUNE, _reading((JUNE, "a", 7)), reader="s")
        assert not again.is_unchanged
        assert _tokens(connection) == [(JUNE, "a", 7)]


def test_only_new_pulls_are_read_and_vanished_ones_leave(warehouse):
    readings = {
        "p1": _reading((JUNE, "a", 1), pull_id="p1", rejected=1),
        "p2": _reading((JUNE, "a", 2), pull_id="p2"),
        "p3": _reading((JUNE, "a", 3), pull_id="p3"),
    }
    asked: list[str] = []

    def read(pull_id):
        asked.append(pull_id)
        return [readings[pull_id]]

    with warehouse.writing("test") as connection:
        for pulls in (["p1", "p2"], ["p2", "p3"]):
            replace_month(
                connection,
                scope="openrouter",
                month=JUNE,
                tables=["openrouter_tokens"],
                pulls=[_pull(pull_id) for pull_id in pulls],
                reader="r",
                read=read,
            )
        assert asked == ["p1", "p2", "p3"]
        assert _tokens(connection) == [(JUNE, "a", 2), (JUNE, "a", 3)]


def test_a_pull_is_forgotten_when_no_month_holds_it_any_more(warehouse):
    def kept(connection) -> list[tuple]:
        return connection.execute(
            "select (select list(pull_id order by 1) from raw.pulls),"
            " (select list(pull_id order by 1) from raw.quarantine)"
        ).fetchall()

    with warehouse.writing("test") as connection:
        for month in (JUNE, JULY):
            _replace(connection, month, _reading((month, "a", 1), rejected=1))
        newer = _reading((JUNE, "a", 2), (JULY, "a", 2), pull_id="p2", rejected=1)
        _replace(connection, JUNE, newer, pull_id="p2")
        assert kept(connection) == [(["p1", "p2"], ["p1", "p2"])]
        _replace(connection, JULY, newer, pull_id="p2")
        assert kept(connection) == [(["p2"], ["p2"])]


def test_a_reading_that_fails_leaves_the_month_as_it_was(warehouse):
    def fails(pull_id):
        if pull_id == "p3":
            raise BadAnswer("the second pull is damaged.")
        return [_reading((JUNE, "b", 9), pull_id=pull_id)]

    with warehouse.writing("test") as connection:
        _replace(connection, JUNE, _reading((JUNE, "a", 1)))
        with pytest.raises(BadAnswer):
            replace_month(
                connection,
                scope="openrouter",
                month=JUNE,
                tables=["openrouter_tokens"],
                pulls=[_pull("p2"), _pull("p3")],
                reader="r",
                read=fails,
            )
        assert _tokens(connection) == [(JUNE, "a", 1)]


def test_a_row_that_breaks_the_key_rolls_the_whole_month_back(warehouse):
    with warehouse.writing("test") as connection:
        _replace(connection, JUNE, _reading((JUNE, "a", 1)))
        twice = _reading((JUNE, "b", 9), (JUNE, "b", 10), pull_id="p2")
        with pytest.raises(DuplicateKey, match="two rows of one key"):
            _replace(connection, JUNE, twice, pull_id="p2")
        assert _tokens(connection) == [(JUNE, "a", 1)]
        assert connection.execute("select pull_ids from raw.loads").fetchall() == [(["p1"],)]


def test_quarantined_rows_are_kept_once(warehouse):
    reading = _reading((JUNE, "a", 1), rejected=2)
    with warehouse.writing("test") as connection:
        assert _replace(connection, JUNE, reading).quarantined == 2
        _replace(connection, JUNE, reading, reader="s")
        assert connection.execute("select count(*) from raw.quarantine").fetchall() == [(2,)]


def test_a_second_writer_is_told_who_holds_the_lock(warehouse):
    with (
        warehouse.lock.held("load of hub"),
        pytest.raises(Busy, match=rf"load of hub \(process {os.getpid()}"),
    ):
        WriterLock(warehouse.path).acquire("dbt", timeout=0)


def test_readers_share_and_writers_do_not(warehouse):
    with (
        warehouse.lock.held("one", shared=True),
        warehouse.lock.held("two", shared=True),
        pytest.raises(Busy),
    ):
        warehouse.lock.acquire("writer", timeout=0)


def test_the_kernel_frees_the_lock_of_a_killed_process(warehouse):
    code = (
        "import sys, time; from pathlib import Path;"
        "from atom_dagster.warehouse import WriterLock;"
        f"held = WriterLock(Path({str(warehouse.path)!r})).acquire('doomed');"
        "print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(Busy, match="doomed"):
        warehouse.lock.acquire("next", timeout=0)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    os.close(warehouse.lock.acquire("next", timeout=0))


def test_reading_a_warehouse_that_is_not_there_says_what_to_do(warehouse):
    with pytest.raises(FileNotFoundError, match="atom run"), warehouse.reading("test"):
        pass


def test_a_table_of_another_version_is_refused_with_what_to_do(warehouse):
    with warehouse.writing("test") as connection:
        connection.execute("alter table raw.pulls drop column is_complete")
    with pytest.raises(OtherVersion, match="delete warehouse"), warehouse.writing("test"):
        pass


def test_create_raw_is_idempotent():
    with duckdb.connect() as connection:
        create_raw(connection)
        create_raw(connection)


def test_a_pull_is_loaded_piece_by_piece(warehouse):
    def read(_):
        yield _reading((JUNE, "a", 1), rejected=1)
        yield _reading((JUNE, "b", 2), rejected=1)
        yield _reading((JULY, "c", 3))

    with warehouse.writing("test") as connection:
        loaded = replace_month(
            connection,
            scope="openrouter",
            month=JUNE,
            tables=["openrouter_tokens"],
            pulls=[_pull()],
            reader="r",
            read=read,
        )
        assert loaded.rows == {"openrouter_tokens": 2}
        assert loaded.quarantined == 2
        assert _tokens(connection) == [(JUNE, "a", 1), (JUNE, "b", 2)]
        assert connection.execute("select count(*) from raw.quarantine").fetchall() == [(2,)]


def test_a_piece_that_fails_leaves_the_month_as_it_was(warehouse):
    def read(_):
        yield _reading((JUNE, "b", 9), pull_id="p2")
        raise BadAnswer("the second piece is damaged.")

    with warehouse.writing("test") as connection:
        _replace(connection, JUNE, _reading((JUNE, "a", 1)))
        with pytest.raises(BadAnswer):
            replace_month(
                connection,
                scope="openrouter",
                month=JUNE,
                tables=["openrouter_tokens"],
                pulls=[_pull("p2")],
                reader="r",
                read=read,
            )
        assert _tokens(connection) == [(JUNE, "a", 1)]


def test_what_one_month_set_aside_of_a_pull_survives_the_load_of_the_next(warehouse):
    """A pull of many months is read by month: each names only its own bad rows."""
    with warehouse.writing("test") as connection:
        for month, payload in ((JUNE, "june"), (JULY, "july"), (JUNE, "june")):
            reading = _reading((month, "a", 1), rejected=1)
            named = reading.quarantine.with_columns(payload=pl.lit(payload))
            _replace(connection, month, Reading(reading.frames, named))
        found = connection.execute("select payload from raw.quarantine order by 1").fetchall()
        assert found == [("july",), ("june",)]
