-- Does an early score (definitions 5) tell who will lead its class later? For each baseline and
-- pair of days: of the models known on both, how many of each band of early scores are among the
-- ten most downloaded of their class on the later day.

{%- set too_few = 2 * ram_top() %}

with scores as (

    select
        model_id,
        baseline,
        day,
        size_bucket,
        ram
    from {{ ref('ram_scores') }}
    where
        size_bucket is not null
        and ram is not null

),

measurements as (

    select
        model_id,
        day,
        size_bucket,
        downloads_at_day
    from {{ ref('int_ram_measurements') }}
    where
        is_newest
        and size_bucket is not null

),

models as (

    select
        model_id,
        release_date
    from {{ ref('models') }}

),

snapshots as (

    select
        baseline,
        is_frozen,
        snapshot_on
    from {{ ref('int_ram_snapshots') }}

),

size_buckets as (

    select size_bucket
    from {{ ref('size_buckets') }}

),

shown_buckets as (

    select size_bucket
    from size_buckets
    union all
    select 'all' as size_bucket

),

early_days as (

    {{ days_select(ram_early_days()) }}

),

later_days as (

    {{ days_select(ram_later_days()) }}

),

bands as (

    select
        'all' as ram_band,
        0 as from_ram,
        cast(null as double) as below_ram
    union all
    select
        '<0.5' as ram_band,
        0 as from_ram,
        0.5 as below_ram
    union all
    select
        '0.5-1' as ram_band,
        0.5 as from_ram,
        1 as below_ram
    union all
    select
        '1-2' as ram_band,
        1 as from_ram,
        2 as below_ram
    union all
    select
        '2+' as ram_band,
        2 as from_ram,
        null as below_ram

),

-- everyone of the class measured on the later day, early score or not
ranked as (

    select
        measurements.model_id,
        later_days.day as later_day,
        measurements.size_bucket,
        measurements.downloads_at_day is not null as is_measured,
        row_number() over (
            partition by measurements.size_bucket, later_days.day
            order by
                case when measurements.downloads_at_day is null then 1 else 0 end asc,
                measurements.downloads_at_day desc,
                measurements.model_id asc
        ) as place
    from measurements
    inner join later_days
        on measurements.day = later_days.day

),

classes as (

    select
        size_buckets.size_bucket,
        later_days.day as later_day,
        count(case when ranked.is_measured then 1 end) as class_models
    from size_buckets
    cross join later_days
    left join ranked
        on
            size_buckets.size_bucket = ranked.size_bucket
            and later_days.day = ranked.later_day
    group by size_buckets.size_bucket, later_days.day

),

-- a class counts for itself and, where its top 10 is not most of it, for 'all'
counted_classes as (

    select
        size_bucket as counted_in,
        size_bucket,
        later_day,
        class_models
    from classes

    union all

    select
        'all' as counted_in,
        size_bucket,
        later_day,
        class_models
    from classes
    where class_models >= {{ too_few }}

),

class_sizes as (

    select
        counted_in,
        later_day,
        sum(class_models) as class_models
    from counted_classes
    group by counted_in, later_day

),

-- who has an early score and has reached the later day
followed as (

    select
        scores.baseline,
        scores.day as early_day,
        ranked.later_day,
        counted_classes.counted_in,
        bands.ram_band,
        scores.ram,
        ranked.is_measured,
        ranked.is_measured and ranked.place <= {{ ram_top() }} as is_in_top10,
        models.release_date > snapshots.snapshot_on and snapshots.is_frozen as is_out_of_sample
    from scores
    inner join early_days
        on scores.day = early_days.day
    inner join ranked
        on
            scores.model_id = ranked.model_id
            and scores.day < ranked.later_day
    inner join counted_classes
        on
            ranked.size_bucket = counted_classes.size_bucket
            and ranked.later_day = counted_classes.later_day
    inner join bands
        on
            scores.ram >= bands.from_ram
            and (bands.below_ram is null or scores.ram < bands.below_ram)
    inner join snapshots
        on scores.baseline = snapshots.baseline
    left join models
        on scores.model_id = models.model_id

),

counts as (

    select
        baseline,
        early_day,
        later_day,
        counted_in,
        ram_band,
        count(case when is_measured then 1 end) as models,
        count(case when not is_measured then 1 end) as models_not_measured_later,
        count(case when is_in_top10 then 1 end) as in_top10,
        count(case when is_measured and is_out_of_sample then 1 end) as models_out_of_sample,
        count(case when is_in_top10 and is_out_of_sample then 1 end) as in_top10_out_of_sample,
        -- in millionths: a floating sum depends on the order of rows
        sum(case when is_measured then cast(round(ram * 1000000) as {{ dbt.type_bigint() }}) end)
            as sum_of_ram
    from followed
    group by baseline, early_day, later_day, counted_in, ram_band

),

grid as (

    select
        snapshots.baseline,
        snapshots.is_frozen,
        early_days.day as early_day,
        later_days.day as later_day,
        shown_buckets.size_bucket,
        bands.ram_band,
        coalesce(class_sizes.class_models, 0) as class_models
    from snapshots
    cross join early_days
    inner join later_days
        on early_days.day < later_days.day
    cross join shown_buckets
    cross join bands
    left join class_sizes
        on
            shown_buckets.size_bucket = class_sizes.counted_in
            and later_days.day = class_sizes.later_day

),

filled as (

    select
        grid.baseline,
        grid.is_frozen,
        grid.early_day,
        grid.later_day,
        grid.size_bucket,
        grid.ram_band,
        grid.class_models,
        counts.sum_of_ram,
        coalesce(counts.models, 0) as models,
        coalesce(counts.models_not_measured_later, 0) as models_not_measured_later,
        coalesce(counts.in_top10, 0) as in_top10,
        coalesce(counts.models_out_of_sample, 0) as models_out_of_sample,
        coalesce(counts.in_top10_out_of_sample, 0) as in_top10_out_of_sample,
        -- with so few models nearly everyone is in the top 10: a rate would say nothing
        grid.class_models >= {{ too_few }} as is_telling
    from grid
    left join counts
        on
            grid.baseline = counts.baseline
            and grid.early_day = counts.early_day
            and grid.later_day = counts.later_day
            and grid.size_bucket = counts.counted_in
            and grid.ram_band = counts.ram_band

),

based as (

    select
        filled.*,
        max(case when filled.ram_band = 'all' then filled.models end) over same_question
            as models_all,
        max(case when filled.ram_band = 'all' then filled.in_top10 end) over same_question
            as in_top10_all,
        max(
            case when filled.ram_band = 'all' then filled.models_out_of_sample end
        ) over same_question as models_out_of_sample_all,
        max(
            case when filled.ram_band = 'all' then filled.in_top10_out_of_sample end
        ) over same_question as in_top10_out_of_sample_all
    from filled
    window same_question as (
        partition by filled.baseline, filled.early_day, filled.later_day, filled.size_bucket
    )

)

select
    baseline,
    early_day,
    later_day,
    size_bucket,
    ram_band,
    cast(models as {{ dbt.type_int() }}) as models,
    cast(in_top10 as {{ dbt.type_int() }}) as in_top10,
    case when is_telling then in_top10 / cast(nullif(models, 0) as double) end as hit_rate,
    case when is_telling then {{ wilson_bound('in_top10', 'models', 'low') }} end as hit_rate_low,
    case when is_telling then {{ wilson_bound('in_top10', 'models', 'high') }} end as hit_rate_high,
    case when is_telling then in_top10_all / cast(nullif(models_all, 0) as double) end as base_rate,
    case
        when is_telling then in_top10 / cast(nullif(in_top10_all, 0) as double)
    end as share_of_top10,
    sum_of_ram / cast(nullif(models, 0) as double) / 1000000 as mean_early_ram,
    case when is_frozen then cast(models_out_of_sample as {{ dbt.type_int() }}) end
        as models_out_of_sample,
    case when is_frozen then cast(in_top10_out_of_sample as {{ dbt.type_int() }}) end
        as in_top10_out_of_sample,
    {%- set outside = 'in_top10_out_of_sample', 'models_out_of_sample' %}
    case
        when is_telling and is_frozen
            then in_top10_out_of_sample / cast(nullif(models_out_of_sample, 0) as double)
    end as hit_rate_out_of_sample,
    case
        when is_telling and is_frozen then {{ wilson_bound(outside[0], outside[1], 'low') }}
    end as hit_rate_out_of_sample_low,
    case
        when is_telling and is_frozen then {{ wilson_bound(outside[0], outside[1], 'high') }}
    end as hit_rate_out_of_sample_high,
    case
        when is_telling and is_frozen
            then in_top10_out_of_sample_all / cast(nullif(models_out_of_sample_all, 0) as double)
    end as base_rate_out_of_sample,
    cast(models_not_measured_later as {{ dbt.type_int() }}) as models_not_measured_later,
    cast(class_models as {{ dbt.type_int() }}) as class_models,
    case
        when not is_telling then 'too_few_models'
        when models = 0 then 'no_models'
    end as null_reason
from based
