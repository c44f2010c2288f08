"""Every rule runs on empty tables, and finds the violation it is written for."""

from __future__ import annotations

from datetime import date

import duckdb
import pytest

from atom_dagster import rules
from atom_dagster.warehouse import create_raw

TODAY = date(2026, 4, 8)


def _rule(name: str, table: str) -> rules.Rule:
    [rule] = [rule for rule in rules.RULES if rule.name == name and rule.asset[1] == table]
    return rule


def _verdict(connection, name: str, table: str) -> rules.Verdict:
    [verdict] = rules.evaluate(connection, [_rule(name, table)], TODAY)
    return verdict


@pytest.fixture
def raw():
    with duckdb.connect() as connection:
        create_raw(connection)
        yield connection


def _reading(connection, model="a/x", day="2026-04-01", w=10, a=100, pull="p", known=True):
    connection.execute(
        "insert into raw.hf_models (source, model_id, observed_on, downloads_30d,"
        " downloads_all_time, pull_id) values ('hub_archive', ?, ?, ?, ?, ?)",
        [model, day, w, a, pull],
    )
    if known:
        connection.execute(
            "insert or ignore into raw.pulls values"
            " (?, 'hub_archive', 'sample', 'x', now(), now(), true, 1, 1, 'landing/x')",
            [pull],
        )


def test_names_are_unique_per_table_and_sentences_end_bare():
    names = [(rule.asset, rule.name) for rule in rules.RULES]
    assert len(names) == len(set(names))
    assert not any(rule.description.endswith(".") for rule in rules.RULES)


def test_a_rule_over_a_missing_table_is_violated():
    with duckdb.connect() as connection:
        for verdict in rules.evaluate(connection, rules.RULES, TODAY):
            assert not verdict.passed
            assert "does not exist" in verdict.sentence()


def test_rows_without_a_pull(raw):
    _reading(raw, known=True)
    assert _verdict(raw, "pull_is_known", "hf_models").passed
    _reading(raw, model="a/y", pull="q", known=False)
    assert _verdict(raw, "pull_is_known", "hf_models").examples == [("hf_models", "q")]


def test_readings_from_the_future(raw):
    _reading(raw, day="2026-04-08")
    assert _verdict(raw, "no_reading_from_the_future", "hf_models").passed
    _reading(raw, day="2026-04-09")
    assert _verdict(raw, "no_reading_from_the_future", "hf_models").violations == 1


def test_counters_may_contradict_each_other_for_one_model_in_a_hundred(raw):
    for number in range(199):
        _reading(raw, model=f"a/{number}")
    _reading(raw, model="a/odd", w=200, a=100)
    assert _verdict(raw, "counters_agree", "hf_models").passed
    for number in range(3):
        _reading(raw, model=f"a/odd{number}", w=200, a=100)
    assert _verdict(raw, "counters_agree", "hf_models").violations == 1


def test_a_day_of_rankings_without_its_other_row(raw):
    insert = (
        "insert into raw.openrouter_tokens values"
        " ('openrouter_rankings', ?, ?, 5, timestamp '2026-04-01', 'p')"
    )
    raw.execute(insert, ["2026-03-30", "a/x"])
    raw.execute(insert, ["2026-03-30", "other"])
    assert _verdict(raw, "day_has_one_other_row", "openrouter_tokens").passed
    raw.execute(insert, ["2026-03-31", "a/x"])
    assert _verdict(raw, "day_has_one_other_row", "openrouter_tokens").violations == 1


def test_seven_day_sums_are_not_days(raw):
    raw.execute(
        "insert into raw.openrouter_tokens select 'openrouter_rankings',"
        " date '2026-03-01' + i::int, 'other', case when i = 20 then 700 else 100 end,"
        " timestamp '2026-04-01', 'p' from range(30) t(i)"
    )
    verdict = _verdict(raw, "tokens_keep_their_unit", "openrouter_tokens")
    assert [example[0] for example in verdict.examples] == [date(2026, 3, 21)]
    assert not verdict.rule.is_blocking


@pytest.mark.parametrize(
    ("day", "passes"),
    [("2026-03-24", False), ("2026-03-25", True), ("2026-04-08", True), ("2026-04-09", False)],
)
def test_a_reading_near_the_months_edge_makes_it_present(raw, day: str, passes: bool):
    """On 2026-04-08 the newest complete month is March, and its end the edge."""
    name = "newest_complete_month_is_present"
    assert not _verdict(raw, name, "hf_models").passed
    _reading(raw, day="2025-12-31")
    _reading(raw, day=day)
    verdict = _verdict(raw, name, "hf_models")
    assert verdict.passed == passes
    if not passes:
        assert date(2026, 3, 1) in verdict.examples[0]
        assert date.fromisoformat(day) in verdict.examples[0]


def test_a_month_is_given_three_days_before_it_is_missed(raw):
    rule = _rule("newest_complete_month_is_present", "hf_models")
    _reading(raw, day="2026-02-26")
    for today, passes in ((date(2026, 4, 3), True), (date(2026, 4, 4), False)):
        [verdict] = rules.evaluate(raw, [rule], today)
        assert verdict.passed == passes, today


@pytest.mark.parametrize(
    ("days", "passes"),
    [
        (["2026-03-30"], False),
        (["2026-03-31"], True),
        (["2026-03-30", "2026-04-01"], True),  # the source lacks the last day
        (["2026-02-28", "2026-04-01"], False),  # nothing of the month
    ],
)
def test_openrouters_newest_complete_month_is_whole(raw, days: list[str], passes: bool):
    name = "newest_complete_month_is_whole"
    assert not _verdict(raw, name, "openrouter_tokens").passed
    for day in days:
        raw.execute(
            "insert into raw.openrouter_tokens values"
            " ('openrouter_rankings', ?, 'other', 5, timestamp '2026-04-01', 'p')",
            [day],
        )
    assert _verdict(raw, name, "openrouter_tokens").passed == passes


def test_the_newest_complete_month_is_measured(raw):
    name, table = "newest_complete_month_is_measured", "downloads_by_model_monthly"
    raw.execute(
        f"create schema marts; create table marts.{table} as from (values"
        " (date '2026-02-01', 5), (date '2026-03-01', null), (date '2026-04-01', null)) t(month, downloads)"
    )
    assert _verdict(raw, name, table).examples == [(date(2026, 3, 1), date(2026, 2, 1))]
    raw.execute(f"update marts.{table} set downloads = 7 where month = '2026-03-01'")
    assert _verdict(raw, name, table).passed


def test_a_list_cut_in_half_blocks(raw):
    for pull, day, models in (("p", "2026-03-01", 10), ("q", "2026-04-01", 4)):
        raw.execute(
            "insert into raw.tracked_models select 'a/' || i, 'a', 'core', ?::timestamp, ?"
            " from range(?) t(i)",
            [day, pull, models],
        )
    verdict = _verdict(raw, "list_is_not_truncated", "tracked_models")
    assert verdict.violations == 1
    assert verdict.rule.is_blocking


@pytest.mark.parametrize(("suspect", "accepted", "violations"), [(1, 0, 1), (1, 1, 0), (0, 0, 0)])
def test_suspect_snapshots(suspect, accepted, violations):
    with duckdb.connect() as connection:
        connection.execute("create schema intermediate")
        connection.execute(
            "create table intermediate.int_snapshots as select 'hub_archive' as source,"
            " date '2026-04-01' as observed_on, 300 as common_models, 1.0 as ratio_low,"
            f" 1.1 as ratio_high, {suspect} = 1 as is_suspect, {accepted} = 1 as is_accepted"
        )
        verdict = _verdict(connection, "suspect_snapshots_are_accepted", "observations")
        assert verdict.violations == violations
        assert not verdict.rule.is_blocking
        if violations:
            assert "spread 1.1" in verdict.sentence()
