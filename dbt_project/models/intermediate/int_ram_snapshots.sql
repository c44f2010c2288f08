{{ config(materialized='table') }}

-- The baselines with the date each one stands at (definitions 5.5).

with defined as (

    select
        baseline,
        rule,
        snapshot_on,
        n,
        is_frozen
    from {{ ref('ram_baselines_defined') }}

),

newest_reading as (

    select max(last_observed_on) as newest_on
    from {{ ref('int_models') }}

)

select
    defined.baseline,
    defined.rule,
    defined.n,
    defined.is_frozen,
    newest_reading.newest_on,
    coalesce(defined.snapshot_on, newest_reading.newest_on) as snapshot_on,
    -- before its day a frozen baseline would still move: it does not exist yet
    case
        when defined.snapshot_on is null then newest_reading.newest_on is not null
        else defined.snapshot_on <= {{ today() }}
    end as is_reached
from defined
cross join newest_reading
