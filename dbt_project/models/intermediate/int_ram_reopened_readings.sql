{{ config(materialized='table') }}

-- Used readings as they stood on a snapshot date before a dip or a fall was known (definitions 1.6,
-- 5.5): the low readings of a dip then counted, as falls, and the windows of a young model read in
-- the gap that was to end in a fall. Only the few curves that may differ for it are here.

with snapshots as (

    select
        snapshot_on,
        is_reached
    from {{ ref('int_ram_snapshots') }}

),

components as (

    select component_id
    from {{ ref('int_ram_components') }}

),

readings as (

    select * from {{ ref('int_readings') }}

),

used as (

    select
        readings.canonical_id,
        readings.observed_on,
        readings.flag,
        max(case when readings.downloads_all_time is not null then readings.observed_on end) over (
            partition by readings.canonical_id
            order by readings.observed_on
            rows between unbounded preceding and 1 preceding
        ) as previous_on,
        max(case when readings.downloads_all_time is null then readings.observed_on end) over (
            partition by readings.canonical_id
            order by readings.observed_on
            rows between unbounded preceding and 1 preceding
        ) as last_window_on
    from readings
    inner join components
        on readings.canonical_id = components.component_id
    where readings.is_used

),

reopened as (

    select
        snapshots.snapshot_on as as_of,
        components.component_id
    from readings
    inner join components
        on readings.canonical_id = components.component_id
    inner join snapshots
        on
            readings.observed_on <= snapshots.snapshot_on
            and readings.dip_known_on > snapshots.snapshot_on
    where snapshots.is_reached
    union
    select
        snapshots.snapshot_on as as_of,
        used.canonical_id as component_id
    from used
    inner join snapshots
        on
            used.previous_on < snapshots.snapshot_on
            and used.observed_on > snapshots.snapshot_on
    where
        snapshots.is_reached
        and used.flag in ('reset', 'correction')
        and used.last_window_on > used.previous_on

),

standing as (

    select
        reopened.as_of,
        reopened.component_id,
        readings.observed_on,
        readings.downloads_30d,
        readings.downloads_all_time,
        readings.hf_id,
        readings.created_on,
        readings.flag,
        readings.is_hub_fault,
        readings.is_disagreeing,
        max(case when readings.downloads_all_time is not null then readings.observed_on end) over (
            partition by reopened.as_of, reopened.component_id
            order by readings.observed_on
            rows between unbounded preceding and 1 preceding
        ) as previous_on
    from reopened
    inner join readings
        on
            reopened.component_id = readings.canonical_id
            and reopened.as_of >= readings.observed_on
    where
        readings.is_used
        or readings.dip_known_on > reopened.as_of

)

-- the flags of the others do not depend on what came later
select
    later.as_of,
    later.component_id,
    later.observed_on,
    later.downloads_30d,
    later.downloads_all_time,
    case
        when later.flag = 'dip'
            then coalesce(
                {{ fall_kind('later', 'earlier') }},
                case
                    when later.is_hub_fault then 'hub_fault'
                    when later.is_disagreeing then 'sources_disagree'
                end
            )
        else later.flag
    end as flag,
    later.is_hub_fault
from standing as later
left join standing as earlier
    on
        later.as_of = earlier.as_of
        and later.component_id = earlier.component_id
        and later.previous_on = earlier.observed_on
