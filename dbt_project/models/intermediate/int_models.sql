-- One row per observed or tracked id (definitions 0.3-0.6, 1.7); a replaced one keeps its row.

with aliases as (

    select * from {{ ref('int_model_aliases') }}

),

-- 100 per day leaves room for the rank of a source, so that no two readings of an id tie
readings as (

    select
        int_readings.*,
        {{ days_between("date '2000-01-01'", 'int_readings.observed_on') }} * 100
        - int_readings.source_rank as age_key
    from {{ ref('int_readings') }} as int_readings

),

tracked as (

    select
        model_id,
        min(list) as tracked_list
    from {{ ref('stg_registry__tracked_models') }}
    group by model_id

),

parameters as (

    select * from {{ ref('stg_registry__model_parameters') }}

),

corrections as (

    select * from {{ ref('stg_registry__release_date_corrections') }}

),

organizations as (

    select * from {{ ref('int_organizations') }}

),

size_buckets as (

    select * from {{ ref('size_buckets') }}

),

observed as (

    select
        model_id,
        min(observed_on) as first_observed_on,
        max(observed_on) as last_observed_on,
        {{ last_known('created_on', 'age_key') }} as created_on,
        {{ last_known('pipeline_tag', 'age_key') }} as pipeline_tag,
        {{ last_known('library_name', 'age_key') }} as library_name,
        {{ last_known('license', 'age_key') }} as license,
        {{ last_known('gated', 'age_key') }} as gated,
        {{ last_known('nullif(safetensors_total, 0)', 'age_key') }} as safetensors_total
    from readings
    group by model_id

),

-- what is known of each id by itself
by_id as (

    select
        aliases.model_id,
        aliases.canonical_id,
        observed.first_observed_on,
        observed.last_observed_on,
        observed.created_on,
        observed.pipeline_tag,
        observed.library_name,
        observed.license,
        observed.gated,
        observed.safetensors_total,
        nullif(parameters.total_params_b, 0) as reviewed_params_b,
        parameters.active_params_b,
        parameters.is_moe,
        corrections.released_on,
        coalesce(tracked.tracked_list, 'none') as tracked_list
    from aliases
    left join observed
        on aliases.model_id = observed.model_id
    left join parameters
        on aliases.model_id = parameters.model_id
    left join corrections
        on aliases.model_id = corrections.model_id
    left join tracked
        on aliases.model_id = tracked.model_id

),

-- what is known of a model by any of its ids
by_model as (

    select
        canonical_id,
        min(first_observed_on) as first_observed_on,
        max(last_observed_on) as last_observed_on,
        min(created_on) as created_on,
        max(pipeline_tag) as pipeline_tag,
        max(library_name) as library_name,
        max(license) as license,
        max(gated) as gated,
        max(safetensors_total) as safetensors_total,
        max(reviewed_params_b) as reviewed_params_b,
        max(active_params_b) as active_params_b,
        {{ dbt.bool_or('is_moe') }} as is_moe,
        min(released_on) as released_on,
        min(case when tracked_list <> 'none' then tracked_list end) as tracked_list
    from by_id
    group by canonical_id

),

-- the creation that the first reading to tell one told, under any id of the model
told as (

    select
        model_id,
        {{ known_creation('created_on') }} as created_on,
        min(observed_on) as observed_on
    from readings
    where {{ known_creation('created_on') }} is not null
    group by model_id, {{ known_creation('created_on') }}

),

creations as (

    select
        aliases.canonical_id,
        told.observed_on,
        told.created_on
    from told
    inner join aliases
        on told.model_id = aliases.model_id

),

first_days as (

    select
        canonical_id,
        min(observed_on) as observed_on
    from creations
    group by canonical_id

),

first_creations as (

    select
        creations.canonical_id,
        creations.observed_on,
        min(creations.created_on) as created_on
    from creations
    inner join first_days
        on
            creations.canonical_id = first_days.canonical_id
            and creations.observed_on = first_days.observed_on
    group by creations.canonical_id, creations.observed_on

),

-- the newest id speaks first, the ids it replaced fill its gaps
known as (

    select
        by_id.model_id,
        by_id.canonical_id,
        case when by_id.model_id <> by_id.canonical_id then by_id.canonical_id end as alias_of,
        {{ hf_org_of('by_id.model_id') }} as hf_org,
        coalesce(by_model.first_observed_on, by_id.first_observed_on) as first_observed_on,
        coalesce(by_model.last_observed_on, by_id.last_observed_on) as last_observed_on,
        {{ known_creation('coalesce(by_model.created_on, by_id.created_on)') }} as created_on,
        first_creations.created_on as first_named_created_on,
        first_creations.observed_on as first_named_on,
        coalesce(by_id.pipeline_tag, by_model.pipeline_tag) as pipeline_tag,
        coalesce(by_id.library_name, by_model.library_name) as library_name,
        coalesce(by_id.license, by_model.license) as license,
        coalesce(by_id.gated, by_model.gated) as gated,
        coalesce(by_id.safetensors_total, by_model.safetensors_total) as safetensors_total,
        coalesce(by_id.reviewed_params_b, by_model.reviewed_params_b) as reviewed_params_b,
        coalesce(by_id.active_params_b, by_model.active_params_b) as active_params_b,
        coalesce(by_id.is_moe, by_model.is_moe) as is_moe,
        coalesce(by_id.released_on, by_model.released_on) as released_on,
        coalesce(by_model.tracked_list, by_id.tracked_list) as tracked_list
    from by_id
    left join by_model
        on by_id.model_id = by_model.canonical_id
    left join first_creations
        on by_id.model_id = first_creations.canonical_id

),

sized as (

    select
        known.*,
        -- a reading from before the creation is one of an earlier life
        case
            when known.first_named_on < known.created_on then known.first_named_created_on
        end as first_created_on,
        coalesce(
            known.reviewed_params_b,
            known.safetensors_total / 1e9,
            nullif({{ params_b_in_name('known.model_id') }}, 0)
        ) as total_params_b
    from known

),

families as (

    select
        candidates.model_id,
        candidates.family
    from (
        select
            known.model_id,
            family_patterns.family,
            row_number() over (
                partition by known.model_id
                order by family_patterns.priority, family_patterns.pattern
            ) as nth
        from known
        inner join {{ ref('family_patterns') }} as family_patterns
            on lower(known.model_id) like family_patterns.pattern
    ) as candidates
    where candidates.nth = 1

),

-- official FP8, NVFP4, … repositories: of the tracked id without the suffix, else of its BF16 one
tracked_ids as (

    select
        canonical_id,
        lower(model_id) as lower_id,
        {{ without_precision('model_id') }} as stem
    from known
    where tracked_list <> 'none'

),

variants as (

    select
        variant.lower_id,
        coalesce(min(base.canonical_id), min(sibling.canonical_id)) as precision_variant_of
    from tracked_ids as variant
    left join tracked_ids as base
        on variant.stem = base.lower_id
    left join tracked_ids as sibling
        on
            variant.stem || '-bf16' = sibling.lower_id
            and variant.lower_id <> sibling.lower_id
    where variant.stem is not null
    group by variant.lower_id

),

-- definitions 1.7: the last sign of life of a model, and what has been seen since
probes as (

    select
        aliases.canonical_id,
        max(case when asked.status_code = 200 then asked.observed_on end) as answered_on,
        max(case when asked.status_code = 404 then asked.observed_on end) as missing_on
    from {{ ref('stg_hf__probes') }} as asked
    inner join aliases
        on asked.model_id = aliases.model_id
    group by aliases.canonical_id

),

signs as (

    select
        by_model.canonical_id,
        by_model.last_observed_on,
        probes.missing_on,
        case
            when by_model.last_observed_on is null or probes.answered_on > by_model.last_observed_on
                then probes.answered_on
            else by_model.last_observed_on
        end as last_sign_on
    from by_model
    left join probes
        on by_model.canonical_id = probes.canonical_id

),

complete_days as (

    select distinct readings.observed_on
    from readings
    inner join {{ ref('stg_pulls') }} as stg_pulls
        on readings.pull_id = stg_pulls.pull_id
    where stg_pulls.is_complete

),

absences as (

    select
        signs.last_sign_on,
        count(*) as complete_days,
        max(complete_days.observed_on) as newest_on
    from (select distinct last_sign_on from signs) as signs
    inner join complete_days
        on signs.last_sign_on < complete_days.observed_on
    group by signs.last_sign_on

),

-- a model that was never read is gone only if the Hub said so
gone as (

    select
        signs.canonical_id,
        coalesce(signs.missing_on > coalesce(signs.last_sign_on, cast('1900-01-01' as date)), false)
        or coalesce(
            signs.last_observed_on is not null
            and (
                absences.complete_days >= 2
                or {{ days_between('signs.last_sign_on', 'absences.newest_on') }} >= 14
            ),
            false
        ) as is_gone
    from signs
    left join absences
        on signs.last_sign_on = absences.last_sign_on

),

-- rows: what was read, what is tracked, and the model either belongs to
wanted as (

    select
        model_id,
        canonical_id
    from by_id
    where first_observed_on is not null or tracked_list <> 'none'

),

listed as (

    select model_id from wanted
    union
    select canonical_id as model_id from wanted

)

select
    sized.model_id,
    sized.canonical_id,
    sized.alias_of,
    coalesce(organizations.organization, sized.hf_org) as organization,
    sized.hf_org,
    organizations.country,
    coalesce(organizations.region, 'unknown') as region,
    families.family,
    sized.created_on,
    sized.first_created_on,
    coalesce(sized.released_on, sized.first_created_on, sized.created_on) as release_date,
    case
        when sized.released_on is not null then 'correction'
        when sized.created_on is not null then 'created_at'
    end as release_date_source,
    sized.total_params_b,
    sized.active_params_b,
    sized.is_moe,
    size_buckets.size_bucket,
    case
        when sized.reviewed_params_b is not null then 'model_parameters'
        when sized.safetensors_total is not null then 'safetensors'
        when sized.total_params_b is not null then 'name'
    end as size_source,
    sized.license,
    sized.pipeline_tag,
    sized.library_name,
    sized.gated,
    variants.precision_variant_of,
    sized.tracked_list,
    sized.first_observed_on,
    sized.last_observed_on,
    coalesce(gone.is_gone, false) as is_gone
from sized
inner join listed
    on sized.model_id = listed.model_id
left join organizations
    on sized.hf_org = organizations.hf_org
left join families
    on sized.model_id = families.model_id
left join size_buckets
    on
        sized.total_params_b > 0
        and sized.total_params_b >= size_buckets.min_params_b
        and (size_buckets.max_params_b is null or sized.total_params_b < size_buckets.max_params_b)
left join variants
    on lower(sized.model_id) = variants.lower_id
left join gone
    on sized.canonical_id = gone.canonical_id
