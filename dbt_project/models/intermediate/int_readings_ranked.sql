{{ config(
    materialized='incremental',
    incremental_strategy='replace_from',
    dated_by='observed_on',
    on_schema_change='fail'
) }}

-- depends_on: {{ ref('int_rebuild') }}

-- definitions 1.2 and 1.3: the place of every reading in its model's day, and what the reading
-- before it says of it. Narrow, because every row is sorted here; int_readings adds the rest.
--
-- Incremental: a row stands on its day and on the readings before it, never on later ones. Of
-- what is older than the rows computed again, only each model's last reading and counter matter.

with aliases as (

    select * from {{ ref('int_model_aliases') }}

),

readings as (

    select
        stg.source,
        stg.model_id,
        coalesce(aliases.canonical_id, stg.model_id) as canonical_id,
        stg.observed_on,
        stg.downloads_30d,
        stg.downloads_all_time,
        stg.hf_id,
        stg.created_on,
        stg.pull_id,
        stg.fetched_at
    from {{ ref('stg_hf__readings') }} as stg
    left join aliases
        on stg.model_id = aliases.model_id
    {{ only_rebuilt('stg.observed_on') }}

),

-- nearly every model is read once a day; only the others need an order
shared_days as (

    select
        canonical_id,
        observed_on
    from readings
    group by canonical_id, observed_on
    having count(*) > 1

),

-- one model on one day: the configured order between sources, then the later pull
contested as (

    select
        readings.*,
        row_number() over same_day as day_place,
        row_number() over same_source as source_place,
        first_value(readings.source) over same_day as first_source,
        first_value(readings.downloads_30d) over same_day as first_30d,
        first_value(readings.downloads_all_time) over same_day as first_all_time
    from readings
    inner join shared_days
        on
            readings.canonical_id = shared_days.canonical_id
            and readings.observed_on = shared_days.observed_on
    window
        same_day as (
            partition by readings.canonical_id, readings.observed_on
            order by
                {{ source_rank('readings.source') }} asc,
                readings.source asc,
                readings.fetched_at desc,
                readings.pull_id desc,
                case when readings.model_id = readings.canonical_id then 0 else 1 end asc,
                readings.model_id asc
        ),
        same_source as (
            partition by readings.canonical_id, readings.observed_on, readings.source
            order by
                readings.fetched_at desc,
                readings.pull_id desc,
                case when readings.model_id = readings.canonical_id then 0 else 1 end asc,
                readings.model_id asc
        )

),

compared as (

    select
        contested.*,
        contested.source <> contested.first_source
        and (
            {{ disagree('contested.downloads_30d', 'contested.first_30d') }}
            or {{ disagree('contested.downloads_all_time', 'contested.first_all_time') }}
        ) as is_contradicting
    from contested

),

-- of a disagreement between sources both sides bear the flag
disagreements as (

    select distinct
        canonical_id,
        observed_on
    from compared
    where is_contradicting

),

placed as (

    select
        readings.source,
        readings.model_id,
        readings.canonical_id,
        readings.observed_on,
        readings.downloads_30d,
        readings.downloads_all_time,
        readings.hf_id,
        readings.created_on,
        1 as day_place,
        1 as source_place,
        false as is_disagreeing
    from readings
    left join shared_days
        on
            readings.canonical_id = shared_days.canonical_id
            and readings.observed_on = shared_days.observed_on
    where shared_days.canonical_id is null
    union all
    select
        compared.source,
        compared.model_id,
        compared.canonical_id,
        compared.observed_on,
        compared.downloads_30d,
        compared.downloads_all_time,
        compared.hf_id,
        compared.created_on,
        compared.day_place,
        compared.source_place,
        compared.is_contradicting
        or (compared.day_place = 1 and disagreements.canonical_id is not null) as is_disagreeing
    from compared
    left join disagreements
        on
            compared.canonical_id = disagreements.canonical_id
            and compared.observed_on = disagreements.observed_on

),

{%- if is_incremental() %}

earlier as (

    select
        canonical_id,
        max(observed_on) as last_on,
        max(case when downloads_all_time is not null then observed_on end) as last_counter_on
    from {{ this }}
    where
        day_place = 1
        and observed_on < {{ rebuilt_from() }}
    group by canonical_id

),
{%- endif %}

sequence as (

    select * from placed
    {%- if is_incremental() %}
    union all
    select
        standing.source,
        standing.model_id,
        standing.canonical_id,
        standing.observed_on,
        standing.downloads_30d,
        standing.downloads_all_time,
        standing.hf_id,
        standing.created_on,
        standing.day_place,
        standing.source_place,
        standing.is_disagreeing
    from {{ this }} as standing
    inner join earlier
        on
            standing.canonical_id = earlier.canonical_id
            and (
                standing.observed_on = earlier.last_on
                or standing.observed_on = earlier.last_counter_on
            )
    where standing.day_place = 1
    {%- endif %}

),

judged as (

    select
        source,
        model_id,
        canonical_id,
        observed_on,
        downloads_30d,
        downloads_all_time,
        hf_id,
        created_on,
        day_place,
        source_place,
        is_disagreeing,
        coalesce(
            day_place = 1
            and lag(observed_on) over by_day is not null
            and downloads_30d >= 100
            and downloads_30d is not distinct from lag(downloads_30d) over by_day
            and downloads_all_time is not distinct from lag(downloads_all_time) over by_day,
            false
        ) as is_stale,
        coalesce(
            day_place = 1
            and downloads_all_time < lag(downloads_all_time) over by_counter,
            false
        ) as is_below_previous
    from sequence
    window
        by_day as (
            partition by canonical_id, day_place
            order by observed_on
        ),
        by_counter as (
            partition by
                canonical_id,
                day_place,
                case when downloads_all_time is null then 0 else 1 end
            order by observed_on
        )

)

select
    source,
    model_id,
    canonical_id,
    observed_on,
    downloads_30d,
    downloads_all_time,
    hf_id,
    created_on,
    day_place,
    source_place,
    is_disagreeing,
    is_stale,
    is_below_previous
from judged
{{ only_rebuilt('observed_on') }}
