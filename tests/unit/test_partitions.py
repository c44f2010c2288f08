"""Months."""

from datetime import date

import pytest

from atom_dagster.partitions import MONTHLY, month_of, months_between, next_month, parse_month


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


@pytest.mark.parametrize("text", ["2025-06", "2025-06-01"])
def test_a_month_is_written_in_two_ways(text):
    assert parse_month(text) == date(2025, 6, 1)


@pytest.mark.parametrize("text", ["2025", "June 2025", "2025-13", "2025-06-02", "2023-10"])
def test_what_is_no_month_is_said_in_one_sentence(text):
    with pytest.raises(ValueError, match=r"\.$") as error:
        parse_month(text)
    assert "\n" not in str(error.value)
