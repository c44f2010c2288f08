-- One model of the set in one month, with what a total needs to know of it (definitions 4.1-4.3).

with models as (

    select int_models.model_id
    from {{ ref('int_models') }} as int_models
    where {{ in_model_set('int_models') }}

),

model_months as (

    select * from {{ ref('int_listed_model_months') }}

)

select
    model_months.month,
    model_months.model_id,
    model_months.organization,
    model_months.country,
    model_months.region,
    model_months.size_bucket,
    model_months.family,
    model_months.downloads,
    model_months.downloads_before,
    model_months.downloads_cumulative,
    model_months.is_anomalous,
    model_months.is_expected,
    model_months.reference_downloads,
    model_months.matched_downloads,
    model_months.born_downloads
from model_months
inner join models
    on model_months.model_id = models.model_id
