-- Shares of one month and scope, or of one population of derivatives, add up.
{{ config(meta={'dagster': {'ref': {'name': 'inference_by_region_monthly'}}}) }}

with sums as (

    {% for key in ['organization', 'region'] %}
        select
            'inference_by_{{ key }}_monthly' as table_name,
            month,
            scope as population,
            sum(share) as share,
            sum(share_publisher) as share_other
        from {{ ref('inference_by_' ~ key ~ '_monthly') }}
        group by month, scope
        union all
    {% endfor %}
    {% for key in ['organization', 'region', 'family'] %}
        select
            'derivatives_by_{{ key }}_monthly' as table_name,
            month,
            relation || ' ' || min_downloads || ' ' || community_only as population,
            sum(share) as share,
            sum(share_all) as share_other
        from {{ ref('derivatives_by_' ~ key ~ '_monthly') }}
        group by month, relation, min_downloads, community_only
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

)

select
    table_name,
    month,
    population,
    share,
    share_other
from sums
where
    abs(share - 1) > 0.000001
    or abs(share_other - 1) > 0.000001
