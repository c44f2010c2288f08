-- definitions 6.7: the lineage of a child is that of its newest reading that tells of one, its
-- bases under their newest ids. A child that was renamed is one child.

with edges as (

    select * from {{ ref('stg_hf__derivatives') }}

),

ids as (

    select * from {{ ref('int_derivative_ids') }}

),

pulls as (

    select * from {{ ref('stg_pulls') }}

),

readings as (

    select
        ids.canonical_id as child_id,
        edges.model_id,
        edges.source,
        edges.observed_on,
        edges.pull_id
    from edges
    inner join ids
        on edges.model_id = ids.model_id
    group by ids.canonical_id, edges.model_id, edges.source, edges.observed_on, edges.pull_id

),

newest_days as (

    select
        child_id,
        max(observed_on) as observed_on
    from readings
    group by child_id

),

newest_readings as (

    select
        readings.child_id,
        readings.model_id,
        readings.source,
        readings.observed_on,
        readings.pull_id,
        row_number() over (
            partition by readings.child_id
            order by
                {{ source_rank('readings.source') }},
                readings.source,
                pulls.fetched_at desc,
                readings.pull_id desc,
                case when readings.model_id = readings.child_id then 0 else 1 end,
                readings.model_id
        ) as nth
    from readings
    inner join newest_days
        on
            readings.child_id = newest_days.child_id
            and readings.observed_on = newest_days.observed_on
    left join pulls
        on readings.pull_id = pulls.pull_id

)

select distinct
    newest_readings.child_id,
    edges.relation,
    bases.canonical_id as base_id,
    newest_readings.observed_on
from newest_readings
inner join edges
    on
        newest_readings.model_id = edges.model_id
        and newest_readings.source = edges.source
        and newest_readings.observed_on = edges.observed_on
        and newest_readings.pull_id = edges.pull_id
inner join ids as bases
    on edges.base_model_id = bases.model_id
where
    newest_readings.nth = 1
    and bases.canonical_id <> newest_readings.child_id
