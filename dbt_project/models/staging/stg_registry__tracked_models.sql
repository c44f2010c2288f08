with source as (

    select * from {{ source('raw', 'tracked_models') }} {{ where_fetched_by_then() }}

),

newest_pull as (

    {{ newest_vintage('source') }}

)

select
    source.model_id,
    source.hf_org,
    source.list,
    source.as_of,
    source.pull_id
from source
inner join newest_pull
    on source.pull_id = newest_pull.pull_id
