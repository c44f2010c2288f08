-- definitions 1.6: readings whose all-time counter is below an earlier one, and what that means.
-- Only models with such a reading are looked at, but those from end to end.

with readings as (

    select * from {{ ref('int_readings_ranked') }}

),

snapshots as (

    select
        source,
        observed_on
    from {{ ref('int_snapshots') }}
    where is_suspect and not is_accepted

),

-- a counter that falls between any two readings falls between two that follow each other
fallen as (

    select distinct canonical_id
    from readings
    where is_below_previous

),

counters as (

    select
        readings.canonical_id,
        readings.observed_on,
        readings.downloads_all_time,
        readings.hf_id,
        readings.created_on,
        lag(readings.downloads_all_time) over (
            partition by readings.canonical_id
            order by readings.observed_on
        ) as previous_all_time
    from readings
    inner join fallen
        on readings.canonical_id = fallen.canonical_id
    left join snapshots
        on
            readings.source = snapshots.source
            and readings.observed_on = snapshots.observed_on
    where
        readings.day_place = 1
        and not readings.is_stale
        and readings.downloads_all_time is not null
        and snapshots.source is null

),

-- 1.6 a: from the fall to the first reading that has made up for it
dips as (

    select
        fall.canonical_id,
        fall.observed_on as from_on,
        min(later.observed_on) as until_on
    from counters as fall
    inner join counters as later
        on
            fall.canonical_id = later.canonical_id
            and fall.observed_on < later.observed_on
            and later.observed_on <= {{ add_days('fall.observed_on', 14) }}
            and fall.previous_all_time <= later.downloads_all_time
    where fall.downloads_all_time < fall.previous_all_time
    group by fall.canonical_id, fall.observed_on

),

dipped as (

    select
        counters.canonical_id,
        counters.observed_on,
        min(dips.until_on) as known_on
    from counters
    inner join dips
        on
            counters.canonical_id = dips.canonical_id
            and counters.observed_on >= dips.from_on
            and counters.observed_on < dips.until_on
    group by counters.canonical_id, counters.observed_on

),

remaining as (

    select
        counters.canonical_id,
        counters.observed_on,
        counters.downloads_all_time,
        counters.hf_id,
        counters.created_on,
        row_number() over (
            partition by counters.canonical_id
            order by counters.observed_on
        ) as nth
    from counters
    left join dipped
        on
            counters.canonical_id = dipped.canonical_id
            and counters.observed_on = dipped.observed_on
    where dipped.canonical_id is null

),

-- 1.6 b and c
falls as (

    select
        later.canonical_id,
        later.observed_on,
        {{ fall_kind('later', 'earlier') }} as fall
    from remaining as later
    inner join remaining as earlier
        on
            later.canonical_id = earlier.canonical_id
            and later.nth = earlier.nth + 1

)

select
    canonical_id,
    observed_on,
    'dip' as fall,
    known_on
from dipped
union all
select
    canonical_id,
    observed_on,
    fall,
    observed_on as known_on
from falls
where fall is not null
