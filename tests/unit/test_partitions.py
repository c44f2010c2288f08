"""Months, and days in words."""

from datetime import date

import pytest

from atom_dagster.partitions import (
    MONTHLY,
    day_spans,
    month_of,
    months_between,
    next_month,
    parse_month,
    spans,
)


def test_the_series_begins_in_november_2023_and_holds_the_current_month():
    keys = MONTHLY.get_partition_keys()
    assert keys[0] == "2023-11-01"
    assert keys[-1] == month_of(date.today()).isoformat()


@pytest.mark.parametrize(("month", "after"), [("2025-01-01", "2025-02-01"), ("2024-12-01", "2025-01-01")])
def test_next_month(month, after):
    assert next_month(date.fromisoformat(month)) == date.fromisoformat(after)


def test_months_between_holds_both_ends():
    assert months_between(date(2025, 11, 30), date(2026, 1, 1)) == [
        date(2025, 11, 1),
        date(2025, 12, 1),
        date(2026, 1, 1),
    ]
    assert months_between(date(2026, 1, 1), date(2025, 12, 1)) == []


def test_months_and_days_are_told_by_their_unbroken_runs():
    months = [date(2025, 11, 1), date(2025, 12, 1), date(2026, 1, 1), date(2026, 3, 1)]
    assert spans(months) == "2025-11 … 2026-01, 2026-03"
    days = [date(2026, 2, 27), date(2026, 2, 28), date(2026, 3, 1), date(2026, 3, 3), date(2026, 4, 3)]
    assert day_spans(days) == "2026-02-27 … 2026-03-01, 2026-03-03, 2026-04-03"
    assert day_spans([]) == spans([]) == ""


@pytest.mark.parametrize("text", ["2025-06", "2025-06-01"])
def test_a_month_is_written_in_two_ways(text):
    assert parse_month(text) == date(2025, 6, 1)


@pytest.mark.parametrize("text", ["2025", "June 2025", "2025-13", "2025-06-02", "2023-10"])
def test_what_is_no_month_is_said_in_one_sentence(text):
    with pytest.raises(ValueError, match=r"\.$") as error:
        parse_month(text)
    assert "\n" not in str(error.value)
