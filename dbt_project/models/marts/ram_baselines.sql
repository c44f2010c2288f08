-- What a model of each size must reach some days after its release (definitions 5.5-5.8).

with snapshots as (

    select
        baseline,
        rule,
        n,
        is_frozen,
        snapshot_on,
        is_reached
    from {{ ref('int_ram_snapshots') }}

),

measurements as (

    select
        as_of,
        model_id,
        day,
        size_bucket,
        downloads_at_day
    from {{ ref('int_ram_measurements') }}
    where size_bucket is not null

),

standings as (

    select
        as_of,
        model_id,
        size_bucket,
        cumulative
    from {{ ref('int_ram_standings') }}
    where size_bucket is not null

),

size_buckets as (

    select size_bucket
    from {{ ref('size_buckets') }}

),

days as (

    {{ days_select(ram_days()) }}

),

-- nth: everyone measured on that day, by the value on that day
nth_pool as (

    select
        snapshots.baseline,
        snapshots.n,
        measurements.size_bucket,
        measurements.day,
        measurements.model_id,
        measurements.downloads_at_day,
        row_number() over (
            partition by snapshots.baseline, measurements.size_bucket, measurements.day
            order by measurements.downloads_at_day desc, measurements.model_id asc
        ) as place
    from snapshots
    inner join measurements
        on snapshots.snapshot_on = measurements.as_of
    where
        snapshots.rule = 'nth'
        and snapshots.is_reached
        and measurements.downloads_at_day is not null

),

-- median_of_top: the same models on every day, by their total at the snapshot
median_pool as (

    select
        snapshots.baseline,
        snapshots.n,
        snapshots.snapshot_on,
        standings.size_bucket,
        standings.model_id,
        row_number() over (
            partition by snapshots.baseline, standings.size_bucket
            order by standings.cumulative desc, standings.model_id asc
        ) as place
    from snapshots
    inner join standings
        on snapshots.snapshot_on = standings.as_of
    where
        snapshots.rule = 'median_of_top'
        and snapshots.is_reached

),

pools as (

    select
        baseline,
        n,
        size_bucket,
        day,
        model_id,
        place,
        downloads_at_day
    from nth_pool

    union all

    select
        median_pool.baseline,
        median_pool.n,
        median_pool.size_bucket,
        days.day,
        median_pool.model_id,
        median_pool.place,
        measurements.downloads_at_day
    from median_pool
    cross join days
    left join measurements
        on
            median_pool.snapshot_on = measurements.as_of
            and median_pool.model_id = measurements.model_id
            and days.day = measurements.day

),

pool_sizes as (

    select
        baseline,
        size_bucket,
        day,
        count(*) as pool_size
    from pools
    group by baseline, size_bucket, day

),

members as (

    select
        baseline,
        n,
        size_bucket,
        day,
        model_id,
        place,
        downloads_at_day,
        count(downloads_at_day) over (partition by baseline, size_bucket, day) as measured,
        row_number() over (
            partition by baseline, size_bucket, day
            order by
                case when downloads_at_day is null then 1 else 0 end asc,
                downloads_at_day desc,
                model_id asc
        ) as place_at_day
    from pools
    where place <= n

),

-- of m values in order, those in the middle are the k-th with m <= 2k <= m + 2: one or two
summaries as (

    select
        baseline,
        size_bucket,
        day,
        {{ ordered_list('model_id', 'place') }} as members,
        count(downloads_at_day) as members_measured,
        max(case when place = n then downloads_at_day end) as nth_largest,
        (
            min(
                case
                    when 2 * place_at_day between measured and measured + 2 then downloads_at_day
                end
            )
            + max(
                case
                    when 2 * place_at_day between measured and measured + 2 then downloads_at_day
                end
            )
        ) / 2 as median
    from members
    group by baseline, size_bucket, day

)

select
    snapshots.baseline,
    size_buckets.size_bucket,
    days.day,
    case
        when snapshots.rule = 'nth' then summaries.nth_largest
        -- at least 60 % of n, in whole numbers
        when 10 * summaries.members_measured >= 6 * snapshots.n then summaries.median
    end as downloads,
    coalesce(summaries.members, {{ empty_list() }}) as members,
    cast(coalesce(pool_sizes.pool_size, 0) as {{ dbt.type_int() }}) as pool_size,
    cast(coalesce(summaries.members_measured, 0) as {{ dbt.type_int() }}) as members_measured,
    snapshots.rule,
    snapshots.n,
    snapshots.is_frozen,
    snapshots.snapshot_on,
    case
        when not snapshots.is_reached then 'snapshot_not_reached'
        when snapshots.rule = 'nth' and coalesce(pool_sizes.pool_size, 0) < snapshots.n
            then 'pool_too_small'
        when
            snapshots.rule = 'median_of_top'
            and 10 * coalesce(summaries.members_measured, 0) < 6 * snapshots.n
            then 'too_few_members_measured'
    end as null_reason
from snapshots
cross join size_buckets
cross join days
left join summaries
    on
        snapshots.baseline = summaries.baseline
        and size_buckets.size_bucket = summaries.size_bucket
        and days.day = summaries.day
left join pool_sizes
    on
        snapshots.baseline = pool_sizes.baseline
        and size_buckets.size_bucket = pool_sizes.size_bucket
        and days.day = pool_sizes.day
