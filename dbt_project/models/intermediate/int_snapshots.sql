{{ config(
    materialized='incremental',
    incremental_strategy='replace_from',
    dated_by='observed_on',
    on_schema_change='fail'
) }}

-- depends_on: {{ ref('int_rebuild') }}

-- definitions 1.4 and 1.5: what a source's day says of itself, seen over all its models. A snapshot
-- is all that one source read on one day.

with
{%- if is_incremental() %}

-- a snapshot is compared with the one before it, which may not be computed again
compared_days as (

    select min(last_days.last_on) as from_on
    from (
        select
            source,
            max(observed_on) as last_on
        from {{ this }}
        where observed_on < {{ rebuilt_from() }}
        group by source
    ) as last_days

),
{%- endif %}

readings as (

    select
        source,
        canonical_id,
        observed_on,
        downloads_30d,
        is_stale
    from {{ ref('int_readings_ranked') }}
    where
        source_place = 1
        and {{
            'observed_on >= coalesce((select from_on from compared_days), ' ~ rebuilt_from() ~ ')'
            if is_incremental() else 'true'
        }}

),

accepted as (

    select
        source,
        observed_on
    from {{ ref('accepted_snapshots') }}

),

days as (

    select
        source,
        observed_on,
        lag(observed_on) over (partition by source order by observed_on) as previous_on
    from (
        select distinct
            source,
            observed_on
        from readings
    ) as dates

),

large as (

    select
        source,
        canonical_id,
        observed_on,
        is_stale,
        cast(downloads_30d as double) / lag(downloads_30d) over by_model as ratio,
        lag(observed_on) over by_model as previous_on
    from readings
    where downloads_30d >= 1000
    window by_model as (
        partition by source, canonical_id
        order by observed_on
    )

),

-- models that stand in both, in the later one with numbers of its own
measures as (

    select
        large.source,
        large.observed_on,
        count(*) as common_models,
        {{ quantile('large.ratio', 0.1) }} as ratio_low,
        {{ quantile('large.ratio', 0.5) }} as ratio_median,
        {{ quantile('large.ratio', 0.9) }} as ratio_high
    from large
    inner join days
        on
            large.source = days.source
            and large.observed_on = days.observed_on
            and large.previous_on = days.previous_on
    where not large.is_stale
    group by large.source, large.observed_on

),

judged as (

    select
        days.source,
        days.observed_on,
        days.previous_on,
        coalesce(measures.common_models, 0) as common_models,
        measures.ratio_low,
        measures.ratio_median,
        measures.ratio_high,
        {{ days_between('days.previous_on', 'days.observed_on') }} as gap_days
    from days
    left join measures
        on
            days.source = measures.source
            and days.observed_on = measures.observed_on

)

select
    judged.source,
    judged.observed_on,
    judged.previous_on,
    judged.common_models,
    judged.ratio_low,
    judged.ratio_median,
    judged.ratio_high,
    coalesce(
        judged.gap_days >= 7
        and judged.common_models >= 200
        and judged.ratio_high / judged.ratio_low < 1.25,
        false
    ) as is_suspect,
    accepted.source is not null as is_accepted,
    coalesce(
        judged.gap_days <= 7
        and judged.common_models >= 30
        and (judged.ratio_median < 0.88 or judged.ratio_median > 1.15),
        false
    ) as is_hub_fault
from judged
left join accepted
    on
        judged.source = accepted.source
        and judged.observed_on = accepted.observed_on
{{ only_rebuilt('judged.observed_on') }}
