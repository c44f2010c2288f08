-- How few keys hold the downloads of a month. Squares are summed as whole numbers, so that the
-- order of rows does not matter; what has no key counts in the denominator only.

{%- set units = {
    'organization': 'organization', 'model': 'model_id', 'country': 'country', 'family': 'family'
} %}

with model_months as (

    select
        month,
        model_id,
        organization,
        country,
        family,
        downloads,
        case
            when {{ next_month('month') }} <= {{ today() }} then downloads_cumulative
        end as downloads_cumulative,
        is_anomalous,
        is_expected,
        reference_downloads
    from {{ ref('int_downloads_model_months') }}

),

months as (

    select
        month,
        {{ next_month('month') }} <= {{ today() }} as is_closed,
        cast(
            coalesce(sum(case when downloads is not null then reference_downloads end), 0) as double
        ) / nullif(sum(case when is_expected then reference_downloads end), 0) as coverage,
        cast(count(case when is_expected then downloads_cumulative end) as double)
        / nullif(count(case when is_expected then 1 end), 0) as coverage_cumulative,
        count(case when is_anomalous and downloads is not null then 1 end) as anomalous,
        count(case when is_anomalous then 1 end) as flagged
    from model_months
    group by month

),

measures as (

    select
        month,
        'downloads' as measure,
        is_closed,
        coverage,
        anomalous > 0 as has_anomalies
    from months
    union all
    select
        month,
        'downloads_cumulative' as measure,
        is_closed,
        coverage_cumulative as coverage,
        sum(flagged) over (
            order by month
            rows between unbounded preceding and current row
        ) > 0 as has_anomalies
    from months

),

units as (

    {% for unit in units %}
        select '{{ unit }}' as unit
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

totals as (

    {% for unit, column in units.items() %}
        select
            month,
            '{{ unit }}' as unit,
            {{ column }} as unit_key,
            sum(downloads) as downloads,
            sum(downloads_cumulative) as downloads_cumulative
        from model_months
        group by month, {{ column }}
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

key_values as (

    {% for measure in ['downloads', 'downloads_cumulative'] %}
        select
            month,
            unit,
            '{{ measure }}' as measure,
            unit_key,
            unit_key <> 'unknown' as is_attributed,
            cast({{ measure }} as decimal(19, 0)) as key_value
        from totals
        where {{ measure }} is not null
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

ranked as (

    select
        month,
        unit,
        measure,
        is_attributed,
        key_value,
        row_number() over (
            partition by month, unit, measure, is_attributed
            order by key_value desc, unit_key asc
        ) as place
    from key_values

),

sums as (

    select
        month,
        unit,
        measure,
        sum(key_value) as total,
        count(case when is_attributed and key_value > 0 then 1 end) as keys,
        coalesce(sum(case when is_attributed then key_value * key_value end), 0) as squares,
        coalesce(sum(case when is_attributed and place <= 1 then key_value end), 0) as top1,
        coalesce(sum(case when is_attributed and place <= 5 then key_value end), 0) as top5,
        coalesce(sum(case when is_attributed and place <= 10 then key_value end), 0) as top10,
        coalesce(sum(case when not is_attributed then key_value end), 0) as unattributed
    from ranked
    group by month, unit, measure

),

-- exact until here
concentration as (

    select
        month,
        unit,
        measure,
        keys,
        nullif(cast(total as double), 0) as total,
        cast(squares as double) as squares,
        cast(top1 as double) as top1,
        cast(top5 as double) as top5,
        cast(top10 as double) as top10,
        cast(unattributed as double) as unattributed
    from sums

)

select
    measures.month,
    units.unit,
    measures.measure,
    case
        when concentration.total is not null
            then cast(concentration.keys as {{ dbt.type_int() }})
    end as keys,
    concentration.squares / (concentration.total * concentration.total) as hhi,
    (
        concentration.squares
        + concentration.unattributed * (concentration.unattributed + 2 * concentration.top1)
    ) / (concentration.total * concentration.total) as hhi_high,
    concentration.top1 / concentration.total as top1_share,
    concentration.top5 / concentration.total as top5_share,
    concentration.top10 / concentration.total as top10_share,
    concentration.unattributed / concentration.total as share_unattributed,
    measures.coverage,
    measures.has_anomalies,
    case
        when concentration.total is not null then null
        when not measures.is_closed then 'month_open'
        when concentration.month is null and measures.measure = 'downloads' then 'no_model_measured'
        when concentration.month is null then 'no_counter'
        else 'no_downloads'
    end as null_reason
from measures
cross join units
left join concentration
    on
        measures.month = concentration.month
        and measures.measure = concentration.measure
        and units.unit = concentration.unit
