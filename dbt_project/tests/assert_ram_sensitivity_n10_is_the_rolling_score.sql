-- With n = 10 ram_sensitivity makes the rolling baseline a second time, by other SQL: it must be
-- the published one.
{{ config(meta={'dagster': {'ref': {'name': 'ram_sensitivity'}}}) }}

with sensitivity as (

    select
        model_id,
        day,
        ram,
        baseline_downloads
    from {{ ref('ram_sensitivity') }}
    where variant = 'n10'

),

scores as (

    select
        scores.model_id,
        scores.day,
        scores.ram,
        scores.baseline_downloads
    from {{ ref('ram_scores') }} as scores
    inner join {{ ref('ram_baselines_defined') }} as defined
        on scores.baseline = defined.baseline
    where
        scores.baseline = 'tenth_rolling'
        and defined.n = 10

)

select
    scores.model_id,
    scores.day,
    scores.ram,
    sensitivity.ram as ram_again
from scores
left join sensitivity
    on
        scores.model_id = sensitivity.model_id
        and scores.day = sensitivity.day
where
    sensitivity.model_id is null
    or coalesce(scores.ram, -1) <> coalesce(sensitivity.ram, -1)
    or coalesce(scores.baseline_downloads, -1) <> coalesce(sensitivity.baseline_downloads, -1)
