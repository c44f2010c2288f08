-- Every flagged month of a model is an anomaly with the same value and reason, and nothing else is.
{{ config(meta={'dagster': {'ref': {'name': 'anomalies'}}}) }}

with flagged as (

    select
        model_id,
        month,
        anomaly_reason,
        downloads
    from {{ ref('downloads_by_model_monthly') }}
    where is_anomalous

),

anomalies as (

    select
        model_id,
        month,
        anomaly_reason,
        downloads
    from {{ ref('anomalies') }}

)

select
    coalesce(flagged.model_id, anomalies.model_id) as model_id,
    coalesce(flagged.month, anomalies.month) as month,
    flagged.anomaly_reason,
    anomalies.anomaly_reason as anomaly_reason_listed
from flagged
full outer join anomalies
    on
        flagged.model_id = anomalies.model_id
        and flagged.month = anomalies.month
where
    flagged.model_id is null
    or anomalies.model_id is null
    or flagged.anomaly_reason <> anomalies.anomaly_reason
    or coalesce(flagged.downloads, -1) <> coalesce(anomalies.downloads, -1)
