-- Drawn on the day of the newest reading, the curve RAM uses is C* itself (definitions 1.6, 2).
{{ config(meta={'dagster': {'ref': {'name': 'int_ram_curves'}}}) }}

with newest as (

    select max(newest_on) as as_of
    from {{ ref('int_ram_snapshots') }}

)

select
    curves.component_id,
    curves.point_on,
    curves.cumulative_clean,
    points.cumulative_clean as clean_of_the_curve
from {{ ref('int_ram_curves') }} as curves
inner join newest
    on curves.as_of = newest.as_of
left join {{ ref('int_curve_points') }} as points
    on
        curves.component_id = points.model_id
        and curves.point_on = points.point_on
where
    points.cumulative_clean is null
    or points.cumulative_clean <> curves.cumulative_clean
