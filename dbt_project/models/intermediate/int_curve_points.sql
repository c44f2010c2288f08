-- The points of every curve C, and of C* (definitions 2).

with readings as (

    select * from {{ ref('int_used_readings') }}

),

births as (

    select
        int_models.model_id,
        {{ curve_begins_on('int_models') }} as created_on
    from {{ ref('int_models') }} as int_models
    where int_models.alias_of is null

),

points as (

    {{ curve_points('readings', 'births', 'model_id') }}

),

clean as (

    {{ with_clean_curve('points', ['model_id']) }}

)

select
    model_id,
    point_on,
    cumulative,
    cumulative_before,
    cumulative_clean,
    breaks,
    is_break,
    kind,
    known_on,
    is_hub_fault
from clean
