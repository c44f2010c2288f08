-- definitions 3.7: where a month is a difference of counters, downloads_cumulative moves by it and
-- by what a fall took back, up to rounding. Only until a remainder of the curve falls (definitions
-- 2): from there on C* lies above it.
{{ config(meta={'dagster': {'ref': {'name': 'downloads_by_model_monthly'}}}) }}

with stepping as (

    select
        model_id,
        lag(point_on) over (
            partition by model_id
            order by point_on
        ) as previous_on,
        cumulative_clean
        - cumulative
        + coalesce(sum(cumulative - cumulative_before) over (
            partition by model_id
            order by point_on
            rows between unbounded preceding and current row
        ), 0) as raised
    from {{ ref('int_curve_points') }}

),

fallen as (

    select
        model_id,
        min(previous_on) as from_on
    from stepping
    where raised > 0.5
    group by model_id

),

months as (

    select
        model_id,
        month,
        downloads,
        counter_correction,
        method,
        downloads_cumulative,
        lag(downloads_cumulative) over (
            partition by model_id
            order by month
        ) as downloads_cumulative_before
    from {{ ref('downloads_by_model_monthly') }}

)

select
    months.model_id,
    months.month,
    months.downloads,
    months.counter_correction,
    months.downloads_cumulative,
    months.downloads_cumulative_before
from months
left join fallen
    on months.model_id = fallen.model_id
where
    (fallen.model_id is null or {{ next_month('months.month') }} <= fallen.from_on)
    and months.method in ('observed', 'interpolated')
    and abs(
        months.downloads_cumulative - months.downloads_cumulative_before
        - months.downloads - months.counter_correction
    ) > 2
