{#-
  The monthly download totals of one key (definitions 4): the body of every downloads_by_<key>_monthly.

  key: a column of int_downloads_model_months (organization, country, region, size_bucket, family).
  share_of_three: also give the share among us, china and eu, as the report prints (regions only).

  A row exists for every month in which the key has an expected model or a known cumulative.
  Sums are over whole numbers, so they do not depend on the order of rows; a share is one division.
-#}
{% macro downloads_by(key, share_of_three=false) -%}
with recursive model_months as (

    select
        month,
        {{ key }},
        downloads,
        downloads_before,
        downloads_cumulative,
        is_anomalous,
        is_expected,
        reference_downloads,
        matched_downloads,
        born_downloads
    from {{ ref('int_downloads_model_months') }}

),

totals as (

    select
        month,
        {{ key }},
        {{ next_month('month') }} <= {{ today() }} as is_closed,
        cast(sum(downloads) as {{ dbt.type_bigint() }}) as downloads,
        cast(
            sum(case when not is_anomalous then downloads end) as {{ dbt.type_bigint() }}
        ) as downloads_without_anomalies,
        cast(sum(downloads_before) as {{ dbt.type_bigint() }}) as downloads_before,
        -- at the end of the open month only the counters of models that are gone are known
        case
            when {{ next_month('month') }} <= {{ today() }}
                then cast(sum(downloads_cumulative) as {{ dbt.type_bigint() }})
        end as downloads_cumulative,
        cast(count(downloads) as {{ dbt.type_int() }}) as models_measured,
        cast(count(case when is_expected then 1 end) as {{ dbt.type_int() }}) as models_expected,
        count(
            case
                when is_expected and {{ next_month('month') }} <= {{ today() }}
                    then downloads_cumulative
            end
        ) as models_with_cumulative,
        sum(case when downloads is not null then reference_downloads end) as reference_measured,
        sum(case when is_expected then reference_downloads end) as reference_expected,
        -- both sides of the comparison: only models measured in both months, and on the later
        -- side those born in it
        coalesce(sum(matched_downloads), 0) + coalesce(sum(born_downloads), 0) as compared_now,
        sum(case when matched_downloads is not null then downloads_before end) as compared_before
    from model_months
    group by month, {{ key }}
    having
        count(case when is_expected then 1 end) > 0
        or count(downloads_cumulative) > 0

),

-- No comparison (compared_before is NULL) when what could be compared is less than min_matched of
-- both months' totals. In the example of definitions 4 it is a third of the later month and all of
-- the earlier one, and believed.
measures as (

    select
        month,
        {{ key }},
        is_closed,
        downloads,
        downloads_without_anomalies,
        downloads_cumulative,
        models_measured,
        models_expected,
        cast(coalesce(reference_measured, 0) as double)
        / nullif(reference_expected, 0) as coverage,
        cast(models_with_cumulative as double)
        / nullif(models_expected, 0) as coverage_cumulative,
        compared_now,
        case
            when downloads is null or downloads_before is null then null
            when
                compared_now < {{ var('min_matched') }} * downloads
                and compared_before < {{ var('min_matched') }} * downloads_before
                then null
            else nullif(compared_before, 0)
        end as compared_before,
        sum(downloads) over (partition by month) as month_downloads,
        sum(downloads_cumulative) over (partition by month) as month_downloads_cumulative
        {%- if share_of_three %},
        sum(case when {{ key }} in ('us', 'china', 'eu') then downloads end) over (
            partition by month
        ) as three_downloads
        {%- endif %}
    from totals

),

anchor_order as (

    select
        {{ key }},
        month,
        downloads,
        compared_now,
        compared_before,
        row_number() over (
            partition by {{ key }}
            order by
                case when coverage >= 0.95 then 0 else 1 end asc,
                case when coverage >= 0.95 then 1 else coverage end desc,
                month desc
        ) as place
    from measures
    where
        is_closed
        and downloads is not null
        and coverage is not null

),

-- from the anchor month by month outwards; direction 1 is later, -1 earlier, 0 the anchor itself
linked as (

    select
        {{ key }},
        month,
        0 as direction,
        compared_now,
        compared_before,
        cast(downloads as double) as downloads_linked
    from anchor_order
    where place = 1

    union all

    select
        linked.{{ key }},
        measures.month,
        case when measures.month > linked.month then 1 else -1 end as direction,
        measures.compared_now,
        measures.compared_before,
        case
            when measures.month > linked.month
                then linked.downloads_linked * measures.compared_now / measures.compared_before
            else linked.downloads_linked * linked.compared_before / nullif(linked.compared_now, 0)
        end as downloads_linked
    from linked
    inner join measures
        on
            linked.{{ key }} = measures.{{ key }}
            and (
                (
                    linked.direction >= 0
                    and measures.month = {{ next_month('linked.month') }}
                )
                or (
                    linked.direction <= 0
                    and {{ next_month('measures.month') }} = linked.month
                )
            )
    where linked.downloads_linked is not null

)

select
    measures.month,
    measures.{{ key }},
    measures.downloads,
    cast(measures.downloads as double)
    / nullif(measures.month_downloads, 0) as share,
    {%- if share_of_three %}
    case
        when measures.{{ key }} in ('us', 'china', 'eu')
            then
                cast(measures.downloads as double)
                / nullif(measures.three_downloads, 0)
    end as share_of_three,
    {%- endif %}
    measures.downloads_cumulative,
    cast(measures.downloads_cumulative as double)
    / nullif(measures.month_downloads_cumulative, 0) as share_cumulative,
    case
        when measures.downloads is not null
            then
                cast(
                    row_number() over (
                        partition by measures.month
                        order by
                            case when measures.downloads is null then 1 else 0 end asc,
                            measures.downloads desc,
                            measures.{{ key }} asc
                    ) as {{ dbt.type_int() }}
                )
    end as rank,
    measures.models_measured,
    measures.models_expected,
    measures.coverage,
    measures.coverage_cumulative,
    cast(measures.compared_now - measures.compared_before as double)
    / measures.compared_before as growth,
    cast(round(linked.downloads_linked) as {{ dbt.type_bigint() }}) as downloads_linked,
    measures.downloads_without_anomalies,
    case
        when measures.downloads is not null then null
        when not measures.is_closed then 'month_open'
        when measures.models_expected = 0 then 'all_models_gone'
        else 'no_model_measured'
    end as null_reason
from measures
left join linked
    on
        measures.{{ key }} = linked.{{ key }}
        and measures.month = linked.month
{%- endmacro %}
