{{ config(
    materialized='incremental',
    incremental_strategy='replace_from',
    dated_by='observed_on',
    on_schema_change='fail'
) }}

-- depends_on: {{ ref('int_rebuild') }}

-- definitions 1.2 to 1.6: which of a model's readings count. None is left out, all are flagged.
-- Of most there is nothing to be said, so only the others are joined to what was found.

with aliases as (

    select * from {{ ref('int_model_aliases') }}

),

exceptions as (

    select
        source,
        model_id,
        observed_on,
        day_place,
        is_stale,
        is_disagreeing
    from {{ ref('int_readings_ranked') }}
    where
        day_place > 1
        or is_stale
        or is_disagreeing

),

snapshots as (

    select
        source,
        observed_on,
        is_suspect and not is_accepted as is_suspect,
        is_hub_fault
    from {{ ref('int_snapshots') }}
    where is_suspect or is_hub_fault

),

falls as (

    select * from {{ ref('int_falls') }}

),

judged as (

    select
        stg.*,
        coalesce(aliases.canonical_id, stg.model_id) as canonical_id,
        {{ source_rank('stg.source') }} as source_rank,
        coalesce(exceptions.day_place, 1) as day_place,
        coalesce(exceptions.is_stale, false) as is_stale,
        coalesce(exceptions.is_disagreeing, false) as is_disagreeing,
        coalesce(snapshots.is_suspect, false) as is_suspect,
        coalesce(snapshots.is_hub_fault, false) as is_hub_fault
    from {{ ref('stg_hf__readings') }} as stg
    left join aliases
        on stg.model_id = aliases.model_id
    left join exceptions
        on
            stg.source = exceptions.source
            and stg.model_id = exceptions.model_id
            and stg.observed_on = exceptions.observed_on
    left join snapshots
        on
            stg.source = snapshots.source
            and stg.observed_on = snapshots.observed_on
    {{ only_rebuilt('stg.observed_on') }}

),

-- a fall is that of the reading which counts on its day
flagged as (

    select
        judged.*,
        falls.fall,
        falls.known_on as fall_known_on
    from judged
    left join falls
        on
            judged.canonical_id = falls.canonical_id
            and judged.observed_on = falls.observed_on
            and judged.day_place = 1

)

select
    source,
    model_id,
    canonical_id,
    hf_id,
    pull_id,
    pipeline_tag,
    library_name,
    license,
    gated,
    downloads_30d,
    downloads_all_time,
    likes,
    safetensors_total,
    observed_on,
    folder_date,
    created_on,
    source_rank,
    day_place = 1
    and not is_stale
    and not is_suspect
    and coalesce(fall <> 'dip', true) as is_used,
    case
        when day_place > 1 and is_disagreeing then 'sources_disagree'
        when day_place > 1 then 'superseded'
        when is_stale then 'stale'
        when is_suspect then 'suspect_date'
        when fall is not null then fall
        when is_hub_fault then 'hub_fault'
        when is_disagreeing then 'sources_disagree'
    end as flag,
    is_hub_fault,
    is_disagreeing,
    case when fall = 'dip' then fall_known_on end as dip_known_on
from flagged
