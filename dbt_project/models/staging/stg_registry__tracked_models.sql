with source as (

    select * from {{ source('raw', 'tracked_models') }}

),

newest_pull as (

    {{ newest_vintage(source('raw', 'tracked_models')) }}

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
