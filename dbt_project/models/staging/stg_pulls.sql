with pulls as (

    select * from {{ source('raw', 'pulls') }} {{ where_fetched_by_then() }}

)

select
    -- ids
    pull_id,

    -- text
    source,
    world,
    scope,
    path,

    -- numerics
    requests,
    bytes,

    -- booleans
    is_complete,

    -- instants
    fetched_at,
    as_of
from pulls
