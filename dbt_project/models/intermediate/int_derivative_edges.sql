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

-- by name first: of all its readings a name only lends its newest day; no other is compared
newest_by_name as (

    select
        model_id,
        max(observed_on) as observed_on
    from edges
    group by model_id

),

newest_by_child as (

    select
        ids.canonical_id as child_id,
        newest_by_name.model_id,
        newest_by_name.observed_on,
        max(newest_by_name.observed_on) over (partition by ids.canonical_id) as newest_on
    from newest_by_name
    inner join ids
        on newest_by_name.model_id = ids.model_id

),

readings as (

    select distinct
        newest_by_child.child_id,
        edges.model_id,
        edges.source,
        edges.observed_on,
        edges.pull_id
    from newest_by_child
    inner join edges
        on
            newest_by_child.model_id = edges.model_id
            and newest_by_child.newest_on = edges.observed_on

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
