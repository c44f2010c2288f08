with source as (

    select * from {{ source('raw', 'tracked_models') }} {{ where_fetched_by_then() }}

)

select distinct
    cast(as_of as date) as vintage_on,
    list,
    model_id
from source
