with source as (

    select * from {{ source('raw', 'release_date_corrections') }} {{ where_fetched_by_then() }}

),

newest_pull as (

    {{ newest_vintage('source') }}

)

select
    source.model_id,
    source.hf_created_on,
    source.released_on,
    source.notes,
    source.as_of,
    source.pull_id
from source
inner join newest_pull
    on source.pull_id = newest_pull.pull_id
