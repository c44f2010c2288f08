-- The readings curves stand on: used ones, under the newest id, of models that may be charted.

with readings as (

    select * from {{ ref('int_readings') }}

),

models as (

    select model_id
    from {{ ref('int_models') }}
    where
        alias_of is null
        and (tracked_list <> 'none' or '{{ var("model_set") }}' = 'all')

)

select
    models.model_id,
    readings.observed_on,
    readings.downloads_30d,
    readings.downloads_all_time,
    readings.flag,
    coalesce(readings.is_hub_fault, false) as is_hub_fault
from readings
inner join models
    on readings.canonical_id = models.model_id
where readings.is_used
