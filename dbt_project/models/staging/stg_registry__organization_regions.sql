with source as (

    select * from {{ source('raw', 'organization_regions') }} {{ where_fetched_by_then() }}

),

newest_pull as (

    {{ newest_vintage('source') }}

)

select
    source.hf_org,
    source.region,
    source.notes,
    source.as_of,
    source.pull_id
from source
inner join newest_pull
    on source.pull_id = newest_pull.pull_id
