"""The main job on answers real services once gave, against figures computed from them by others."""

from __future__ import annotations

from datetime import date

import pytest


@pytest.mark.parametrize(
    ("month", "tokens", "days_present"),
    [
        (date(2025, 1, 1), 2_230_133_956_091, 31),
        (date(2025, 6, 1), 9_411_636_910_043, 29),
        (date(2025, 7, 1), None, 30),
        (date(2025, 12, 1), 26_014_738_422_454, 31),
    ],
)
def test_openrouter_tokens_are_exact(recorded, month, tokens, days_present):
    [(total, present)] = recorded.rows(
        "select sum(tokens), any_value(days_present) from marts.inference_by_model_monthly where month = ?",
        month,
    )
    assert present == days_present
    if tokens is not None:
        assert total == tokens


def test_hub_readings_of_2026_05_23(recorded):
    [(observed, core)] = recorded.rows(
        "select count(*), count(*) filter (where tracked_list = 'core')"
        " from marts.observations join marts.models using (model_id)"
        " where observed_on = date '2026-05-23'"
    )
    assert (observed, core) == (5161, 688)


def test_downloads_by_region_on_2026_05_23(recorded):
    rows = recorded.rows(
        "select region, sum(downloads_30d) from marts.observations join marts.models using (model_id)"
        " where observed_on = date '2026-05-23' and tracked_list = 'core' group by region"
    )
    assert dict(rows) == {
        "china": 439_918_102,
        "us": 119_550_972,
        "eu": 9_648_501,
        "unknown": 5_516_991,
        "other": 779_841,
    }


def test_qwen_on_2026_05_23(recorded):
    assert recorded.rows(
        "select count(*), sum(downloads_30d)"
        " from marts.observations join marts.models using (model_id)"
        " where observed_on = date '2026-05-23' and tracked_list = 'core' and hf_org = 'Qwen'"
    ) == [(163, 385_562_534)]


@pytest.mark.parametrize(
    ("month", "by_base", "by_publisher"),
    [
        (date(2025, 6, 1), 0.764, None),
        (date(2025, 11, 1), 0.864, 0.780),
    ],
)
def test_china_in_the_ten_most_used_open_models(recorded, month, by_base, by_publisher):
    [(share, share_publisher)] = recorded.rows(
        "select share, share_publisher from marts.inference_by_region_monthly"
        " where month = ? and scope = 'open_top10' and region = 'china'",
        month,
    )
    assert share == pytest.approx(by_base, abs=0.03)
    if by_publisher is not None:
        assert share_publisher == pytest.approx(by_publisher, abs=0.03)


def test_ram_is_null_with_its_reason_almost_everywhere(recorded):
    [(rows, scored, unexplained)] = recorded.rows(
        "select count(*), count(ram), count(*) filter (where ram is null and null_reason is null)"
        " from marts.ram_scores"
    )
    assert rows > 1000
    assert scored <= 0.01 * rows
    assert unexplained == 0


def test_months_without_a_reading_are_null_and_listed(recorded):
    [(models, measured)] = recorded.rows(
        "select count(*), count(downloads) from marts.downloads_by_model_monthly"
        " where month = date '2025-09-01'"
    )
    assert models > 0
    assert measured == 0
    assert "hf_models" in recorded.stderr
    assert "2026-01" in recorded.stderr


def test_freshness_warns_and_does_not_block(recorded):
    verdicts = dict(
        recorded.rows("select table_name || '.' || rule, passed from meta.checks where not is_blocking")
    )
    assert verdicts["raw.hf_models.newest_complete_month_is_present"] is False
    assert verdicts["raw.openrouter_tokens.newest_complete_month_is_whole"] is False
    assert all(passed for (passed,) in recorded.rows("select passed from meta.checks where is_blocking"))


def test_no_machine_path_is_published(recorded):
    assert recorded.rows("select world, is_synthetic from meta.world") == [("recorded:recorded", False)]
    texts = recorded.rows(
        "select table_name, column_name from duckdb_columns()"
        " where schema_name = 'meta' and data_type = 'VARCHAR'"
    )
    for table, column in texts:
        paths = recorded.rows(f'select "{column}" from meta.{table} where "{column}" like \'%/shared/%\'')
        assert paths == [], (table, column)
    assert "/shared/" not in (recorded.published.parent / "build.json").read_text()
