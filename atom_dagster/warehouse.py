"""DuckDB: the writer's lock, replacing a month, and read-only looks.

Belongs here: how typed frames become rows of the ``raw`` schema, and who may write when. Does not
belong here: what a row means (``sources.tables``), transformation (``dbt_project``), or what is let
out (``assets.publish``).
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from atom_dagster import attempts
from atom_dagster.partitions import NO_MONTH
from atom_dagster.quoting import literal, quoted
from atom_dagster.sources.tables import PULLS, QUARANTINE, TABLES, Column, Reading, Table

STORAGE_VERSION = "v1.5.0"
"""Oldest DuckDB that must be able to open our files."""

_SQL_TYPES = {
    pl.String: "varchar",
    pl.Int32: "integer",
    pl.Int64: "bigint",
    pl.Float64: "double",
    pl.Boolean: "boolean",
    pl.Date: "date",
    pl.Datetime: "timestamp",
}


class Busy(RuntimeError):
    """Somebody else holds the lock; the message names them."""


class DuplicateKey(ValueError):
    """Rows that a reader returned share a key; the message shows one."""


class OtherVersion(RuntimeError):
    """The warehouse's raw tables are not this version's; the message says what to do."""


class WriterLock:
    """The one writer's lock: the kernel's ``flock`` on a file beside the warehouse.

    It is released when its holder dies, however it dies. The file's text only says who holds it.
    """

    def __init__(self, warehouse: Path) -> None:
        self.path = warehouse.with_suffix(".lock")

    def holder(self) -> str:
        """Who wrote its name into the file last, for messages."""
        try:
            who = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return "another process"
        return f"{who['what']} (process {who['pid']}, since {who['since']})"

    def acquire(
        self,
        what: str,
        *,
        shared: bool = False,
        timeout: float | None = None,
        on_wait: Callable[[str], None] | None = None,
    ) -> int:
        """Take the lock and return its file descriptor; closing that releases it.

        Args:
            what: What the holder does, shown to those who wait.
            shared: Readers share; a writer excludes everyone.
            timeout: Seconds to wait, or None to wait as long as it takes.
            on_wait: Called once with the holder, when there is somebody to wait for.

        Raises:
            Busy: the lock was not free within ``timeout``.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # A reader needs no right to write: not to the file, if there is one.
        descriptor = os.open(self.path, (os.O_RDONLY if shared else os.O_RDWR) | os.O_CREAT, 0o644)
        mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        started, told = time.monotonic(), False
        while True:
            try:
                fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if on_wait and not told:
                    on_wait(self.holder())
                    told = True
                if timeout is not None and time.monotonic() - started > timeout:
                    holder = self.holder()
                    os.close(descriptor)
                    raise Busy(
                        f"The warehouse is in use by {holder}; try again when it has finished."
                    ) from None
                time.sleep(0.05)
        if not shared:
            note = {
                "what": what,
                "pid": os.getpid(),
                "since": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(note).encode(), 0)
        return descriptor

    @contextmanager
    def held(self, what: str, **options: Any) -> Iterator[int]:
        """``acquire`` for the length of a ``with`` block."""
        descriptor = self.acquire(what, **options)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


@dataclass(frozen=True)
class MonthLoad:
    """What replacing one month did, by raw table."""

    rows: dict[str, int]
    quarantined: int
    is_unchanged: bool


class Warehouse:
    """The working DuckDB file of one world."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = WriterLock(path)

    @contextmanager
    def writing(self, what: str) -> Iterator[duckdb.DuckDBPyConnection]:
        """A read-write connection under the writer's lock; waits for the lock."""
        with self.lock.held(what):
            connection = duckdb.connect(
                str(self.path), config={"storage_compatibility_version": STORAGE_VERSION}
            )
            try:
                connection.execute("set timezone = 'UTC'")
                create_raw(connection)
                yield connection
            finally:
                connection.close()

    @contextmanager
    def reading(
        self, what: str, *, on_wait: Callable[[str], None] | None = None
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """A read-only connection under the shared lock; waits for a writer.

        Raises:
            FileNotFoundError: nothing has been loaded yet.
        """
        if not self.path.exists():
            raise FileNotFoundError(f"There is no warehouse at {self.path} yet; run `atom run` first.")
        with self.lock.held(what, shared=True, on_wait=on_wait):
            connection = duckdb.connect(str(self.path), read_only=True)
            try:
                connection.execute("set timezone = 'UTC'")
                yield connection
            finally:
                connection.close()


def create_raw(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the ``raw`` schema's tables that are missing, with keys and comments.

    Raises:
        OtherVersion: a table stands with other columns than this version's.
    """
    have: dict[str, list[str]] = dict(
        connection.execute(
            "select table_name, list(column_name order by column_index) from duckdb_columns()"
            " where schema_name = 'raw' group by table_name"
        ).fetchall()
    )
    if not have:
        connection.execute("create schema if not exists raw")
    for table in TABLES.values():
        if table.name not in have:
            _create(connection, table)
        elif have[table.name] != list(table.columns):
            raise OtherVersion(
                f"raw.{table.name} was made by another version of this project; delete"
                " warehouse.duckdb and run `atom run`, which rebuilds everything from landing."
            )
    if "loads" not in have:
        connection.execute(
            "create table raw.loads (scope varchar, month date, reader varchar not null,"
            " pull_ids varchar[] not null, primary key (scope, month))"
        )
        connection.execute(
            "comment on table raw.loads is"
            " 'Which pulls stand in the raw tables, by source and month, and which reader loaded them.'"
        )
    if have.get("attempts") != list(attempts.COLUMNS):
        attempts.create(connection)


def _create(connection: duckdb.DuckDBPyConnection, table: Table) -> None:
    columns = [_column_ddl(name, column) for name, column in table.columns.items()]
    # An index would cost most of a load; the key of a dated table is kept by replace_month.
    if table.dated_by is None and table is not QUARANTINE:
        columns.append(f"primary key ({', '.join(quoted(name) for name in table.key)})")
    connection.execute(f"create table raw.{table.name} ({', '.join(columns)})")
    connection.execute(f"comment on table raw.{table.name} is {literal(table.comment)}")
    for name, column in table.columns.items():
        connection.execute(f"comment on column raw.{table.name}.{quoted(name)} is {literal(column.comment)}")


def sql_type(column: Column) -> str:
    """The SQL type of a raw table's column."""
    return _SQL_TYPES[column.type if isinstance(column.type, type) else type(column.type)]


def _column_ddl(name: str, column: Column) -> str:
    return f"{quoted(name)} {sql_type(column)}{'' if column.nullable else ' not null'}"


def replace_month(
    connection: duckdb.DuckDBPyConnection,
    *,
    scope: str,
    month: date | None,
    tables: Iterable[str],
    pulls: Iterable[Mapping[str, Any]],
    reader: str,
    read: Callable[[str], Iterable[Reading]],
) -> MonthLoad:
    """Make one month of a source's tables hold exactly these pulls, in one transaction.

    Rows of pulls that the same reader has loaded before stay; only new pulls are read, one piece at a
    time: a snapshot of the whole Hub never stands in memory.

    Args:
        connection: A writing connection.
        scope: The source whose rows are replaced, as named in ``raw.loads``.
        month: First day of the month, or None for undated tables.
        tables: Raw tables the source fills.
        pulls: ``raw.pulls`` records of the pulls the rows come from.
        reader: Digest of the code that turns answers into rows: other code, other rows.
        read: Gives the readings of a pull by its id, piece by piece; no two pieces share a key. A failure
            leaves the month as it was.

    Raises:
        DuplicateKey: two rows of a piece have one key; the month stays as it was.
    """
    tables, pulls = list(tables), list(pulls)
    key = month or NO_MONTH
    standing = connection.execute(
        "select reader, pull_ids from raw.loads where scope = ? and month = ?", [scope, key]
    ).fetchone()
    wanted = sorted(str(record["pull_id"]) for record in pulls)
    held = set(standing[1]) if standing and standing[0] == reader else set()
    if standing and standing[0] == reader and standing[1] == wanted:
        return MonthLoad(_count(connection, tables, month), 0, is_unchanged=True)

    rejected = 0
    connection.execute("begin")
    try:
        for name in tables:
            connection.execute(
                f"delete from raw.{name} where {within(name, month)}"
                " and not list_contains(?::varchar[], pull_id)",
                [sorted(held & set(wanted))],
            )
        for record in sorted(pulls, key=lambda record: str(record["pull_id"])):
            if record["pull_id"] in held:
                continue
            connection.execute("delete from raw.pulls where pull_id = ?", [record["pull_id"]])
            _insert(connection, "pulls", pl.DataFrame([record], schema=PULLS.schema))
            is_shared = _stands_elsewhere(connection, scope, key, reader, str(record["pull_id"]))
            if not is_shared:
                connection.execute("delete from raw.quarantine where pull_id = ?", [record["pull_id"]])
            for reading in read(str(record["pull_id"])):
                for name, frame in reading.frames.items():
                    dated = TABLES[name].dated_by
                    if month is not None and dated is not None:
                        frame = frame.filter(pl.col(dated).dt.month_start() == month)
                    _require_key(name, frame)
                    _insert(connection, name, frame)
                rejected += len(reading.quarantine)
                _insert(connection, "quarantine", reading.quarantine, is_new_only=is_shared)
        connection.execute(
            "insert or replace into raw.loads values (?, ?, ?, ?)", [scope, key, reader, wanted]
        )
        if left := sorted(set(standing[1]) - set(wanted)) if standing else []:
            _forget_unloaded(connection, left)
        connection.execute("commit")
    except BaseException:
        connection.execute("rollback")
        raise
    return MonthLoad(_count(connection, tables, month), rejected, is_unchanged=False)


def _forget_unloaded(connection: duckdb.DuckDBPyConnection, pull_ids: list[str]) -> None:
    """Remove what is kept beside the rows of pulls that stand in no month any more."""
    for name in ("pulls", "quarantine"):
        connection.execute(
            f"delete from raw.{name} where list_contains(?::varchar[], pull_id)"
            " and pull_id not in (select unnest(pull_ids) from raw.loads)",
            [pull_ids],
        )


def within(table: str, month: date | None) -> str:
    """SQL that picks the rows of a month; every row when there is none."""
    dated = TABLES[table].dated_by
    if month is None or dated is None:
        return "true"
    return f"{dated} >= date '{month}' and {dated} < date '{month}' + interval 1 month"


def _require_key(name: str, frame: pl.DataFrame) -> None:
    """Refuse a frame with two rows of one key; every key ends in pull_id, and a frame is of one pull."""
    key = list(TABLES[name].key)
    if frame.n_unique(subset=key) < frame.height:
        twice = frame.filter(pl.struct(key).is_duplicated())
        raise DuplicateKey(
            f"raw.{name} would hold two rows of one key, such as {twice.row(0, named=True)};"
            " nothing was loaded."
        )


def _stands_elsewhere(
    connection: duckdb.DuckDBPyConnection, scope: str, key: date, reader: str, pull_id: str
) -> bool:
    """Whether the same reader has loaded a pull of many months into another month before.

    What was set aside of it then must stay: a reading by month names only that month's rows.
    """
    found = connection.execute(
        "select 1 from raw.loads where scope = ? and month <> ? and reader = ?"
        " and list_contains(pull_ids, ?) limit 1",
        [scope, key, reader, pull_id],
    ).fetchall()
    return bool(found)


def _insert(
    connection: duckdb.DuckDBPyConnection, table: str, incoming: pl.DataFrame, *, is_new_only: bool = False
) -> None:
    """Append a frame; with ``is_new_only`` the rows that do not stand there yet."""
    if incoming.is_empty():
        return
    names = ", ".join(quoted(name) for name in incoming.columns)
    unless = f" anti join raw.{table} using ({names})" if is_new_only else ""
    # The query finds the frame by its name here: a registered one is held until the transaction ends.
    connection.execute(f"insert into raw.{table} ({names}) select {names} from incoming{unless}")


def _count(connection: duckdb.DuckDBPyConnection, tables: list[str], month: date | None) -> dict[str, int]:
    parts = [
        f"select '{name}' as name, count(*) as rows from raw.{name} where {within(name, month)}"
        for name in tables
    ]
    return dict(connection.execute(" union all ".join(parts)).fetchall())
