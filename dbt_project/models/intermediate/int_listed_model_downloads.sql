-- definitions 3, for every model that may belong to a set; downloads_by_model_monthly shows those
-- of the build's. Edges of a month: e0 its first day, e1 the next month's.

with models as (

    select
        int_models.model_id,
        {{ curve_begins_on('int_models') }} as created_on,
        int_models.release_date,
        coalesce({{ curve_begins_on('int_models') }}, int_models.release_date) as born_on,
        int_models.first_observed_on,
        int_models.last_observed_on,
        int_models.is_gone
    from {{ ref('int_models') }} as int_models
    where {{ in_widest_set('int_models') }}

),

points as (

    select
        points.model_id,
        points.point_on,
        points.cumulative,
        points.cumulative_before,
        points.cumulative_clean,
        points.breaks,
        points.is_break,
        points.is_hub_fault,
        points.kind
    from {{ ref('int_curve_points') }} as points
    inner join models
        on points.model_id = models.model_id

),

readings as (

    select
        readings.model_id,
        readings.observed_on,
        readings.downloads_30d,
        readings.downloads_all_time,
        readings.flag,
        readings.is_hub_fault
    from {{ ref('int_used_readings') }} as readings
    inner join models
        on readings.model_id = models.model_id

),

windows as (

    select
        model_id,
        observed_on,
        downloads_30d
    from readings
    where downloads_30d is not null

),

months as (

    {{ month_spine(first_month(), today()) }}

),

-- from the month of birth or of the first reading on; from the first month when birth is unknown
model_months as (

    select
        models.model_id,
        months.month,
        months.next_month,
        months.days_in_month,
        models.created_on,
        models.created_on is not null
        and models.created_on >= months.month
        and models.created_on < months.next_month as is_birth_month,
        models.is_gone
        and models.last_observed_on is not null
        and models.last_observed_on < months.next_month as is_gone,
        months.next_month > {{ today() }} as is_open
    from models
    inner join months
        on
            models.born_on is null
            or models.born_on < months.next_month
            or models.first_observed_on < months.next_month

),

-- how many used readings each month holds, and the newest so far
reading_months as (

    select
        model_id,
        {{ month_of('observed_on') }} as reading_month,
        count(*) as readings,
        count(downloads_all_time) as counters,
        max(observed_on) as last_on,
        min(observed_on) as first_on
    from readings
    group by model_id, {{ month_of('observed_on') }}

),

spans as (

    select
        model_id,
        min(first_on) as first_reading_on,
        max(last_on) as last_reading_on,
        sum(counters) > 0 as has_counter
    from reading_months
    group by model_id

),

reading_series as (

    {{ with_next('readings', ['model_id'], 'observed_on', {}) }}

),

latest_readings as (

    select
        model_months.model_id,
        model_months.next_month,
        reading.observed_on as last_reading_on
    from model_months
    {{ asof_left_join(
        'reading_series', 'reading', ['model_id'], 'model_months', 'next_month', 'observed_on'
    ) }}

),

-- where the curve ends: with the last reading, unless that has no counter
curve_ends as (

    select
        model_id,
        max(point_on) as last_point_on
    from points
    where kind in ('reading', 'window_life')
    group by model_id

),

-- a counter within a day of a month's edge
observed_edges as (

    select distinct
        model_id,
        {{ month_of(add_days('point_on', 1)) }} as edge
    from points
    where
        kind in ('reading', 'window_life')
        and point_on <= {{ add_days(month_of(add_days('point_on', 1)), 1) }}

),

asks as (

    select
        model_id,
        month as asked_on
    from model_months
    union
    select
        model_id,
        next_month as asked_on
    from model_months
    union
    select
        model_id,
        {{ first_month() }} as asked_on
    from models
    union
    select
        model_id,
        last_point_on as asked_on
    from curve_ends

),

curve as (

    {{ curve_at('points', 'asks') }}

),

window_asks as (

    select
        model_id,
        next_month as asked_on
    from model_months
    where not is_open and not is_gone

),

edge_windows as (

    {{ window_at('windows', 'window_asks') }}

),

window_months as (

    {{ standing_windows('edge_windows') }}

),

edges as (

    select
        model_months.*,
        -- created inside the month: nothing before
        case
            when model_months.is_birth_month and opening.low_on is null then 0
            else opening.cumulative_clean
        end as clean_start,
        case
            when model_months.is_birth_month and opening.low_on is null then 0
            else opening.gap_days
        end as gap_start,
        closing.cumulative_clean as clean_end,
        closing.gap_days as gap_end,
        -- C* compares only where no unknown fall lies between
        coalesce(opening.breaks, 0) as breaks_start,
        coalesce(opening.is_in_break, false)
        or coalesce(closing.is_in_break, false)
        or (
            closing.high_on is not null
            and coalesce(opening.breaks, 0) <> closing.breaks
        ) as is_broken,
        coalesce(opening.uses_hub_fault, false)
        or coalesce(closing.uses_hub_fault, false) as uses_hub_fault,
        -- windows alone give no counter; the end of an open month has not come (definitions 3.7)
        case
            when model_months.is_open or not coalesce(spans.has_counter, false) then null
            when model_months.is_gone then closing.cumulative_low
            when closing.gap_days <= {{ var('max_gap_days_cumulative') }} then closing.cumulative
        end as cumulative_end,
        case
            when model_months.created_on >= {{ first_month() }} and beginning.low_on is null then 0
            when beginning.gap_days <= {{ var('max_gap_days_cumulative') }}
                then beginning.cumulative
        end as cumulative_first,
        opening.uses_window_chain or closing.uses_window_chain as uses_window_chain,
        observed_start.edge is not null and observed_end.edge is not null as is_observed,
        latest.cumulative_clean as clean_latest,
        latest.breaks as breaks_latest,
        opening.is_in_break as is_start_in_break,
        spans.first_reading_on,
        spans.last_reading_on as model_last_reading_on,
        curve_ends.last_point_on
    from model_months
    left join curve as opening
        on
            model_months.model_id = opening.model_id
            and model_months.month = opening.asked_on
    left join curve as closing
        on
            model_months.model_id = closing.model_id
            and model_months.next_month = closing.asked_on
    left join curve as beginning
        on
            model_months.model_id = beginning.model_id
            and beginning.asked_on = {{ first_month() }}
    left join observed_edges as observed_start
        on
            model_months.model_id = observed_start.model_id
            and model_months.month = observed_start.edge
    left join observed_edges as observed_end
        on
            model_months.model_id = observed_end.model_id
            and model_months.next_month = observed_end.edge
    left join spans
        on model_months.model_id = spans.model_id
    left join curve_ends
        on model_months.model_id = curve_ends.model_id
    left join curve as latest
        on
            curve_ends.model_id = latest.model_id
            and curve_ends.last_point_on = latest.asked_on

),

hub_faults as (

    select
        model_id,
        observed_on
    from readings
    where is_hub_fault

),

-- 1.6: the falls of the counter, in the month that ends with them or after them
steps as (

    select
        points.model_id,
        {{ month_of(add_days('points.point_on', -1)) }} as month,
        case
            when count(case when points.is_break then 1 end) = 0
                then sum(points.cumulative - points.cumulative_before)
        end as counter_correction,
        case
            when count(case when readings.flag = 'reset' then 1 end) > 0 then 'reset'
            else 'correction'
        end as reason
    from points
    inner join readings
        on
            points.model_id = readings.model_id
            and points.point_on = readings.observed_on
    where
        readings.flag in ('reset', 'correction')
        and points.kind = 'reading'
    group by points.model_id, {{ month_of(add_days('points.point_on', -1)) }}

),

methods as (

    select
        edges.*,
        window_months.window_30d,
        window_months.gap_days as gap_window,
        first_fault.observed_on is not null
        or last_fault.observed_on is not null as uses_hub_fault_window,
        case
            when edges.is_open then 'month_open'
            when edges.first_reading_on is null then 'no_reading'
            when edges.is_gone then 'after_last_reading'
            when
                edges.gap_start <= {{ var('max_gap_days') }}
                and edges.gap_end <= {{ var('max_gap_days') }}
                and not edges.is_broken
                then 'difference'
            when window_months.window_30d is not null then 'window'
            when edges.next_month > edges.model_last_reading_on then 'after_last_reading'
            when
                edges.month < edges.first_reading_on
                and (edges.next_month <= edges.first_reading_on or edges.gap_start is null)
                then 'before_first_reading'
            when edges.is_broken then 'counter_break'
            else 'gap_too_wide'
        end as outcome
    from edges
    left join window_months
        on
            edges.model_id = window_months.model_id
            and edges.next_month = window_months.next_month
    left join hub_faults as first_fault
        on
            window_months.model_id = first_fault.model_id
            and window_months.first_used_on = first_fault.observed_on
    left join hub_faults as last_fault
        on
            window_months.model_id = last_fault.model_id
            and window_months.last_used_on = last_fault.observed_on

),

measured as (

    select
        methods.model_id,
        methods.month,
        cast(round(case
            when methods.outcome = 'difference' then methods.clean_end - methods.clean_start
            when methods.outcome = 'window' and methods.is_birth_month then methods.window_30d
            when methods.outcome = 'window' then methods.window_30d * methods.days_in_month / 30
        end) as bigint) as downloads,
        cast(round(methods.cumulative_end) as bigint) as downloads_cumulative,
        case
            when
                methods.outcome = 'window'
                or (methods.outcome = 'difference' and methods.uses_window_chain)
                then 'window_30d'
            when methods.outcome = 'difference' and methods.is_observed then 'observed'
            when methods.outcome = 'difference' then 'interpolated'
        end as method,  -- noqa: RF04
        cast(
            coalesce(reading_months.readings, 0)
            + case when following_months.first_on = methods.next_month then 1 else 0 end as integer
        ) as observations,
        cast(case
            when methods.outcome = 'window' then methods.gap_window
            when methods.outcome in ('difference', 'gap_too_wide')
                then greatest(
                    coalesce(methods.gap_start, methods.gap_end),
                    coalesce(methods.gap_end, methods.gap_start)
                )
        end as integer) as gap_days,
        latest_readings.last_reading_on,
        case
            when methods.outcome not in ('difference', 'window') then methods.outcome
        end as null_reason,
        cast(round(case
            when
                methods.is_open
                and methods.gap_start <= {{ var('max_gap_days') }}
                and methods.last_point_on >= methods.month
                and not coalesce(methods.is_start_in_break, false)
                and methods.breaks_start = methods.breaks_latest
                then methods.clean_latest - methods.clean_start
        end) as bigint) as downloads_to_date,
        cast(
            round(methods.cumulative_end - methods.cumulative_first) as bigint
        ) as downloads_since_2023_11,
        case
            when steps.model_id is null then 0
            else cast(round(steps.counter_correction) as bigint)
        end as counter_correction,
        case
            when steps.reason is not null then steps.reason
            when methods.outcome = 'difference' and methods.uses_hub_fault then 'hub_fault'
            when methods.outcome = 'window' and methods.uses_hub_fault_window then 'hub_fault'
        end as reading_reason
    from methods
    left join steps
        on
            methods.model_id = steps.model_id
            and methods.month = steps.month
    left join reading_months
        on
            methods.model_id = reading_months.model_id
            and methods.month = reading_months.reading_month
    left join reading_months as following_months
        on
            methods.model_id = following_months.model_id
            and methods.next_month = following_months.reading_month
    left join latest_readings
        on
            methods.model_id = latest_readings.model_id
            and methods.next_month = latest_readings.next_month

),

-- 3.8: young models grow that fast, older ones do not
spikes as (

    select
        high.model_id,
        high.month
    from measured as high
    inner join models
        on high.model_id = models.model_id
    inner join measured as other
        on
            high.model_id = other.model_id
            and high.month <> other.month
            and other.month >= {{ add_months('high.month', -3) }}
            and other.month <= {{ add_months('high.month', 3) }}
    where
        high.downloads >= 100000
        and other.downloads is not null
        and (
            models.release_date is null
            or high.month > {{ add_days('models.release_date', 90) }}
        )
    group by high.model_id, high.month, high.downloads
    having
        count(*) >= 3
        and high.downloads > 5 * {{ quantile('other.downloads', 0.5) }}

)

select
    measured.model_id,
    measured.month,
    measured.downloads,
    measured.downloads_cumulative,
    measured.method,
    measured.observations,
    measured.gap_days,
    measured.last_reading_on,
    measured.reading_reason is not null or spikes.model_id is not null as is_anomalous,
    case
        when measured.reading_reason is not null then measured.reading_reason
        when spikes.model_id is not null then 'spike'
    end as anomaly_reason,
    measured.null_reason,
    measured.downloads_to_date,
    measured.downloads_since_2023_11,
    measured.counter_correction
from measured
left join spikes
    on
        measured.model_id = spikes.model_id
        and measured.month = spikes.month
