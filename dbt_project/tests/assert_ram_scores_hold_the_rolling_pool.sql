-- definitions 5.8 in the published tables: under the rolling baseline the pool is those scored.
{{ config(meta={'dagster': {'ref': {'name': 'ram_scores'}}}) }}

with scores as (

    select
        baseline,
        size_bucket,
        day,
        count(ram) as scored,
        count(case when ram >= 1 then 1 end) as at_or_above,
        count(case when ram > 1 then 1 end) as above
    from {{ ref('ram_scores') }}
    where ram is not null
    group by baseline, size_bucket, day

),

baselines as (

    select
        baseline,
        size_bucket,
        day,
        n,
        pool_size
    from {{ ref('ram_baselines') }}
    where
        rule = 'nth'
        and not is_frozen
        and downloads > 0

)

select
    baselines.baseline,
    baselines.size_bucket,
    baselines.day,
    baselines.pool_size,
    scores.scored,
    scores.at_or_above,
    scores.above
from baselines
left join scores
    on
        baselines.baseline = scores.baseline
        and baselines.size_bucket = scores.size_bucket
        and baselines.day = scores.day
where
    scores.scored is null
    or scores.scored <> baselines.pool_size
    or scores.at_or_above < baselines.n
    or scores.above >= baselines.n
