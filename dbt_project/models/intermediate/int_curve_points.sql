-- The points of every curve C, and of C* (definitions 2). By known_on a curve can be drawn as of
-- an earlier day: no point depends on readings after its known_on, and where two fall on one day
-- the one known first stays. Over such a subset the running maximum must be taken anew.

with readings as (

    select * from {{ ref('int_used_readings') }}

),

models as (

    select
        model_id,
        created_on
    from {{ ref('int_models') }}
    where alias_of is null

),

counters as (

    select
        model_id,
        observed_on,
        downloads_all_time
    from readings
    where downloads_all_time is not null

),

windows as (

    select
        model_id,
        observed_on,
        downloads_30d
    from readings
    where downloads_30d is not null

),

observed as (

    select distinct model_id from readings

),

first_counters as (

    select
        model_id,
        min(observed_on) as first_on
    from counters
    group by model_id

),

-- 2.2
reading_points as (

    select
        model_id,
        observed_on as point_on,
        cast(downloads_all_time as double) as cumulative,
        'reading' as kind,
        observed_on as known_on
    from counters

),

-- 2.1; a counter from before the creation belongs to an earlier life, which had no zero here
birth_points as (

    select
        models.model_id,
        models.created_on as point_on,
        cast(0 as double) as cumulative,
        'birth' as kind,
        models.created_on as known_on
    from models
    inner join observed
        on models.model_id = observed.model_id
    left join first_counters
        on models.model_id = first_counters.model_id
    where
        models.created_on is not null
        and (first_counters.first_on is null or first_counters.first_on >= models.created_on)

),

-- 2.4
life_points as (

    select
        readings.model_id,
        readings.observed_on as point_on,
        cast(readings.downloads_30d as double) as cumulative,
        'window_life' as kind,
        readings.observed_on as known_on
    from readings
    inner join models
        on readings.model_id = models.model_id
    where
        readings.downloads_all_time is null
        and readings.downloads_30d is not null
        and {{ days_between('models.created_on', 'readings.observed_on') }} between 0 and 30

),

-- 2.3: the neighbours are the counter's readings and the birth, or zero before all of them
fixed_points as (

    select
        model_id,
        point_on,
        cumulative,
        kind
    from reading_points
    union all
    select
        model_id,
        point_on,
        cumulative,
        kind
    from birth_points
    where
        not exists (
            select 1 from reading_points
            where
                reading_points.model_id = birth_points.model_id
                and reading_points.point_on = birth_points.point_on
        )
    union all
    select
        model_id,
        cast('1900-01-01' as date) as point_on,
        cast(0 as double) as cumulative,
        'nothing' as kind
    from first_counters

),

fixed_series as (

    {{ with_next(
        'fixed_points', ['model_id'], 'point_on', {'cumulative': 'next_cumulative', 'kind': 'next_kind'}
    ) }}

),

back_asks as (

    select
        readings.model_id,
        readings.observed_on,
        {{ add_days('readings.observed_on', -30) }} as asked_on,
        cast(readings.downloads_all_time - readings.downloads_30d as double) as cumulative
    from readings
    inner join models
        on readings.model_id = models.model_id
    where
        readings.downloads_all_time is not null
        and readings.downloads_30d is not null
        and readings.flag is null
        and (
            models.created_on is null
            or {{ add_days('readings.observed_on', -30) }} > models.created_on
        )

),

back_points as (

    select
        back_asks.model_id,
        back_asks.asked_on as point_on,
        least(
            greatest(back_asks.cumulative, fixed.cumulative), fixed.next_cumulative
        ) as cumulative,
        'window_back' as kind,
        back_asks.observed_on as known_on
    from back_asks
    {{ asof_left_join('fixed_series', 'fixed', ['model_id'], 'back_asks', 'asked_on', 'point_on') }}
    where
        not (
            fixed.kind = 'reading'
            and {{ days_between('fixed.point_on', 'back_asks.asked_on') }} <= 7
        )
        and not (
            fixed.next_kind = 'reading'
            and {{ days_between('back_asks.asked_on', 'fixed.next_on') }} <= 7
        )

),

steps as (

    {{ numbers_below(12) }}

),

-- 2.5: from the first counter back in steps of one window
chain_steps as (

    select
        counters.model_id,
        counters.observed_on,
        counters.downloads_all_time,
        steps.n as step,
        {{ add_days('counters.observed_on', '-30 * steps.n') }} as asked_on
    from counters
    inner join first_counters
        on
            counters.model_id = first_counters.model_id
            and counters.observed_on = first_counters.first_on
    cross join steps

),

chain_asks as (

    select
        model_id,
        asked_on
    from chain_steps

),

chain_windows as (

    {{ window_at('windows', 'chain_asks') }}

),

chain_sums as (

    select
        chain_steps.model_id,
        chain_steps.downloads_all_time,
        chain_steps.step,
        chain_steps.observed_on,
        {{ add_days('chain_steps.asked_on', -30) }} as point_on,
        count(case when chain_windows.gap_days <= 14 then 1 end) over so_far as unbroken,
        sum(chain_windows.window_30d) over so_far as windows_sum,
        max(chain_windows.following_on) over so_far as windows_known_on
    from chain_steps
    inner join chain_windows
        on
            chain_steps.model_id = chain_windows.model_id
            and chain_steps.asked_on = chain_windows.asked_on
    window so_far as (
        partition by chain_steps.model_id
        order by chain_steps.step
        rows between unbounded preceding and current row
    )

),

chain_points as (

    select
        chain_sums.model_id,
        chain_sums.point_on,
        greatest(chain_sums.downloads_all_time - chain_sums.windows_sum, 0) as cumulative,
        'window_chain' as kind,
        greatest(chain_sums.observed_on, chain_sums.windows_known_on) as known_on
    from chain_sums
    inner join models
        on chain_sums.model_id = models.model_id
    where
        chain_sums.unbroken = chain_sums.step + 1
        and (models.created_on is null or chain_sums.point_on > models.created_on)

),

all_points as (

    select * from reading_points
    union all
    select * from life_points
    union all
    select * from birth_points
    union all
    select * from back_points
    union all
    select * from chain_points

),

ranked as (

    select
        all_points.*,
        row_number() over (
            partition by all_points.model_id, all_points.point_on
            order by
                case all_points.kind
                    when 'reading' then 1
                    when 'window_life' then 2
                    when 'birth' then 3
                    when 'window_back' then 4
                    else 5
                end
        ) as nth
    from all_points

)

select
    model_id,
    point_on,
    cumulative,
    max(cumulative) over (
        partition by model_id
        order by point_on
        rows between unbounded preceding and current row
    ) as cumulative_clean,
    kind,
    known_on
from ranked
where nth = 1
