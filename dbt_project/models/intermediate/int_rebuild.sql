-- From which day on the incremental tables compute their rows again; one row, empty when none need.
-- A reading's flags stand on readings before it and up to 14 days after it (definitions 1.6), and
-- on which ids are one model: an id that has joined or left another changes both from its first
-- reading on.

with changed as (

    select cast({{ changed_from() }} as date) as changed_from

),

{%- set standing = adapter.get_relation(
    database=this.database, schema=this.schema, identifier='int_readings_ranked'
) if execute else none %}
{%- set nothing %}(
    select '' as model_id, '' as canonical_id, {{ first_month() }} as observed_on where false
){% endset %}

moved as (

    select min(ids.first_on) as first_on
    from (
        select
            readings.model_id,
            readings.canonical_id,
            min(readings.observed_on) as first_on
        from {{ standing or nothing }} as readings
        group by readings.model_id, readings.canonical_id
    ) as ids
    left join {{ ref('int_model_aliases') }} as aliases
        on ids.model_id = aliases.model_id
    where ids.canonical_id <> coalesce(aliases.canonical_id, ids.model_id)

),

starts as (

    select {{ month_of(add_days('changed_from', -14)) }} as start_on
    from changed
    union all
    select {{ month_of(add_days('first_on', -14)) }} as start_on
    from moved

)

select min(start_on) as start_on
from starts
having min(start_on) is not null
