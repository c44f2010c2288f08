-- definitions 7.1, 7.5: a month sums to the source's total, by model and in scope `all`.
{{ config(meta={'dagster': {'ref': {'name': 'inference_by_model_monthly'}}}) }}

with source as (

    select
        {{ month_of('day') }} as month,
        sum(total_tokens) as tokens
    from {{ ref('stg_openrouter__tokens') }}
    group by {{ month_of('day') }}

),

models as (

    select
        month,
        sum(tokens) as tokens
    from {{ ref('inference_by_model_monthly') }}
    group by month

),

regions as (

    select
        month,
        sum(tokens) as tokens,
        sum(tokens_publisher) as tokens_publisher
    from {{ ref('inference_by_region_monthly') }}
    where scope = 'all'
    group by month

)

select
    source.month,
    source.tokens,
    models.tokens as tokens_of_models,
    regions.tokens as tokens_of_regions
from source
left join models
    on source.month = models.month
left join regions
    on source.month = regions.month
where
    coalesce(models.tokens, -1) <> source.tokens
    or coalesce(regions.tokens, -1) <> source.tokens
    or coalesce(regions.tokens_publisher, -1) <> source.tokens
