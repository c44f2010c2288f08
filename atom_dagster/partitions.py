"""Months: the one partitions definition, the arithmetic on it, and days in words.

Belongs here: the calendar shared by every dated raw asset. Does not belong here: what a source can
observe in a month (``sources``), or what a month's number means (``dbt_project``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta

import dagster as dg

FIRST_MONTH = date(2023, 11, 1)

NO_MONTH = date(1, 1, 1)
"""Stands in a key where a month would, for what belongs to none: an undated source, a source as a whole."""

MONTHLY = dg.MonthlyPartitionsDefinition(FIRST_MONTH.isoformat(), end_offset=1)
"""One partition a calendar month (UTC), keyed by its first day; the current month is the last."""


def month_of(day: date) -> date:
    """First day of the month that holds ``day``."""
    return day.replace(day=1)


def next_month(month: date) -> date:
    """First day of the month after ``month``."""
    return (month.replace(day=1) + timedelta(days=32)).replace(day=1)


def months_between(first: date, last: date) -> list[date]:
    """Every month from that of ``first`` to that of ``last``, both included; empty if reversed."""
    months, month = [], month_of(first)
    while month <= last:
        months.append(month)
        month = next_month(month)
    return months


def unbroken(months: Sequence[date]) -> list[list[date]]:
    """Sorted months, divided where one is left out."""
    return _runs(months, next_month)


def spans(months: Sequence[date]) -> str:
    """``2023-11 … 2024-12, 2026-01`` for sorted months."""
    return _said(unbroken(months), "%Y-%m")


def day_spans(days: Sequence[date]) -> str:
    """``2026-03-02 … 2026-03-08, 2026-04-01`` for sorted days."""
    return _said(_runs(days, lambda day: day + timedelta(days=1)), "%Y-%m-%d")


def _runs(sorted_days: Sequence[date], after: Callable[[date], date]) -> list[list[date]]:
    """Divided where what comes ``after`` one is left out."""
    runs: list[list[date]] = []
    for day in sorted_days:
        if runs and after(runs[-1][-1]) == day:
            runs[-1].append(day)
        else:
            runs.append([day])
    return runs


def _said(runs: Sequence[Sequence[date]], form: str) -> str:
    return ", ".join(
        f"{run[0]:{form}} … {run[-1]:{form}}" if len(run) > 1 else f"{run[0]:{form}}" for run in runs
    )


def parse_month(text: str) -> date:
    """``YYYY-MM`` or ``YYYY-MM-01`` as the month's first day.

    Raises:
        ValueError: one sentence, when the text is neither or the month precedes the first partition.
    """
    try:
        day = date.fromisoformat(text if len(text) > 7 else f"{text}-01")
    except ValueError as error:
        raise ValueError(f"{text!r} is not a month; write it as YYYY-MM, as in 2025-06.") from error
    if day.day != 1:
        raise ValueError(f"{text!r} is not the first day of a month; write YYYY-MM.")
    if day < FIRST_MONTH:
        raise ValueError(f"{text} lies before {FIRST_MONTH:%Y-%m}, the first month of the series.")
    return day
