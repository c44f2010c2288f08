-- How a score moves when one choice of the rule is made otherwise (definitions 5.7-5.10). Every
-- variant has its own pool, so both what is divided and what it is divided by may change.

with as_tracked as (

    select
        model_id,
        day,
        size_bucket,
        downloads_at_day,
        downloads_low,
        downloads_high,
        gap_days,
        null_reason
    from {{ ref('int_ram_measurements') }}
    where is_newest

),

merged as (

    select
        model_id,
        day,
        size_bucket,
        downloads_at_day,
        downloads_low,
        downloads_high,
        gap_days,
        null_reason
    from {{ ref('int_ram_measurements_merged') }}

),

reference_scores as (

    select
        model_id,
        day,
        ram,
        ram_low,
        ram_high,
        baseline_downloads
    from {{ ref('ram_scores') }}
    where baseline = 'tenth_rolling'

),

variants as (

    {% for n in ram_compared_n() -%}
        select
            'n{{ n }}' as variant,
            {{ n }} as n
        union all
    {% endfor -%}
    select
        'merged_precision_variants' as variant,
        {{ ram_top() }} as n
    union all
    select
        'without_t5gemma' as variant,
        {{ ram_top() }} as n

),

-- a row for each day a model has reached, under every variant
asks as (

    select
        as_tracked.model_id,
        as_tracked.day,
        as_tracked.size_bucket,
        variants.variant,
        variants.n
    from as_tracked
    cross join variants

),

-- who takes part in a variant, and with what
entries as (

    select
        variants.variant,
        as_tracked.model_id,
        as_tracked.day,
        as_tracked.size_bucket,
        as_tracked.downloads_at_day,
        as_tracked.downloads_low,
        as_tracked.downloads_high,
        as_tracked.gap_days,
        as_tracked.null_reason
    from as_tracked
    cross join variants
    where
        variants.variant <> 'merged_precision_variants'
        and not (variants.variant = 'without_t5gemma' and {{ is_t5gemma('as_tracked.model_id') }})

    union all

    select
        'merged_precision_variants' as variant,
        merged.model_id,
        merged.day,
        merged.size_bucket,
        merged.downloads_at_day,
        merged.downloads_low,
        merged.downloads_high,
        merged.gap_days,
        merged.null_reason
    from merged

),

pools as (

    select
        variant,
        size_bucket,
        day,
        downloads_at_day,
        row_number() over (
            partition by variant, size_bucket, day
            order by downloads_at_day desc, model_id asc
        ) as place
    from entries
    where
        size_bucket is not null
        and downloads_at_day is not null

),

baselines as (

    select
        pools.variant,
        pools.size_bucket,
        pools.day,
        max(case when pools.place = variants.n then pools.downloads_at_day end) as downloads,
        count(*) as pool_size
    from pools
    inner join variants
        on pools.variant = variants.variant
    group by pools.variant, pools.size_bucket, pools.day

),

scored as (

    select
        asks.model_id,
        asks.day,
        asks.variant,
        asks.size_bucket,
        entries.downloads_at_day,
        baselines.downloads as baseline_downloads,
        entries.downloads_at_day / nullif(baselines.downloads, 0) as ram,
        entries.downloads_low / nullif(baselines.downloads, 0) as ram_low,
        entries.downloads_high / nullif(baselines.downloads, 0) as ram_high,
        entries.gap_days,
        reference_scores.baseline_downloads as baseline_downloads_reference,
        reference_scores.ram as ram_reference,
        reference_scores.ram_low as ram_reference_low,
        reference_scores.ram_high as ram_reference_high,
        coalesce(baselines.pool_size, 0) as pool_size,
        case
            when entries.model_id is not null then entries.null_reason
            when asks.variant = 'merged_precision_variants' then 'merged_into_base'
            else 'left_out'
        end as null_reason
    from asks
    left join entries
        on
            asks.variant = entries.variant
            and asks.model_id = entries.model_id
            and asks.day = entries.day
    left join baselines
        on
            asks.variant = baselines.variant
            and asks.size_bucket = baselines.size_bucket
            and asks.day = baselines.day
    left join reference_scores
        on
            asks.model_id = reference_scores.model_id
            and asks.day = reference_scores.day

)

select
    model_id,
    day,
    variant,
    size_bucket,
    downloads_at_day,
    baseline_downloads,
    ram,
    ram_low,
    ram_high,
    gap_days,
    baseline_downloads_reference,
    ram_reference,
    ram_reference_low,
    ram_reference_high,
    ram / nullif(ram_reference, 0) as ratio,
    (ram >= 1) <> (ram_reference >= 1) as crosses_one,
    case
        when ram is not null and ram_reference is not null
            then coalesce(
                (ram_low >= 1 and ram_reference_high < 1)
                or (ram_high < 1 and ram_reference_low >= 1),
                false
            )
    end as crosses_one_surely,
    cast(pool_size as {{ dbt.type_int() }}) as pool_size,
    case
        when null_reason is not null then null_reason
        when ram is null then 'no_baseline'
        when ram_reference is null or ram_reference = 0 then 'no_reference'
    end as null_reason
from scored
