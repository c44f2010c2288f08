with tokens as (

    select * from {{ ref('stg_openrouter__tokens') }}

),

models as (

    select * from {{ ref('int_inference_models') }}

),

overrides as (

    select * from {{ ref('openness_overrides') }}

),

-- variants are summed before anything is ranked
model_months as (

    select
        {{ month_of('day') }} as month,
        model,
        sum(total_tokens) as tokens
    from tokens
    group by {{ month_of('day') }}, model

),

days as (

    select
        {{ month_of('day') }} as month,
        count(distinct day) as days_present
    from tokens
    group by {{ month_of('day') }}

),

months as (

    select
        month,
        days_present,
        {{ dbt.datediff('month', next_month('month'), 'day') }}
            as days_in_month
    from days

),

-- an override holds from the month it begins in until the next one of the model
overridden as (

    select
        model_months.month,
        model_months.model,
        overrides.is_open,
        row_number() over (
            partition by model_months.month, model_months.model
            order by overrides.valid_from desc, overrides.is_open asc
        ) as nth
    from model_months
    inner join overrides
        on
            model_months.model = overrides.model
            and overrides.valid_from < {{ next_month('model_months.month') }}

)

select
    model_months.month,
    model_months.model,
    cast(model_months.tokens as bigint) as tokens,
    coalesce(overridden.is_open, models.is_open) as is_open,
    case
        when overridden.is_open is not null then 'override'
        when model_months.model = 'other' then 'other'
        else models.openness_rule
    end as openness_rule,
    models.organization,
    models.country,
    coalesce(models.region, 'unknown') as region,
    models.publisher_organization,
    coalesce(models.publisher_region, 'unknown') as publisher_region,
    models.attribution,
    models.hf_model_id,
    cast(months.days_present as integer) as days_present,
    cast(months.days_in_month as integer) as days_in_month
from model_months
inner join months
    on model_months.month = months.month
left join models
    on model_months.model = models.model
left join overridden
    on
        model_months.month = overridden.month
        and model_months.model = overridden.model
        and overridden.nth = 1
