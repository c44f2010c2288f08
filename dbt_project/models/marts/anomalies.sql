-- The flagged model-months (definitions 1.5, 1.6, 3.8), with what the model usually has and what is
-- known about the cause.

with months as (

    select * from {{ ref('downloads_by_model_monthly') }}

),

models as (

    select * from {{ ref('models') }}

),

causes as (

    select * from {{ ref('known_anomalies') }}

),

flagged as (

    select
        model_id,
        month,
        anomaly_reason,
        downloads
    from months
    where is_anomalous

),

-- the months a spike is held against (3.8): a window to both sides takes the trend out
usual as (

    select
        flagged.model_id,
        flagged.month,
        {{ quantile('months.downloads', 0.5) }} as typical_downloads
    from flagged
    inner join months
        on
            flagged.model_id = months.model_id
            and flagged.month <> months.month
            and months.month >= {{ add_months('flagged.month', -3) }}
            and months.month <= {{ add_months('flagged.month', 3) }}
    where months.downloads is not null
    group by flagged.model_id, flagged.month
    having count(*) >= 3

),

-- one fault of the Hub flags most models at once
faults as (

    select
        month,
        count(*) as fault_models
    from flagged
    where anomaly_reason = 'hub_fault'
    group by month

),

-- a month can stand on a reading up to max_gap_days outside it
fault_readings as (

    select
        model_id,
        observed_on
    from {{ ref('int_used_readings') }}
    where is_hub_fault

),

hub_causes as (

    select
        flagged.model_id,
        flagged.month,
        causes.cause,
        causes.url,
        causes.valid_from
    from flagged
    inner join fault_readings
        on
            flagged.model_id = fault_readings.model_id
            and fault_readings.observed_on
            >= {{ add_days('flagged.month', 0 - var('max_gap_days')) }}
            and fault_readings.observed_on
            <= {{ add_days(next_month('flagged.month'), var('max_gap_days')) }}
    inner join causes
        on
            causes.scope = 'hub'
            and flagged.anomaly_reason = causes.anomaly_reason
            and lower(flagged.model_id) like causes.model_pattern
            and (causes.valid_from is null or fault_readings.observed_on >= causes.valid_from)
            and (causes.valid_to is null or fault_readings.observed_on <= causes.valid_to)

),

model_causes as (

    select
        flagged.model_id,
        flagged.month,
        causes.cause,
        causes.url,
        causes.valid_from
    from flagged
    inner join causes
        on
            causes.scope = 'model'
            and flagged.anomaly_reason = causes.anomaly_reason
            and lower(flagged.model_id) like causes.model_pattern
            and (causes.valid_from is null or {{ next_month('flagged.month') }} > causes.valid_from)
            and (causes.valid_to is null or flagged.month <= causes.valid_to)

),

-- the earliest that explains the month
explained as (

    select
        found.model_id,
        found.month,
        found.cause,
        found.url,
        row_number() over (
            partition by found.model_id, found.month
            order by found.valid_from, found.cause
        ) as nth
    from (
        select * from hub_causes
        union all
        select * from model_causes
    ) as found

)

select
    flagged.model_id,
    flagged.month,
    models.organization,
    models.region,
    flagged.anomaly_reason,
    flagged.downloads,
    cast(usual.typical_downloads as double) as typical_downloads,
    cast(flagged.downloads - usual.typical_downloads as double) as excess_downloads,
    cast(flagged.downloads as double) / nullif(usual.typical_downloads, 0) as ratio,
    cast(faults.fault_models as {{ dbt.type_int() }}) as fault_models,
    explained.cause as known_cause,
    explained.url as known_cause_url
from flagged
inner join models
    on flagged.model_id = models.model_id
left join usual
    on
        flagged.model_id = usual.model_id
        and flagged.month = usual.month
left join faults
    on
        flagged.anomaly_reason = 'hub_fault'
        and flagged.month = faults.month
left join explained
    on
        flagged.model_id = explained.model_id
        and flagged.month = explained.month
        and explained.nth = 1
