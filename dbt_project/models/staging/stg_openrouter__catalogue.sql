with source as (

    select * from {{ source('raw', 'openrouter_models') }} {{ where_fetched_by_then() }}

)

select
    source.model_id,
    source.canonical_slug,
    {{ without_variant('source.model_id') }} as model_id_plain,
    {{ without_variant('source.canonical_slug') }} as canonical_slug_plain,
    {{ without_date_suffix(without_variant('source.model_id')) }} as model_id_undated,
    {{ without_date_suffix(without_variant('source.canonical_slug')) }} as canonical_slug_undated,
    nullif(trim(source.hugging_face_id), '') as hugging_face_id,
    source.name,
    source.created_at,
    source.as_of,
    source.pull_id
from source
