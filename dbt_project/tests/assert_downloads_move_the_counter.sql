-- definitions 3.7: where a month is a difference of counters, downloads_cumulative moves by it,
-- up to rounding. Only of models whose counter never fell: what a fall takes back is not told
-- apart yet.
{{ config(meta={'dagster': {'ref': {'name': 'downloads_by_model_monthly'}}}) }}

with fallen as (

    select distinct model_id
    from {{ ref('int_curve_points') }}
    where cumulative < cumulative_clean

),

months as (

    select
        model_id,
        month,
        downloads,
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
    months.downloads_cumulative,
    months.downloads_cumulative_before
from months
left join fallen
    on months.model_id = fallen.model_id
where
    fallen.model_id is null
    and months.method in ('observed', 'interpolated')
    and abs(
        months.downloads_cumulative - months.downloads_cumulative_before - months.downloads
    ) > 1
