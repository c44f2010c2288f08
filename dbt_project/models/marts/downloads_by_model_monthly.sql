-- definitions 3, for the models of the set.

with models as (

    select int_models.model_id
    from {{ ref('int_models') }} as int_models
    where {{ in_model_set('int_models') }}

),

downloads as (

    select * from {{ ref('int_listed_model_downloads') }}

)

select
    downloads.model_id,
    downloads.month,
    downloads.downloads,
    downloads.downloads_cumulative,
    downloads.method,
    downloads.observations,
    downloads.gap_days,
    downloads.last_reading_on,
    downloads.is_anomalous,
    downloads.anomaly_reason,
    downloads.null_reason,
    downloads.downloads_to_date,
    downloads.downloads_since_2023_11,
    downloads.counter_correction
from downloads
inner join models
    on downloads.model_id = models.model_id
