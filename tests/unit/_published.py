"""A small published file with every table the report page reads: a year of four labs, one with a bad name."""

from __future__ import annotations

from pathlib import Path

import duckdb

HOSTILE = "</script><script>alert('x')</script>"
"""An organization, a family and the namespace of a model; a page must show it and never run it."""

_TABLES = {
    "meta.world": "select 'sample' as world, true as is_synthetic",
    "meta.build": """
        select
            '20260102T000000Z-0123abcd' as build_id, 'sample' as world, true as is_synthetic,
            '2026-01-02T00:00:00+00:00' as built_at, 'a' as inputs, 'b' as code,
            '{"first_month": "2025-01-01", "today": "2026-01-02"}' as vars, cast(null as varchar) as as_of,
            '0.1.0' as atom_version, '2.0.0' as duckdb_version, '1.11' as dbt_version,
            '1.13' as dagster_version""",
    "meta.checks": """
        select * from (values
            ('keys_are_unique', 'No key stands twice', true, 0, ''),
            ('fresh', 'The newest month is held', false, 1, 'month 2026-01-01, newest_day 2025-12-31')
        ) as rules (rule, description, passed, violations, examples)""",
    "meta.pulls": """
        select
            'openrouter_rankings' as source, '2025-01-01_2026-01-01' as scope, as_of, as_of as fetched_at
        from (values (timestamp '2026-01-02 00:10:00')) as pulls (as_of)""",
    "months": """
        select cast(range as date) as month
        from range(date '2025-01-01', date '2026-02-01', interval 1 month)""",
    "labs": """
        select * from (values
            ('Qwen', 'Qwen', 'china', 'CN', 4e6, '1-5B'), ('Meta', 'Llama', 'us', 'US', 2e6, '250B+'),
            ('Mistral AI', 'Mistral', 'eu', 'FR', 1e6, '<1B'),
            ('HOSTILE', 'HOSTILE', 'other', 'KR', 5e5, 'unknown')
        ) as labs (organization, family, region, country, size, size_class)""",
    "marts.models": """
        select
            organization || '/' || 'model-' || size_bucket as model_id, organization, country, region, family,
            date '2025-06-01' as release_date, size_bucket, 'core' as tracked_list,
            cast(null as varchar) as alias_of, cast(null as varchar) as precision_variant_of
        from labs, (values ('1-5B'), ('250B+')) as sizes (size_bucket)""",
    "marts.observations": """
        select
            'hub_live' as source, model_id, date '2026-01-02' as observed_on,
            cast(100 as bigint) as downloads_all_time
        from marts.models""",
    "months_of": """
        select
            labs.*, months.month,
            case when months.month < '2026-01-01' then cast(size * (1 + month(months.month)) as bigint) end
                as downloads,
            case when months.month < '2026-01-01' then cast(size * (10 + month(months.month)) as bigint) end
                as downloads_cumulative,
            case when months.month < '2026-01-01' then 1.0 else 0.0 end as coverage,
            case when months.month >= '2026-01-01' then 'month_open' end as null_reason
        from labs, months""",
    **{
        f"marts.downloads_by_{key.removesuffix('_bucket')}_monthly": f"""
        select
            month, {name} as {key}, downloads, downloads / sum(downloads) over (partition by month) as share,
            downloads_cumulative,
            downloads_cumulative / sum(downloads_cumulative) over (partition by month) as share_cumulative,
            cast(1 as integer) as models_measured, cast(1 as integer) as models_expected, coverage,
            coverage as coverage_cumulative, downloads as downloads_linked,
            case when organization = 'Qwen' and month = '2025-08-01' then downloads - 5 else downloads end
                as downloads_without_anomalies,
            null_reason
        from months_of"""
        for key, name in {
            "organization": "organization",
            "region": "region",
            "family": "family",
            "size_bucket": "size_class",
        }.items()
    },
    "marts.downloads_by_model_monthly": """
        select
            organization || '/model-1-5B' as model_id, month, downloads, downloads_cumulative,
            'observed' as method,
            organization = 'Qwen' and month = '2025-08-01' as is_anomalous,
            case when organization = 'Qwen' and month = '2025-08-01' then 'spike' end as anomaly_reason
        from months_of""",
    "marts.downloads_by_organization_size_monthly": """
        select
            month, organization, '250B+' as size_bucket, downloads,
            downloads / sum(downloads) over (partition by month) as share_of_size, downloads_cumulative,
            downloads_cumulative / sum(downloads_cumulative) over (partition by month)
                as share_of_size_cumulative,
            downloads as downloads_without_anomalies, coverage, null_reason
        from months_of""",
    "marts.downloads_concentration_monthly": """
        select
            month, unit, 'downloads' as measure, 4 as keys, 0.4 + 0.01 * month(month) as hhi,
            0.5 as top1_share,
            0.9 as top5_share, 1.0 as top10_share, 0.0 as share_unattributed, 1.0 as coverage,
            cast(null as varchar) as null_reason,
            month = '2025-08-01' as has_anomalies
        from months, (values ('organization'), ('model')) as units (unit) where month < '2026-01-01'""",
    "marts.new_entrants_monthly": """
        select
            date '2025-08-01' as since, month, organization, region, downloads,
            cast(sum(downloads) over (partition by organization order by month) as bigint) as downloads_since,
            cast(sum(downloads) over (partition by organization order by month) as bigint)
                as downloads_since_without_anomalies,
            cast(0 as bigint) as downloads_new_models_since, cast(9 as bigint) as downloads_before,
            organization <> 'Qwen' as is_entrant, 1.0 as coverage_since, null_reason
        from months_of where month >= '2025-08-01'""",
    "marts.downloads_by_model_set_monthly": """
        select
            month, model_set, region, cast(downloads * weight as bigint) as downloads, downloads_cumulative,
            1 as models_measured, coverage, cast(downloads * weight as bigint) as downloads_without_anomalies,
            null_reason
        from months_of, (values ('core', 1.0), ('all', 1.5)) as sets (model_set, weight)""",
    **{
        f"marts.derivatives_by_{key}_monthly": f"""
        select
            month, 'all' as relation, min_downloads, false as community_only, {key},
            size / 1e5 as new_derivatives,
            size / 7.5e6 as share, size / 7.5e6 as share_all, month >= '2025-12-01' as is_provisional
        from labs, months, (values (0), (5), (50)) as limits (min_downloads)"""
        for key in ("region", "family", "organization")
    },
    "marts.derivatives_by_country_pair_monthly": """
        select
            month, 'all' as relation, 5 as min_downloads, 'unknown' as country, country as base_country,
            size / 1e5 as new_derivatives
        from labs, months""",
    "marts.inference_by_region_monthly": """
        select
            month, scope, region, cast(size as bigint) as tokens, size / 7.5e6 as share,
            cast(size as bigint) as tokens_publisher, 0.9 * size / 7.5e6 as share_publisher,
            size / 8e6 as share_low, size / 7e6 as share_high,
            case when month = '2026-01-01' then 1 else 30 end as days_present, 31 as days_in_month
        from labs, months, (values ('open_top10'), ('open_all')) as scopes (scope)""",
    "marts.ram_baselines": """
        select baseline, rule, 10 as n, is_frozen, date '2025-12-01' as snapshot_on, 500.0 as downloads
        from (values ('tenth_2025_q4', 'nth', true), ('tenth_rolling', 'nth', false))
        as baselines (baseline, rule, is_frozen)""",
    "marts.ram_scores": """
        select
            model_id, baseline, day, size_bucket, 400.0 + day as downloads_at_day,
            500.0 as baseline_downloads,
            (400.0 + day) / 500 as ram, 0.5 as ram_low, 1.5 as ram_high, cast(null as varchar) as null_reason
        from marts.models, marts.ram_baselines, (values (7), (30), (180)) as days (day)""",
    "marts.ram_sensitivity": """
        select
            model_id, day, variant, ram * weight as ram, ram as ram_reference, weight as ratio,
            (ram * weight >= 1) <> (ram >= 1) as crosses_one, false as crosses_one_surely
        from marts.ram_scores, (values ('n5', 0.5), ('n10', 1.0)) as variants (variant, weight)""",
    "marts.ram_backtest": """
        select
            baseline, 30 as early_day, 180 as later_day, 'all' as size_bucket, ram_band, hit_rate,
            hit_rate / 2 as hit_rate_low, least(1.0, hit_rate * 1.5) as hit_rate_high, 40 as models,
            cast(40 * hit_rate as integer) as in_top10, 0.3 as base_rate,
            case when baseline <> 'tenth_rolling' then 3 end as models_out_of_sample,
            case when baseline <> 'tenth_rolling' then 1 end as in_top10_out_of_sample,
            case when baseline <> 'tenth_rolling' then 1 / 3 end as hit_rate_out_of_sample,
            case when baseline <> 'tenth_rolling' then 0.1 end as hit_rate_out_of_sample_low,
            case when baseline <> 'tenth_rolling' then 0.8 end as hit_rate_out_of_sample_high,
            case when baseline <> 'tenth_rolling' then 0.4 end as base_rate_out_of_sample,
            cast(null as varchar) as null_reason
        from marts.ram_baselines,
            (values ('all', 0.3), ('<0.5', 0.0), ('0.5-1', 0.2), ('1-2', 0.6), ('2+', 0.9))
            as bands (ram_band, hit_rate)""",
    "marts.crossovers": """
        select * from (values
            (
                'downloads_cumulative_by_region', 'china', 'us', 1, date '2025-07-01', date '2025-06-01',
                9e6, 8e6, 1.0, 1.0, true
            ),
            (
                'downloads_cumulative_by_organization', 'Qwen', 'HOSTILE', 1, date '2025-08-01',
                date '2025-07-01', 9e6, 8e6, 0.9, 1.0, false
            )
        ) as crossings (
            metric, leader, trailer, occurrence, month, previous_month, leader_value, trailer_value, coverage,
            coverage_before, is_comparable
        )""",
    "marts.anomalies": """
        select
            model_id, date '2025-08-01' as month, organization, region,
            case when organization = 'Mistral AI' then 'hub_fault' else 'spike' end as anomaly_reason,
            cast(9000000 as bigint) as downloads, 1e6 as typical_downloads, 8e6 as excess_downloads,
            9.0 as ratio, case when organization = 'Mistral AI' then 2 end as fault_models,
            'known' as known_cause, 'https://example.org/cause' as known_cause_url
        from marts.models where organization <> 'Meta'""",
    "marts.claims": """
        select * from (values
            ('C01', 'China passes the US', null, 202507.0, date '2025-07-01', null, 'disputed', false),
            ('C02', 'China total', 1.15e9, 1.16e9, date '2025-12-01', 0.0087, 'reproduced', true),
            ('C31', 'China at the start', 0.028, null, null, null, 'not_measurable', false)
        ) as claims (
            claim_id, statement, published_value, measured_value, measured_month, relative_difference,
            verdict, is_synthetic_agreement
        ), (select
            'downloads' as published_unit, 'Mar 2026' as published_on, 'value' as comparison,
            0.002 as expected_error, 0.02 as tolerance, 'relative' as tolerance_unit,
            'rounding' as tolerance_reason, 'firm' as certainty,
            'a note' as note, 'paper' as source)""",
}


def write(path: Path, *, is_empty: bool = False) -> Path:
    """Write the file; ``is_empty`` leaves every mart without rows."""
    with duckdb.connect(str(path)) as connection:
        connection.execute("create schema marts; create schema meta")
        for name, sql in _TABLES.items():
            connection.execute(
                f"create table {name} as {sql.replace('HOSTILE', HOSTILE.replace(chr(39), chr(39) * 2))}"
            )
        for name in ("months_of", "months", "labs"):
            connection.execute(f"drop table {name}")
        # Literals with a point are decimals; the marts hold doubles.
        for table, column in connection.execute(
            "select schema_name || '.' || table_name, column_name from duckdb_columns()"
            " where data_type like 'DECIMAL%' and schema_name = 'marts'"
        ).fetchall():
            connection.execute(f"alter table {table} alter {column} type double")
        if is_empty:
            for name in _TABLES:
                if name.startswith("marts."):
                    connection.execute(f"delete from {name}")
    return path
