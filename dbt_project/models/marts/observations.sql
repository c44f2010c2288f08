with readings as (

    select * from {{ ref('int_readings') }}

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
