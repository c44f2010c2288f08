{{ config(
    materialized='incremental',
    incremental_strategy='replace_from',
    dated_by='observed_on',
    on_schema_change='fail'
) }}

-- depends_on: {{ ref('int_rebuild') }}

with readings as (

    select * from {{ ref('int_readings') }}
    {{ only_rebuilt('observed_on') }}

)

select
    source,
    model_id,
    observed_on,
    downloads_30d,
    downloads_all_time,
    likes,
    pull_id,
    is_used,
    flag,
    folder_date
from readings
