with source as (

    select * from {{ source('raw', 'organization_regions') }}

),

newest_pull as (

    {{ newest_vintage(source('raw', 'organization_regions')) }}

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
