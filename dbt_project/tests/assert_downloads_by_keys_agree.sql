-- definitions 4.1: a total is the sum over its measured models, whatever the key; shares sum to 1.
{{ config(meta={'dagster': {'ref': {'name': 'downloads_by_organization_monthly'}}}) }}

with by_key as (

    {% for table in ['organization', 'country', 'region', 'size', 'family'] %}
        select
            '{{ table }}' as table_key,
            month,
            sum(downloads) as downloads,
            sum(downloads_cumulative) as downloads_cumulative,
            sum(models_measured) as models_measured,
            sum(models_expected) as models_expected,
            sum(share) as share_sum
        from {{ ref('downloads_by_' ~ table ~ '_monthly') }}
        group by month
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

by_model as (

    select
        month,
        sum(downloads) as downloads,
        case
            when {{ next_month('month') }} <= {{ today() }} then sum(downloads_cumulative)
        end as downloads_cumulative,
        count(downloads) as models_measured,
        count(case when is_expected then 1 end) as models_expected
    from {{ ref('int_downloads_model_months') }}
    group by month

)

select
    by_key.table_key,
    by_key.month,
    by_key.downloads,
    by_model.downloads as downloads_of_models,
    by_key.share_sum
from by_key
left join by_model
    on by_key.month = by_model.month
where
    by_model.month is null
    or coalesce(by_key.downloads, -1) <> coalesce(by_model.downloads, -1)
    or coalesce(by_key.downloads_cumulative, -1) <> coalesce(by_model.downloads_cumulative, -1)
    or by_key.models_measured <> by_model.models_measured
    or by_key.models_expected <> by_model.models_expected
    or abs(by_key.share_sum - 1) > 1e-9
