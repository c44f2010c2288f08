-- definitions 5.8: of an nth pool exactly n models reach the baseline, more only on ties. Judged
-- where the baseline was made: a frozen one among the values known at its snapshot.
{{ config(meta={'dagster': {'ref': {'name': 'ram_baselines'}}}) }}

with baselines as (

    select
        baseline,
        snapshot_on,
        size_bucket,
        day,
        n,
        downloads
    from {{ ref('ram_baselines') }}
    where
        rule = 'nth'
        and downloads > 0

),

measurements as (

    select
        as_of,
        size_bucket,
        day,
        downloads_at_day
    from {{ ref('int_ram_measurements') }}

),

-- how many reach it, and how many exceed it
counts as (

    select
        baselines.baseline,
        baselines.size_bucket,
        baselines.day,
        baselines.n,
        count(case when measurements.downloads_at_day >= baselines.downloads then 1 end) as reach,
        count(case when measurements.downloads_at_day > baselines.downloads then 1 end) as exceed
    from baselines
    left join measurements
        on
            baselines.snapshot_on = measurements.as_of
            and baselines.size_bucket = measurements.size_bucket
            and baselines.day = measurements.day
    group by baselines.baseline, baselines.size_bucket, baselines.day, baselines.n

)

select
    baseline,
    size_bucket,
    day,
    n,
    reach,
    exceed
from counts
where
    reach < n
    or exceed >= n
