"""The ledger of attempts: what came of the last one at each month of each dated source.

Belongs here: the table ``raw.attempts`` and writing it. Does not belong here: what was loaded
(``raw.loads``, which alone enters the digest of inputs), or drawing conclusions (``status``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Literal, Protocol

import duckdb

from atom_dagster.partitions import NO_MONTH

State = Literal["committed", "failed", "not_observable"]

COLUMNS = {
    "scope": "The dated source, as in raw.loads: hub or openrouter.",
    "month": "First day of the month; 0001-01-01 for a fault of the source as a whole.",
    "state": "committed, failed or not_observable.",
    "reason": "Why it is not committed, or what went wrong although it is; NULL when nothing did.",
    "attempted_at": "UTC instant of the attempt.",
}
"""The ledger's columns, in their order, and what they hold."""


class Attempted(Protocol):
    """What an attempt at some months came to, as ``assets.raw`` gathers and loads it."""

    @property
    def by_month(self) -> Collection[date]:
        """The months that have pulls."""

    @property
    def failed(self) -> Mapping[date, str]:
        """Why a month could not be pulled or loaded; such a month may have pulls."""

    @property
    def notes(self) -> Mapping[date, str]:
        """What went wrong with a month that is committed all the same."""

    @property
    def unobservable(self) -> Mapping[date, str]:
        """Why nobody can observe a month."""

    @property
    def errors(self) -> Sequence[str]:
        """Faults that belong to no single month."""


def create(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the ledger if it is missing, and bring one of an earlier version up to this one's."""
    connection.execute(
        "create table if not exists raw.attempts (scope varchar, month date, state varchar not null"
        " check (state in ('committed', 'failed', 'not_observable')), reason varchar,"
        " attempted_at timestamp not null, primary key (scope, month))"
    )
    # No other record could restore the ledger of an earlier version, which named each month's sources.
    connection.execute("alter table raw.attempts drop column if exists sources")
    connection.execute("comment on table raw.attempts is 'The last attempt at each month, by dated source.'")
    for column, text in COLUMNS.items():
        connection.execute(f"comment on column raw.attempts.{column} is '{text}'")


def record(connection: duckdb.DuckDBPyConnection, scope: str, attempted: Attempted, at: datetime) -> None:
    """Replace what the ledger says of the months attempted, in one transaction.

    Args:
        connection: A writing connection.
        scope: The dated source, as in ``raw.loads``.
        attempted: What came of each month.
        at: The clock's instant.
    """
    instant = at.astimezone(UTC).replace(tzinfo=None)
    rows = [(scope, *row, instant) for row in _rows(attempted)]
    connection.execute("begin")
    try:
        connection.execute("delete from raw.attempts where scope = ? and month = ?", [scope, NO_MONTH])
        if rows:
            connection.executemany("insert or replace into raw.attempts values (?, ?, ?, ?, ?)", rows)
        connection.execute("commit")
    except BaseException:
        connection.execute("rollback")
        raise


def _rows(attempted: Attempted) -> Iterator[tuple[date, State, str | None]]:
    for month in attempted.by_month:
        if month not in attempted.failed:
            yield month, "committed", attempted.notes.get(month)
    for month, reason in attempted.failed.items():
        yield month, "failed", reason
    for month, reason in attempted.unobservable.items():
        yield month, "not_observable", reason
    if attempted.errors:
        yield NO_MONTH, "failed", " ".join(dict.fromkeys(attempted.errors))
