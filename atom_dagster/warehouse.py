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
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
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
            "create table raw.loads (scope varchar, month date, fingerprint varchar not null,"
            " primary key (scope, month))"
        )
        connection.execute(
            "comment on table raw.loads is"
            " 'Which pulls stand in the raw tables: a fingerprint by source and month.'"
        )


def _create(connection: duckdb.DuckDBPyConnection, table: Table) -> None:
    columns = [_column_ddl(name, column) for name, column in table.columns.items()]
    # An index would cost most of a load; the key of a dated table is kept by replace_month.
    if table.dated_by is None and table is not QUARANTINE:
        columns.append(f"primary key ({', '.join(_quoted(name) for name in table.key)})")
    connection.execute(f"create table raw.{table.name} ({', '.join(columns)})")
    connection.execute(f"comment on table raw.{table.name} is {_literal(table.comment)}")
    for name, column in table.columns.items():
        connection.execute(
            f"comment on column raw.{table.name}.{_quoted(name)} is {_literal(column.comment)}"
        )


def _column_ddl(name: str, column: Column) -> str:
    kind = column.type if isinstance(column.type, type) else type(column.type)
    return f"{_quoted(name)} {_SQL_TYPES[kind]}{'' if column.nullable else ' not null'}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def replace_month(
    connection: duckdb.DuckDBPyConnection,
    *,
    scope: str,
    month: date | None,
    tables: Iterable[str],
    pulls: Iterable[Mapping[str, Any]],
    fingerprint: str,
    read: Callable[[], Iterable[Reading]],
) -> MonthLoad:
    """Replace one month of a source's tables, in one transaction.

    Args:
        connection: A writing connection.
        scope: The source whose rows are replaced, as named in ``raw.loads``.
        month: First day of the month, or None for undated tables, which are replaced whole.
        tables: Raw tables the source fills.
        pulls: ``raw.pulls`` records of the pulls the rows come from.
        fingerprint: Says which pulls and which reader make up the month; when it is the one that
            stands, nothing is read or written.
        read: Gives the month's readings; called only when needed. A failure leaves the month as it was.

    Raises:
        DuplicateKey: two rows of a pull have one key; the month stays as it was.
    """
    tables = list(tables)
    key = month or date(1, 1, 1)
    standing = connection.execute(
        "select fingerprint from raw.loads where scope = ? and month = ?", [scope, key]
    ).fetchone()
    if standing and standing[0] == fingerprint:
        return MonthLoad(_count(connection, tables, month), 0, is_unchanged=True)

    frames: dict[str, list[pl.DataFrame]] = {name: [] for name in tables}
    rejected: list[pl.DataFrame] = []
    for reading in read():
        for name, frame in reading.frames.items():
            dated = TABLES[name].dated_by
            frames[name].append(
                frame
                if month is None or dated is None
                else frame.filter(pl.col(dated).dt.month_start() == month)
            )
        rejected.append(reading.quarantine)
    pulls = list(pulls)
    _require_keys(frames)

    connection.execute("begin")
    try:
        for name in tables:
            table = TABLES[name]
            if month is None or table.dated_by is None:
                connection.execute(f"delete from raw.{name}")
            else:
                connection.execute(
                    f"delete from raw.{name} where {table.dated_by} >= ?"
                    f" and {table.dated_by} < ?::date + interval 1 month",
                    [month, month],
                )
            for frame in frames[name]:
                _insert(connection, name, frame)
        ids = [record["pull_id"] for record in pulls]
        connection.execute("delete from raw.pulls where pull_id in (select unnest(?::varchar[]))", [ids])
        connection.execute("delete from raw.quarantine where pull_id in (select unnest(?::varchar[]))", [ids])
        _insert(connection, "pulls", pl.DataFrame(pulls, schema=PULLS.schema))
        for frame in rejected:
            _insert(connection, "quarantine", frame)
        connection.execute("insert or replace into raw.loads values (?, ?, ?)", [scope, key, fingerprint])
        connection.execute("commit")
    except BaseException:
        connection.execute("rollback")
        raise
    return MonthLoad(_count(connection, tables, month), sum(map(len, rejected)), is_unchanged=False)


def _require_keys(frames: Mapping[str, list[pl.DataFrame]]) -> None:
    """Refuse frames with two rows of one key; every key ends in pull_id, and a frame is of one pull."""
    for name, readings in frames.items():
        key = list(TABLES[name].key)
        for frame in readings:
            if frame.n_unique(subset=key) < frame.height:
                twice = frame.filter(pl.struct(key).is_duplicated())
                raise DuplicateKey(
                    f"raw.{name} would hold two rows of one key, such as {twice.row(0, named=True)};"
                    " nothing was loaded."
                )


def _insert(connection: duckdb.DuckDBPyConnection, table: str, frame: pl.DataFrame) -> None:
    if frame.is_empty():
        return
    names = ", ".join(_quoted(name) for name in frame.columns)
    connection.register("incoming", frame)
    connection.execute(f"insert into raw.{table} ({names}) select {names} from incoming")
    connection.unregister("incoming")


def _count(connection: duckdb.DuckDBPyConnection, tables: list[str], month: date | None) -> dict[str, int]:
    parts = []
    for name in tables:
        dated = TABLES[name].dated_by
        where = (
            ""
            if month is None or dated is None
            else f" where {dated} >= date '{month}' and {dated} < date '{month}' + interval 1 month"
        )
        parts.append(f"select '{name}' as name, count(*) as rows from raw.{name}{where}")
    rows = connection.execute(" union all ".join(parts)).fetchall()
    return dict(rows)
