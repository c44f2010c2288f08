{#- Which curves make up a scored model (definitions 5.10): its own, and if `merged` also those of the precision
    variants of it, which then have no score of their own. A select of model_id, component_id, size_bucket,
    release_date, created_on and is_gone, one row for each component. -#}
{% macro ram_components(merged) -%}
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
            and {{ 'true' if merged else 'false' }}
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
{%- endmacro %}


{#- Downloads of a model some days after its release, as measurable on each snapshot date (definitions 5.1-5.4).

    components:  name of the model that says which curves make up which scored model.
    merged:      whether several may.
    newest_only: leave out the dates of the frozen baselines.

    Result: the columns of int_ram_measurements, a row for each snapshot date, scored model and day that it has
    reached by then; for every day of a model without a release date. -#}
{% macro ram_measurements(components, merged, newest_only=false) -%}
{%- set subtract = 'true' if var('ram_subtract_prerelease') else 'false' -%}
with components as (

    select
        model_id,
        component_id,
        size_bucket,
        release_date,
        created_on,
        is_gone
    from {{ ref(components) }}

),

snapshots as (

    select
        snapshot_on,
        newest_on,
        is_reached
    from {{ ref('int_ram_snapshots') }}

),

curves as (

    select
        as_of,
        component_id,
        point_on,
        cumulative,
        cumulative_before,
        cumulative_clean,
        breaks,
        is_hub_fault,
        kind
    from {{ ref('int_ram_curves') }}
    {%- if newest_only %}
    where as_of in (select newest_on from snapshots)
    {%- endif %}

),

as_ofs as (
{%- if not newest_only %}

    select
        snapshot_on as as_of,
        newest_on
    from snapshots
    where is_reached

    union
{%- endif %}

    select{{ ' distinct' if newest_only }}
        newest_on as as_of,
        newest_on
    from snapshots
    where newest_on is not null

),

days as (

    -- day 0 only serves what came before the release
    {{ days_select([0] + ram_days()) }}

),

asks as (

    select
        as_ofs.as_of,
        components.model_id,
        components.component_id,
        days.day,
        components.created_on,
        components.is_gone and components.model_id <> components.component_id as is_gone_variant,
        {{ add_days('components.release_date', 'days.day') }} as asked_on
    from components
    cross join as_ofs
    cross join days
    where
        {{ add_days('components.release_date', 'days.day') }} <= as_ofs.as_of

),

answers as (

    {{ curve_at('curves', 'asks', keys=['as_of', 'component_id']) }}

),

-- which components have a curve at all, and which a counter: without one, windows alone drew it
drawn as (

    select
        as_of,
        component_id,
        max(case when kind = 'reading' then 1 else 0 end) as has_counter
    from curves
    where kind <> 'birth'
    group by as_of, component_id

),

-- nothing was downloaded before the repository existed, and nothing is added to a deleted variant
parts as (

    select
        asks.as_of,
        asks.model_id,
        asks.day,
        -- never read at all, or the windows that drew the curve have come to their end
        drawn.component_id is null
        or (drawn.has_counter = 0 and answers.high_on is null and answers.low_on is not null)
            as lacks_counter,
        asks.asked_on <= asks.created_on
        or (answers.low_on is not null and answers.low_kind <> 'birth') as is_after_first,
        -- from an unknown fall on nothing is known of the sum
        asks.asked_on > coalesce(asks.created_on, cast('1900-01-01' as date))
        and (answers.is_in_break or answers.breaks > 0) as is_broken,
        case
            when asks.asked_on <= asks.created_on then 0
            when answers.is_in_break or answers.breaks > 0 then null
            when answers.high_on is null and asks.is_gone_variant then answers.clean_low
            else answers.cumulative_clean
        end as downloads,
        case
            when asks.asked_on <= asks.created_on then 0
            when answers.is_in_break or answers.breaks > 0 then null
            when answers.high_on is not null or asks.is_gone_variant then answers.clean_low
        end as downloads_low,
        case
            when asks.asked_on <= asks.created_on then 0
            when answers.is_in_break or answers.breaks > 0 then null
            when answers.high_on is null and asks.is_gone_variant then answers.clean_low
            else answers.clean_high
        end as downloads_high,
        case
            when asks.asked_on <= asks.created_on then 0
            when answers.is_in_break or answers.breaks > 0 then null
            when answers.high_on is null and asks.is_gone_variant then 0
            else answers.gap_days
        end as gap_days
    from asks
    inner join answers
        on
            asks.as_of = answers.as_of
            and asks.component_id = answers.component_id
            and asks.asked_on = answers.asked_on
    left join drawn
        on
            asks.as_of = drawn.as_of
            and asks.component_id = drawn.component_id
    -- a variant that was never read adds nothing
    where
        asks.model_id = asks.component_id
        or drawn.component_id is not null

),

-- a sum with a part that is not known is not known
totals as (

    select
        as_of,
        model_id,
        day,
        max(case when lacks_counter then 1 else 0 end) = 1 as lacks_counter,
        min(case when is_after_first then 1 else 0 end) = 1 as is_after_first,
        max(case when is_broken then 1 else 0 end) = 1 as is_broken,
        case
            when count(downloads) = count(*) then {{ sum_of_curves('downloads', merged) }}
        end as downloads,
        case
            when count(downloads_low) = count(*) then {{ sum_of_curves('downloads_low', merged) }}
        end as downloads_low,
        case
            when count(downloads_high) = count(*) then {{ sum_of_curves('downloads_high', merged) }}
        end as downloads_high,
        case when count(gap_days) = count(*) then max(gap_days) end as gap_days
    from parts
    group by as_of, model_id, day

),

-- bounds of a difference: the least of the one less the most of the other
releases as (

    select
        as_of,
        model_id,
        downloads,
        case when {{ subtract }} then downloads else 0 end as subtracted,
        case when {{ subtract }} then downloads_low else 0 end as subtracted_low,
        case when {{ subtract }} then downloads_high else 0 end as subtracted_high
    from totals
    where day = 0

),

measured as (

    select
        totals.as_of,
        totals.model_id,
        totals.day,
        totals.lacks_counter,
        totals.is_after_first,
        totals.is_broken,
        totals.gap_days,
        releases.downloads as downloads_before_release,
        totals.downloads - releases.subtracted as downloads,
        totals.downloads_high - releases.subtracted_low as downloads_high,
        case
            when totals.downloads_low < releases.subtracted_high then 0
            else totals.downloads_low - releases.subtracted_high
        end as downloads_low
    from totals
    inner join releases
        on
            totals.as_of = releases.as_of
            and totals.model_id = releases.model_id
    where totals.day > 0

),

-- without a release date no day is ever reached: the rows stand there to say so
all_rows as (

    select
        as_of,
        model_id,
        day,
        lacks_counter,
        is_after_first,
        is_broken,
        gap_days,
        downloads_before_release,
        case
            when downloads_high <= {{ var('ram_max_bound_ratio') }} * downloads_low then downloads
        end as downloads_at_day,
        downloads_low,
        downloads_high
    from measured

    union all

    select
        as_ofs.as_of,
        components.model_id,
        days.day,
        false as lacks_counter,
        false as is_after_first,
        false as is_broken,
        null as gap_days,
        null as downloads_before_release,
        null as downloads_at_day,
        null as downloads_low,
        null as downloads_high
    from components
    cross join as_ofs
    cross join days
    where
        components.model_id = components.component_id
        and components.release_date is null
        and days.day > 0

)

select
    all_rows.as_of,
    all_rows.model_id,
    all_rows.day,
    components.size_bucket,
    all_rows.as_of = as_ofs.newest_on as is_newest,
    all_rows.downloads_at_day,
    all_rows.downloads_low,
    all_rows.downloads_high,
    all_rows.downloads_before_release,
    cast(all_rows.gap_days as {{ dbt.type_int() }}) as gap_days,
    case
        when components.release_date is null then 'no_release_date'
        when components.size_bucket is null then 'no_size'
        when all_rows.downloads_at_day is not null then null
        when all_rows.lacks_counter then 'no_counter'
        when not all_rows.is_after_first then 'first_reading_after_day'
        when all_rows.is_broken then 'counter_break'
        else 'gap_too_wide'
    end as null_reason
from all_rows
inner join components
    on
        all_rows.model_id = components.model_id
        and all_rows.model_id = components.component_id
inner join as_ofs
    on all_rows.as_of = as_ofs.as_of
{%- endmacro %}
