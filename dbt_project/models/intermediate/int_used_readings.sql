-- The readings curves stand on: used ones, under the newest id, of models that may be charted.

with readings as (

    select * from {{ ref('int_readings') }}

),

models as (

    select int_models.model_id
    from {{ ref('int_models') }} as int_models
    where {{ in_widest_set('int_models') }}

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
