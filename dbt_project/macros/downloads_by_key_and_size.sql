{#-
  The monthly download totals of one key and size bucket (definitions 4): the body of every
  downloads_by_<key>_size_monthly.

  key: a column of int_downloads_model_months (organization, region).
  with_region: also give the region of the key (organizations only).

  A row exists for every month in which the key has an expected model or a known cumulative in the
  bucket, as in downloads_by.
-#}
{% macro downloads_by_key_and_size(key, with_region=false) -%}
with model_months as (

    select
        month,
        model_id,
        {{ key }},
        {%- if with_region %}
        region,
        {%- endif %}
        size_bucket,
        downloads,
        downloads_cumulative,
        is_anomalous,
        is_expected,
        reference_downloads
    from {{ ref('int_downloads_model_months') }}

),

{% if with_region -%}
regions as (

    {{ organization_regions('model_months') }}

),

{% endif -%}
totals as (

    select
        month,
        {{ key }},
        size_bucket,
        {{ next_month('month') }} <= {{ today() }} as is_closed,
        cast(sum(downloads) as {{ dbt.type_bigint() }}) as downloads,
        cast(
            sum(case when not is_anomalous then downloads end) as {{ dbt.type_bigint() }}
        ) as downloads_without_anomalies,
        -- at the end of the open month only the counters of models that are gone are known
        case
            when {{ next_month('month') }} <= {{ today() }}
                then cast(sum(downloads_cumulative) as {{ dbt.type_bigint() }})
        end as downloads_cumulative,
        cast(count(downloads) as {{ dbt.type_int() }}) as models_measured,
        cast(count(case when is_expected then 1 end) as {{ dbt.type_int() }}) as models_expected,
        sum(case when downloads is not null then reference_downloads end) as reference_measured,
        sum(case when is_expected then reference_downloads end) as reference_expected
    from model_months
    group by month, {{ key }}, size_bucket
    having
        count(case when is_expected then 1 end) > 0
        or count(downloads_cumulative) > 0

),

measures as (

    select
        totals.*,
        sum(downloads) over (partition by month, size_bucket) as size_downloads,
        sum(downloads_cumulative) over (partition by month, size_bucket) as size_cumulative,
        sum(downloads) over (partition by month, {{ key }}) as key_downloads,
        sum(downloads_cumulative) over (partition by month, {{ key }}) as key_cumulative,
        row_number() over (
            partition by month, size_bucket
            order by
                case when downloads is null then 1 else 0 end asc,
                downloads desc,
                {{ key }} asc
        ) as place_in_size
    from totals

)

select
    measures.month,
    measures.{{ key }},
    measures.size_bucket,
    {%- if with_region %}
    regions.region,
    {%- endif %}
    measures.downloads,
    cast(measures.downloads as double) / nullif(measures.size_downloads, 0) as share_of_size,
    cast(measures.downloads as double) / nullif(measures.key_downloads, 0) as share_of_{{ key }},
    measures.downloads_cumulative,
    cast(measures.downloads_cumulative as double)
    / nullif(measures.size_cumulative, 0) as share_of_size_cumulative,
    cast(measures.downloads_cumulative as double)
    / nullif(measures.key_cumulative, 0) as share_of_{{ key }}_cumulative,
    case
        when measures.downloads is not null
            then cast(measures.place_in_size as {{ dbt.type_int() }})
    end as rank_in_size,
    measures.models_measured,
    measures.models_expected,
    cast(coalesce(measures.reference_measured, 0) as double)
    / nullif(measures.reference_expected, 0) as coverage,
    measures.downloads_without_anomalies,
    case
        when measures.downloads is not null then null
        when not measures.is_closed then 'month_open'
        when measures.models_expected = 0 then 'all_models_gone'
        else 'no_model_measured'
    end as null_reason
from measures
{%- if with_region %}
inner join regions
    on measures.organization = regions.organization
{%- endif %}
{%- endmacro %}


{#-
  The region of each organization: that of its namespaces which most of its models bear, known before unknown,
  ties by name. A select of (organization, region).

  relation: relation or CTE with organization, region, model_id.
-#}
{% macro organization_regions(relation) -%}
    select
        ranked.organization,
        ranked.region
    from (
        select
            organization,
            region,
            row_number() over (
                partition by organization
                order by
                    case when region = 'unknown' then 1 else 0 end asc,
                    count(distinct model_id) desc,
                    region asc
            ) as nth
        from {{ relation }}
        group by organization, region
    ) as ranked
    where ranked.nth = 1
{%- endmacro %}
