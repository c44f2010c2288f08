{#- Shares of inference by one attribute, by base and by publisher side by side (definitions 7.5).

    key: column of inference_by_model_monthly for the base; publisher_key: the same for the publisher.
    One row per month, scope and key that either side knows. -#}
{% macro inference_by(key, publisher_key) -%}
with models as (

    select
        month,
        model,
        tokens,
        is_open,
        case when is_open is null then 'unknown' else coalesce({{ key }}, 'unknown') end as base_key,
        case
            when is_open is null then 'unknown' else coalesce({{ publisher_key }}, 'unknown')
        end as publisher_key,
        row_number() over (
            partition by month, case when is_open then 1 else 0 end
            order by tokens desc, model
        ) as nth
    from {{ ref('inference_by_model_monthly') }}

),

scoped as (

    select
        'open_top10' as scope,
        month,
        base_key,
        publisher_key,
        tokens
    from models
    where
        is_open
        and nth <= 10
    union all
    select
        'open_all' as scope,
        month,
        base_key,
        publisher_key,
        tokens
    from models
    where is_open
    union all
    select
        'all' as scope,
        month,
        base_key,
        publisher_key,
        tokens
    from models

),

-- U of definitions 7.5: cloaked and unlisted models, never the source's own remainder
undecided as (

    select
        month,
        sum(tokens) as tokens
    from models
    where
        is_open is null
        and model <> 'other'
    group by month

),

totals as (

    select
        month,
        scope,
        sum(tokens) as tokens
    from scoped
    group by month, scope

),

sides as (

    select
        month,
        scope,
        base_key as {{ key }},
        tokens as tokens,
        0 as tokens_publisher
    from scoped
    union all
    select
        month,
        scope,
        publisher_key as {{ key }},
        0 as tokens,
        tokens as tokens_publisher
    from scoped

),

summed as (

    select
        month,
        scope,
        {{ key }},
        sum(tokens) as tokens,
        sum(tokens_publisher) as tokens_publisher
    from sides
    group by month, scope, {{ key }}

),

days as (

    select distinct
        month,
        days_present,
        days_in_month
    from {{ ref('inference_by_model_monthly') }}

)

select
    summed.month,
    summed.scope,
    summed.{{ key }},
    cast(summed.tokens as bigint) as tokens,
    cast(summed.tokens as double) / nullif(totals.tokens, 0) as share,
    cast(summed.tokens_publisher as bigint) as tokens_publisher,
    cast(summed.tokens_publisher as double) / nullif(totals.tokens, 0) as share_publisher,
    case
        when summed.scope = 'open_all'
            then cast(summed.tokens as double)
                / nullif(totals.tokens + coalesce(undecided.tokens, 0), 0)
    end as share_low,
    case
        when summed.scope = 'open_all'
            then cast(summed.tokens + coalesce(undecided.tokens, 0) as double)
                / nullif(totals.tokens + coalesce(undecided.tokens, 0), 0)
    end as share_high,
    days.days_present,
    days.days_in_month
from summed
inner join totals
    on
        summed.month = totals.month
        and summed.scope = totals.scope
inner join days
    on summed.month = days.month
left join undecided
    on summed.month = undecided.month
{%- endmacro %}
