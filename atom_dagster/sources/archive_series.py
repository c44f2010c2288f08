"""A series: one file of many months, which is read once for all of them.

Belongs here: dividing such a file by month, and what it may hold when it has grown. Does not belong
here: fetching it (``archive``), or the shapes it has (``archive_files``).

Its rows lie in no order, so whoever wants one month reads the whole file, and whoever wants twenty
would read it twenty times. Keeping it in memory instead would take more than there may be.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path
from types import TracebackType

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from atom_dagster.landing import Pull
from atom_dagster.sources import archive, archive_files
from atom_dagster.sources.archive_listing import anchored
from atom_dagster.sources.tables import Reading


def may_gain(pulls: Sequence[Pull], months: Collection[date], every: int, today: date) -> bool:
    """Whether a series that has changed since these pulls may hold a day of one of the months that they lack.

    It grows at its end: a day that it passed over, it does not have. What it corrects in its past is not
    asked for; to have that, delete its pull from landing.

    Args:
        pulls: of the series, one or more.
        months: first days of the months wanted.
        every: days from one reading to the next that are taken.
        today: the clock's UTC day.
    """
    held = {date.fromisoformat(day) for pull in pulls for day in pull.facts["days"]}
    taken = {day for pull in pulls for day in archive.observed_days(pull)}
    last = max(held)
    later = (last + timedelta(days=n) for n in range(1, (today - last).days + 1))
    return not taken.issuperset(anchored([*held, *later], months, every))


class Divided:
    """Archives' pulls month by month; a series is divided when its first month is read.

    The parts lie in a folder that goes when the context ends. It is one process's at a time: what a killed
    one left there is removed.
    """

    def __init__(self, folder: Path, months: Collection[date]) -> None:
        self._folder, self._months = folder, frozenset(months)
        self._parts: dict[str, dict[date, Path]] = {}

    def __enter__(self) -> Divided:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def read(self, pull: Pull, month: date | None) -> Iterator[Reading]:
        """As ``archive.read``."""
        if month is None or pull.facts.get("layout") != "series" or self._months <= {month}:
            return archive.read(pull, month)
        if not self._parts:
            shutil.rmtree(self._folder, ignore_errors=True)
        if pull.pull_id not in self._parts:
            into = self._folder / pull.pull_id
            into.mkdir(parents=True, exist_ok=True)
            self._parts[pull.pull_id] = divide(pull, self._months | {month}, into)
        part = self._parts[pull.pull_id].get(month)
        return archive.read(pull, month, file=part) if part else iter(())


def divide(pull: Pull, months: Collection[date], folder: Path) -> dict[date, Path]:
    """Write a file for each of these months that a series has rows of, in one reading of the series.

    A part has the columns that are read, in the shape in which they came, and the rows that ``archive.read``
    looks at for its month, in their order: also those without a day, or with one of the future.

    Raises:
        BadAnswer: as ``archive.read``.
    """
    file = pull.file(pull.pages[0])
    month_of = {day: day.replace(day=1) for day in archive.observed_days(pull)}
    wanted = sorted(set(months) & set(month_of.values()))
    latest = archive.latest_day(pull)
    parts = {month: folder / f"{month:%Y-%m}.parquet" for month in wanted}
    waiting: dict[date, list[pa.RecordBatch]] = {month: [] for month in wanted}
    with archive_files.opened(file) as parquet, ExitStack() as stack:
        schema = archive_files.understood(parquet.schema_arrow, "series", file.name)
        columns = archive_files.needed(schema, "series")
        writers: dict[date, pq.ParquetWriter] = {}

        def write(month: date) -> None:
            batches = waiting[month]
            if not batches:
                return
            if month not in writers:
                writers[month] = stack.enter_context(pq.ParquetWriter(parts[month], batches[0].schema))
            writers[month].write_table(pa.Table.from_batches(batches), row_group_size=archive_files.BATCH)
            waiting[month] = []

        for group in range(parquet.num_row_groups):
            for batch in archive_files.batches(parquet, group, columns):
                day = archive_files.days_in(batch)
                month_of_row = day.replace_strict(month_of, default=None, return_dtype=pl.Date)
                is_of_all = day.is_null() | (day > latest)
                for month in wanted if is_of_all.any() else set(month_of_row.unique()) & set(wanted):
                    rows = ((month_of_row == month).fill_null(False) | is_of_all).to_arrow()
                    waiting[month].append(batch.filter(rows))
                    if sum(map(len, waiting[month])) >= archive_files.BATCH:
                        write(month)
        for month in wanted:
            write(month)
    return {month: parts[month] for month in writers}
