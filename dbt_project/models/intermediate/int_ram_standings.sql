{{ config(materialized='table') }}

-- The total of each model on each snapshot date, by which the members of a median_of_top baseline
-- are chosen (definitions 5.6): C there, or at a last reading at most 14 days before.

with components as (

    select
        model_id,
        component_id,
        size_bucket
    from {{ ref('int_ram_components') }}

),

curves as (

    select
        as_of,
        component_id,
        point_on,
        cumulative,
        kind
    from {{ ref('int_ram_curves') }}

),

last_points as (

    select
        as_of,
        component_id,
        max(point_on) as point_on
    from curves
    where kind <> 'birth'
    group by as_of, component_id

)

select
    curves.as_of,
    components.model_id,
    components.size_bucket,
    {{ sum_of_curves('curves.cumulative', var('merge_precision_variants')) }} as cumulative
from last_points
inner join curves
    on
        last_points.as_of = curves.as_of
        and last_points.component_id = curves.component_id
        and last_points.point_on = curves.point_on
inner join components
    on curves.component_id = components.component_id
where last_points.point_on >= {{ add_days('curves.as_of', -14) }}
group by curves.as_of, components.model_id, components.size_bucket
