{{ config(materialized='table') }}

-- The curve of every component as it could be drawn on each snapshot date: only the points that
-- rest on readings dated on or before it, their running maximum taken again (definitions 2, 5.5).

with snapshots as (

    select
        snapshot_on,
        newest_on,
        is_reached
    from {{ ref('int_ram_snapshots') }}

),

as_ofs as (

    select snapshot_on as as_of
    from snapshots
    where is_reached

    union

    select newest_on as as_of
    from snapshots
    where newest_on is not null

),

components as (

    select component_id
    from {{ ref('int_ram_components') }}

),

points as (

    select
        model_id,
        point_on,
        known_on,
        cumulative,
        kind
    from {{ ref('int_curve_points') }}

)

select
    as_ofs.as_of,
    components.component_id,
    points.point_on,
    points.cumulative,
    max(points.cumulative) over (
        partition by as_ofs.as_of, components.component_id
        order by points.point_on
        rows between unbounded preceding and current row
    ) as cumulative_clean,
    points.kind
from points
inner join components
    on points.model_id = components.component_id
inner join as_ofs
    on points.known_on <= as_ofs.as_of
