-- One model that may belong to a set in one month, with what a total needs to know of it
-- (definitions 4.1-4.3): its value, whether it was expected, the value that stands for it when it
-- is missing, and which part of it may be compared with the month before.

with models as (

    select
        int_models.model_id,
        coalesce(int_models.organization, 'unknown') as organization,
        coalesce(int_models.country, 'unknown') as country,
        coalesce(int_models.region, 'unknown') as region,
        coalesce(int_models.size_bucket, 'unknown') as size_bucket,
        coalesce(int_models.family, 'unknown') as family,
        coalesce({{ curve_begins_on('int_models') }}, int_models.release_date) as born_on,
        int_models.last_observed_on,
        coalesce(int_models.is_gone, false) as is_gone
    from {{ ref('int_models') }} as int_models
    where {{ in_widest_set('int_models') }}

),

downloads as (

    select
        model_id,
        month,
        downloads,
        downloads_cumulative,
        coalesce(is_anomalous, false) as is_anomalous
    from {{ ref('int_listed_model_downloads') }}

),

months as (

    select distinct
        month,
        {{ next_month('month') }} as month_end
    from downloads

),

-- a model has a row from its birth on (from the first month when its birth is unknown)
model_months as (

    select
        months.month,
        months.month_end,
        models.model_id,
        models.organization,
        models.country,
        models.region,
        models.size_bucket,
        models.family,
        models.born_on,
        downloads.downloads,
        downloads.downloads_cumulative,
        coalesce(downloads.is_anomalous, false) as is_anomalous,
        downloads.downloads is null
        and models.is_gone
        and (models.last_observed_on is null or models.last_observed_on < months.month_end)
            as is_gone
    from months
    cross join models
    left join downloads
        on
            models.model_id = downloads.model_id
            and months.month = downloads.month
    where
        models.born_on is null
        or models.born_on < months.month_end
        or downloads.downloads is not null
        or downloads.downloads_cumulative is not null

),

neighbours as (

    select
        month,
        model_id,
        max(case when downloads is not null then month end) over (
            partition by model_id
            order by month
            rows between unbounded preceding and current row
        ) as measured_before,
        min(case when downloads is not null then month end) over (
            partition by model_id
            order by month
            rows between current row and unbounded following
        ) as measured_after
    from model_months

),

-- the nearest measured month; of two equally near, the later
reference_months as (

    select
        month,
        model_id,
        case
            when measured_before is null then measured_after
            when measured_after is null then measured_before
            when
                {{ dbt.datediff('measured_before', 'month', 'month') }}
                < {{ dbt.datediff('month', 'measured_after', 'month') }}
                then measured_before
            else measured_after
        end as reference_month
    from neighbours

)

select
    model_months.month,
    model_months.model_id,
    model_months.organization,
    model_months.country,
    model_months.region,
    model_months.size_bucket,
    model_months.family,
    model_months.downloads,
    previous.downloads as downloads_before,
    model_months.downloads_cumulative,
    model_months.is_anomalous,
    -- what is measured was expected, whatever else is believed of it
    model_months.downloads is not null
    or (
        not model_months.is_gone
        and (model_months.born_on is null or model_months.born_on < model_months.month_end)
    ) as is_expected,
    coalesce(reference.downloads, 0) as reference_downloads,
    case
        when previous.downloads is null then null
        when model_months.is_gone then 0
        else model_months.downloads
    end as matched_downloads,
    case
        when previous.downloads is not null or model_months.born_on is null then null
        when
            model_months.born_on >= model_months.month
            and model_months.born_on < model_months.month_end
            then model_months.downloads
    end as born_downloads
from model_months
inner join reference_months
    on
        model_months.model_id = reference_months.model_id
        and model_months.month = reference_months.month
left join downloads as reference
    on
        reference_months.model_id = reference.model_id
        and reference_months.reference_month = reference.month
left join downloads as previous
    on
        model_months.model_id = previous.model_id
        and model_months.month = {{ next_month('previous.month') }}
