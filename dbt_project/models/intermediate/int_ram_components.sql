{{ config(materialized='table') }}

-- Which curves make up a scored model (definitions 5.10): its own, and with
-- merge_precision_variants = true also those of the precision variants of it.

with models as (

    select
        int_models.model_id,
        int_models.precision_variant_of,
        int_models.size_bucket,
        int_models.release_date,
        {{ curve_begins_on('int_models') }} as created_on,
        coalesce(int_models.is_gone, false) as is_gone
    from {{ ref('int_models') }} as int_models
    where {{ in_model_set('int_models') }}

),

-- a variant of a variant belongs to the first of them
scored as (

    select
        models.model_id as component_id,
        models.created_on,
        models.is_gone,
        coalesce(root.model_id, parent.model_id, models.model_id) as model_id
    from models
    left join models as parent
        on
            models.precision_variant_of = parent.model_id
            and {{ 'true' if var('merge_precision_variants') else 'false' }}
    left join models as root
        on parent.precision_variant_of = root.model_id

)

select
    scored.model_id,
    scored.component_id,
    models.size_bucket,
    models.release_date,
    scored.created_on,
    scored.is_gone
from scored
inner join models
    on scored.model_id = models.model_id
