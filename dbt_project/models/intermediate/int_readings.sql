-- definitions 1.2 and 1.3: which of a model's readings count. None is left out, all are flagged.

with aliases as (

    select * from {{ ref('int_model_aliases') }}

),

readings as (

    select
        stg.*,
        coalesce(aliases.canonical_id, stg.model_id) as canonical_id,
        {{ source_rank('stg.source') }} as source_rank
    from {{ ref('stg_hf__readings') }} as stg
    left join aliases
        on stg.model_id = aliases.model_id

),

-- one model on one day: the configured order between sources, then the later pull
ranked as (

    select
        readings.*,
        row_number() over same_day as nth,
        first_value(readings.source) over same_day as first_source,
        first_value(readings.downloads_30d) over same_day as first_30d,
        first_value(readings.downloads_all_time) over same_day as first_all_time
    from readings
    window same_day as (
        partition by readings.canonical_id, readings.observed_on
        order by
            readings.source_rank asc,
            readings.source asc,
            readings.fetched_at desc,
            readings.pull_id desc,
            case when readings.model_id = readings.canonical_id then 0 else 1 end asc,
            readings.model_id asc
    )

),

compared as (

    select
        ranked.*,
        ranked.source <> ranked.first_source
        and (
            {{ disagree('ranked.downloads_30d', 'ranked.first_30d') }}
            or {{ disagree('ranked.downloads_all_time', 'ranked.first_all_time') }}
        ) as is_contradicting
    from ranked

),

-- of a disagreement between sources both sides bear the flag
disagreements as (

    select distinct
        canonical_id,
        observed_on
    from compared
    where is_contradicting

),

previous as (

    select
        canonical_id,
        observed_on,
        lag(observed_on) over by_day as previous_on,
        lag(downloads_30d) over by_day as previous_30d,
        lag(downloads_all_time) over by_day as previous_all_time
    from compared
    where nth = 1
    window by_day as (
        partition by canonical_id
        order by observed_on
    )

),

flagged as (

    select
        compared.*,
        coalesce(
            compared.nth = 1
            and previous.previous_on is not null
            and compared.downloads_30d >= 100
            and compared.downloads_30d is not distinct from previous.previous_30d
            and compared.downloads_all_time is not distinct from previous.previous_all_time,
            false
        ) as is_stale,
        compared.is_contradicting
        or (compared.nth = 1 and disagreements.canonical_id is not null) as is_disagreeing
    from compared
    left join previous
        on
            compared.canonical_id = previous.canonical_id
            and compared.observed_on = previous.observed_on
    left join disagreements
        on
            compared.canonical_id = disagreements.canonical_id
            and compared.observed_on = disagreements.observed_on

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
    nth = 1 and not is_stale as is_used,
    case
        when is_stale then 'stale'
        when is_disagreeing then 'sources_disagree'
        when nth > 1 then 'superseded'
    end as flag
from flagged
