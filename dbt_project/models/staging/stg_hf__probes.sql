with probes as (

    select * from {{ source('raw', 'hf_probes') }} {{ where_fetched_by_then() }}

),

pulls as (

    select
        pull_id,
        fetched_at
    from {{ source('raw', 'pulls') }}

),

-- asked twice on one day: the later answer stands
ranked as (

    select
        probes.model_id,
        probes.resolved_id,
        probes.hf_id,
        probes.status_code,
        probes.observed_on,
        probes.pull_id,
        row_number() over (
            partition by probes.model_id, probes.observed_on
            order by pulls.fetched_at desc, probes.pull_id desc
        ) as nth
    from probes
    left join pulls
        on probes.pull_id = pulls.pull_id

)

select
    -- ids
    model_id,
    resolved_id,
    hf_id,
    pull_id,

    -- numerics
    status_code,

    -- booleans
    coalesce(status_code = 200 and resolved_id <> model_id, false) as is_redirect,

    -- dates
    observed_on
from ranked
where nth = 1
