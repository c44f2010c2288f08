-- The set that this build's switches name (definitions 0.4) has the totals of
-- downloads_by_region_monthly.
{{ config(meta={'dagster': {'ref': {'name': 'downloads_by_model_set_monthly'}}}) }}

{#- two combinations of switches name no set: core_extra and all, both without T5Gemma -#}
{%- set named = var('model_set') ~ ('' if var('include_t5gemma') else '_without_t5gemma') %}
{%- set is_named = named not in ['core_extra_without_t5gemma', 'all_without_t5gemma'] %}

with sets as (

    select * from {{ ref('downloads_by_model_set_monthly') }}
    where model_set = '{{ named }}'

),

regions as (

    select * from {{ ref('downloads_by_region_monthly') }}

)

select
    coalesce(sets.month, regions.month) as month,
    coalesce(sets.region, regions.region) as region,
    sets.downloads,
    regions.downloads as downloads_of_region
from regions
full outer join sets
    on
        regions.month = sets.month
        and regions.region = sets.region
where
    {{ is_named }}
    and (
        sets.month is null
        or regions.month is null
        or coalesce(sets.downloads, -1) <> coalesce(regions.downloads, -1)
        or coalesce(sets.downloads_cumulative, -1) <> coalesce(regions.downloads_cumulative, -1)
        or sets.models_measured <> regions.models_measured
        or sets.models_expected <> regions.models_expected
        or coalesce(sets.coverage, -1) <> coalesce(regions.coverage, -1)
    )
