with models as (

    select * from {{ ref('int_models') }}

)

select
    model_id,
    organization,
    hf_org,
    country,
    region,
    family,
    created_on,
    release_date,
    release_date_source,
    total_params_b,
    active_params_b,
    is_moe,
    size_bucket,
    size_source,
    license,
    pipeline_tag,
    precision_variant_of,
    tracked_list,
    alias_of,
    first_observed_on,
    last_observed_on,
    is_gone
from models
