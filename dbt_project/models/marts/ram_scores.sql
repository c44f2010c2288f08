-- How a model compares with the baseline of its size some days after its release (definitions 5.9).

with measurements as (

    select
        model_id,
        day,
        size_bucket,
        downloads_at_day,
        downloads_low,
        downloads_high,
        downloads_before_release,
        gap_days,
        null_reason
    from {{ ref('int_ram_measurements') }}
    where is_newest

),

snapshots as (

    select baseline
    from {{ ref('int_ram_snapshots') }}

),

baselines as (

    select
        baseline,
        size_bucket,
        day,
        downloads,
        -- what a score is divided by
        nullif(downloads, 0) as divisor
    from {{ ref('ram_baselines') }}

)

select
    measurements.model_id,
    snapshots.baseline,
    measurements.day,
    measurements.size_bucket,
    measurements.downloads_at_day,
    measurements.downloads_low,
    measurements.downloads_high,
    measurements.downloads_before_release,
    baselines.downloads as baseline_downloads,
    measurements.downloads_at_day / baselines.divisor as ram,
    measurements.downloads_low / baselines.divisor as ram_low,
    measurements.downloads_high / baselines.divisor as ram_high,
    measurements.gap_days,
    measurements.gap_days > 0 as is_interpolated,
    case
        when measurements.null_reason is not null then measurements.null_reason
        when baselines.divisor is null then 'no_baseline'
    end as null_reason
from measurements
cross join snapshots
left join baselines
    on
        snapshots.baseline = baselines.baseline
        and measurements.size_bucket = baselines.size_bucket
        and measurements.day = baselines.day
