with source as (

    select * from {{ source('raw', 'hf_derivatives') }} {{ where_fetched_by_then() }}

)

select
    source.source,
    source.model_id,
    source.hf_id,
    source.relation,
    source.base_model_id,
    source.base_hf_id,
    source.observed_on,
    source.created_at,
    source.downloads_30d,
    source.downloads_all_time,
    coalesce(source.downloads_all_time, source.downloads_30d) as downloads_read,
    source.pull_id
from source
where source.base_model_id <> source.model_id
