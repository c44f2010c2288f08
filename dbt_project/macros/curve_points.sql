{#- The points of curves (definitions 1.6, 2), one a curve and day.

    readings: relation or CTE of used readings with the key, observed_on, downloads_30d, downloads_all_time, flag,
              is_hub_fault; unique in (key, observed_on).
    births:   relation or CTE with the key and created_on (NULL when unknown), for every key of readings.
    key:      column that names a curve.

    Result: key, point_on,
      cumulative                          C there (DOUBLE)
      cumulative_before                   C just before, where the counter fell; else NULL
      is_break                            the counter fell and what was downloaded meanwhile is unknown
      kind, known_on                      how the point came about, and its newest reading
      is_hub_fault                        it rests on a reading of a Hub fault

    No point depends on readings after its known_on, and where two fall on one day the one known first stays:
    with given flags, the points known on a day are the curve as of that day. Only a point of 2.4 in a gap that
    ends in a fall goes with that fall, which comes later. -#}
{% macro curve_points(readings, births, key) -%}
with counters as (

    select
        {{ key }},
        observed_on,
        downloads_all_time
    from {{ readings }}
    where downloads_all_time is not null

),

windows as (

    select
        {{ key }},
        observed_on,
        downloads_30d
    from {{ readings }}
    where downloads_30d is not null

),

observed as (

    select distinct {{ key }} from {{ readings }}

),

first_counters as (

    select
        {{ key }},
        min(observed_on) as first_on
    from counters
    group by {{ key }}

),

-- 1.6 b and c: the counter that was read before each fall
falls as (

    select
        readings.{{ key }},
        readings.observed_on,
        readings.downloads_all_time,
        readings.downloads_30d,
        readings.flag,
        max(earlier.observed_on) as previous_on
    from {{ readings }} as readings
    inner join counters as earlier
        on
            readings.{{ key }} = earlier.{{ key }}
            and readings.observed_on > earlier.observed_on
    where
        readings.flag in ('reset', 'correction')
        and readings.downloads_all_time is not null
    group by
        readings.{{ key }},
        readings.observed_on,
        readings.downloads_all_time,
        readings.downloads_30d,
        readings.flag

),

-- where the counter would have stood: a new one counts from zero, of an old one only the window is known
fall_steps as (

    select
        falls.{{ key }},
        falls.observed_on,
        falls.previous_on,
        earlier.downloads_all_time + case
            when falls.flag = 'reset' then cast(falls.downloads_all_time as double)
            when {{ days_between('falls.previous_on', 'falls.observed_on') }} <= 30
                then
                    cast(falls.downloads_30d as double)
                    * {{ days_between('falls.previous_on', 'falls.observed_on') }} / 30
        end as cumulative_before
    from falls
    inner join counters as earlier
        on
            falls.{{ key }} = earlier.{{ key }}
            and falls.previous_on = earlier.observed_on

),

hub_faults as (

    select
        {{ key }},
        observed_on
    from {{ readings }}
    where is_hub_fault

),

-- 2.2
reading_points as (

    select
        {{ key }},
        observed_on as point_on,
        cast(downloads_all_time as double) as cumulative,
        'reading' as kind,
        observed_on as known_on
    from counters

),

-- 2.1; a counter from before the creation belongs to an earlier life, which had no zero here
birth_points as (

    select
        models.{{ key }},
        models.created_on as point_on,
        cast(0 as double) as cumulative,
        'birth' as kind,
        models.created_on as known_on
    from {{ births }} as models
    inner join observed
        on models.{{ key }} = observed.{{ key }}
    left join first_counters
        on models.{{ key }} = first_counters.{{ key }}
    where
        models.created_on is not null
        and (first_counters.first_on is null or first_counters.first_on >= models.created_on)

),

-- 2.4; between the two counters of a fall the curve is one line
life_points as (

    select
        readings.{{ key }},
        readings.observed_on as point_on,
        cast(readings.downloads_30d as double) as cumulative,
        'window_life' as kind,
        readings.observed_on as known_on
    from {{ readings }} as readings
    inner join {{ births }} as models
        on readings.{{ key }} = models.{{ key }}
    where
        readings.downloads_all_time is null
        and readings.downloads_30d is not null
        and {{ days_between('models.created_on', 'readings.observed_on') }} between 0 and 30
        and not exists (
            select 1 from fall_steps
            where
                fall_steps.{{ key }} = readings.{{ key }}
                and fall_steps.previous_on < readings.observed_on
                and fall_steps.observed_on > readings.observed_on
        )

),

read_points as (

    select * from reading_points
    union all
    select * from life_points

),

-- 2.3: the neighbours are the readings of 2.2 and 2.4 and the birth, or zero before all of them
fixed_points as (

    select
        {{ key }},
        point_on,
        cumulative,
        kind
    from read_points
    union all
    select
        {{ key }},
        point_on,
        cumulative,
        kind
    from birth_points
    where
        not exists (
            select 1 from read_points
            where
                read_points.{{ key }} = birth_points.{{ key }}
                and read_points.point_on = birth_points.point_on
        )
    union all
    select
        {{ key }},
        cast('1900-01-01' as date) as point_on,
        cast(0 as double) as cumulative,
        'nothing' as kind
    from first_counters

),

fixed_series as (

    select
        {{ key }},
        point_on,
        cumulative,
        lead(cumulative) over (partition by {{ key }} order by point_on) as next_cumulative,
        -- a point of 2.4 may lie between a day and the counter next to it
        max(case when kind = 'reading' then point_on end) over (
            partition by {{ key }} order by point_on
            rows between unbounded preceding and current row
        ) as counter_on,
        min(case when kind = 'reading' then point_on end) over (
            partition by {{ key }} order by point_on
            rows between 1 following and unbounded following
        ) as next_counter_on
    from fixed_points

),

back_asks as (

    select
        readings.{{ key }},
        readings.observed_on,
        {{ add_days('readings.observed_on', -30) }} as asked_on,
        cast(readings.downloads_all_time - readings.downloads_30d as double) as cumulative
    from {{ readings }} as readings
    inner join {{ births }} as models
        on readings.{{ key }} = models.{{ key }}
    where
        readings.downloads_all_time is not null
        and readings.downloads_30d is not null
        and readings.flag is null
        and (
            models.created_on is null
            or {{ add_days('readings.observed_on', -30) }} > models.created_on
        )
        -- what a counter says of a month ago does not reach across its own fall
        and not exists (
            select 1 from fall_steps
            where
                fall_steps.{{ key }} = readings.{{ key }}
                and fall_steps.observed_on > {{ add_days('readings.observed_on', -30) }}
                and fall_steps.observed_on <= readings.observed_on
        )

),

back_points as (

    select
        back_asks.{{ key }},
        back_asks.asked_on as point_on,
        least(
            greatest(back_asks.cumulative, fixed.cumulative), fixed.next_cumulative
        ) as cumulative,
        'window_back' as kind,
        back_asks.observed_on as known_on
    from back_asks
    {{ asof_left_join('fixed_series', 'fixed', [key], 'back_asks', 'asked_on', 'point_on') }}
    where
        coalesce({{ days_between('fixed.counter_on', 'back_asks.asked_on') }} > 7, true)
        and coalesce({{ days_between('back_asks.asked_on', 'fixed.next_counter_on') }} > 7, true)

),

steps as (

    {{ numbers_below(12) }}

),

-- 2.5: from the first counter back in steps of one window; a count is not below zero, but unlike a point of 2.3
-- these are held to no neighbour
chain_steps as (

    select
        counters.{{ key }},
        counters.observed_on,
        counters.downloads_all_time,
        steps.n as step,
        {{ add_days('counters.observed_on', '-30 * steps.n') }} as asked_on
    from counters
    inner join first_counters
        on
            counters.{{ key }} = first_counters.{{ key }}
            and counters.observed_on = first_counters.first_on
    cross join steps

),

chain_asks as (

    select
        {{ key }},
        asked_on
    from chain_steps

),

chain_windows as (

    {{ window_at('windows', 'chain_asks', key) }}

),

chain_sums as (

    select
        chain_steps.{{ key }},
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
            chain_steps.{{ key }} = chain_windows.{{ key }}
            and chain_steps.asked_on = chain_windows.asked_on
    window so_far as (
        partition by chain_steps.{{ key }}
        order by chain_steps.step
        rows between unbounded preceding and current row
    )

),

chain_points as (

    select
        chain_sums.{{ key }},
        chain_sums.point_on,
        greatest(chain_sums.downloads_all_time - chain_sums.windows_sum, 0) as cumulative,
        'window_chain' as kind,
        greatest(chain_sums.observed_on, chain_sums.windows_known_on) as known_on
    from chain_sums
    inner join {{ births }} as models
        on chain_sums.{{ key }} = models.{{ key }}
    where
        chain_sums.unbroken = chain_sums.step + 1
        and (models.created_on is null or chain_sums.point_on > models.created_on)

),

all_points as (

    select * from read_points
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
            partition by all_points.{{ key }}, all_points.point_on
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
    ranked.{{ key }},
    ranked.point_on,
    ranked.cumulative,
    case when ranked.kind = 'reading' then fall_steps.cumulative_before end as cumulative_before,
    ranked.kind = 'reading'
    and fall_steps.observed_on is not null
    and fall_steps.cumulative_before is null as is_break,
    ranked.kind,
    ranked.known_on,
    ranked.kind <> 'birth' and hub_faults.observed_on is not null as is_hub_fault
from ranked
left join fall_steps
    on
        ranked.{{ key }} = fall_steps.{{ key }}
        and ranked.point_on = fall_steps.observed_on
left join hub_faults
    on
        ranked.{{ key }} = hub_faults.{{ key }}
        and ranked.known_on = hub_faults.observed_on
where ranked.nth = 1
{%- endmacro %}


{#- The same points with C* (definitions 1.6, 2): the running maximum of C without its known steps. It compares
    only between points of the same `breaks`, the number of unknown falls so far.

    points: relation or CTE with the keys and the columns of curve_points.
    keys:   columns that name a curve.

    Result: all columns of points, breaks, cumulative_clean. -#}
{% macro with_clean_curve(points, keys) -%}
    select
        levelled.*,
        max(levelled.cumulative - levelled.stepped) over (
            partition by {% for key in keys %}levelled.{{ key }}, {% endfor %}levelled.breaks
            order by levelled.point_on
            rows between unbounded preceding and current row
        ) as cumulative_clean
    from (
        select
            stepping.*,
            count(case when stepping.is_break then 1 end) over so_far as breaks,
            coalesce(sum(stepping.cumulative - stepping.cumulative_before) over so_far, 0) as stepped
        from {{ points }} as stepping
        window so_far as (
            partition by {% for key in keys %}stepping.{{ key }}{{ ", " if not loop.last }}{% endfor %}
            order by stepping.point_on
            rows between unbounded preceding and current row
        )
    ) as levelled
{%- endmacro %}
