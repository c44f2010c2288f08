-- The bands of ram_backtest add up to 'all', and so do the sizes that have a rate; no class has
-- more leaders than there are places.
{{ config(meta={'dagster': {'ref': {'name': 'ram_backtest'}}}) }}

with backtest as (

    select
        baseline,
        early_day,
        later_day,
        size_bucket,
        ram_band,
        models,
        in_top10,
        class_models
    from {{ ref('ram_backtest') }}

),

by_band as (

    select
        baseline,
        early_day,
        later_day,
        size_bucket,
        sum(case when ram_band = 'all' then models else -models end) as models_off,
        sum(case when ram_band = 'all' then in_top10 else -in_top10 end) as in_top10_off
    from backtest
    group by baseline, early_day, later_day, size_bucket

),

by_size as (

    select
        baseline,
        early_day,
        later_day,
        ram_band,
        sum(case when size_bucket = 'all' then models else -models end) as models_off,
        sum(case when size_bucket = 'all' then in_top10 else -in_top10 end) as in_top10_off
    from backtest
    where class_models >= {{ 2 * ram_top() }}
    group by baseline, early_day, later_day, ram_band

)

select
    'the bands do not add up' as problem,
    baseline,
    early_day,
    later_day,
    size_bucket as of_what
from by_band
where models_off <> 0 or in_top10_off <> 0

union all

select
    'the sizes do not add up' as problem,
    baseline,
    early_day,
    later_day,
    ram_band as of_what
from by_size
where models_off <> 0 or in_top10_off <> 0

union all

select
    'more leaders than places' as problem,
    baseline,
    early_day,
    later_day,
    size_bucket as of_what
from backtest
where
    size_bucket <> 'all'
    and in_top10 > {{ ram_top() }}
