{{ config(materialized='table') }}

-- The curve of every component as it could be drawn on each snapshot date: only the points that
-- rest on readings dated on or before it, C* taken again (definitions 2, 5.5). A dip or a fall that
-- was not yet known changes more than which points are there: such a curve is drawn anew.

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

births as (

    select
        int_models.model_id,
        {{ curve_begins_on('int_models') }} as created_on
    from {{ ref('int_models') }} as int_models

),

reopened_readings as (

    select
        readings.*,
        readings.component_id || ' ' || cast(readings.as_of as {{ dbt.type_string() }})
            as drawing_id
    from {{ ref('int_ram_reopened_readings') }} as readings

),

drawings as (

    select distinct
        reopened_readings.drawing_id,
        reopened_readings.as_of,
        reopened_readings.component_id,
        births.created_on
    from reopened_readings
    left join births
        on reopened_readings.component_id = births.model_id

),

redrawn as (

    {{ curve_points('reopened_readings', 'drawings', 'drawing_id') }}

),

points as (

    select
        model_id,
        point_on,
        known_on,
        cumulative,
        cumulative_before,
        is_break,
        kind
    from {{ ref('int_curve_points') }}

),

all_points as (

    select
        as_ofs.as_of,
        components.component_id,
        points.point_on,
        points.cumulative,
        points.cumulative_before,
        coalesce(points.is_break, false) as is_break,
        points.kind
    from points
    inner join components
        on points.model_id = components.component_id
    inner join as_ofs
        on points.known_on <= as_ofs.as_of
    left join drawings
        on
            points.model_id = drawings.component_id
            and as_ofs.as_of = drawings.as_of
    where drawings.drawing_id is null
    union all
    select
        drawings.as_of,
        drawings.component_id,
        redrawn.point_on,
        redrawn.cumulative,
        redrawn.cumulative_before,
        redrawn.is_break,
        redrawn.kind
    from redrawn
    inner join drawings
        on redrawn.drawing_id = drawings.drawing_id

),

clean as (

    {{ with_clean_curve('all_points', ['as_of', 'component_id']) }}

)

select
    as_of,
    component_id,
    point_on,
    cumulative,
    cumulative_before,
    cumulative_clean,
    breaks,
    false as is_hub_fault,
    kind
from clean
