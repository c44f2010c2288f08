with source as (

    select * from {{ source('raw', 'model_parameters') }} {{ where_fetched_by_then() }}

),

newest_pull as (

    {{ newest_vintage('source') }}

)

select
    source.model_id,
    source.total_params_b,
    source.active_params_b,
    source.is_moe,
    source.notes,
    source.as_of,
    source.pull_id
from source
inner join newest_pull
    on source.pull_id = newest_pull.pull_id
