with readings as (

    select * from {{ source('raw', 'hf_models') }} {{ where_fetched_by_then() }}

),

pulls as (

    select
        pull_id,
        fetched_at
    from {{ source('raw', 'pulls') }}

),

-- the days a source was asked again; on all others nothing needs an order
days_pulled_again as (

    select
        source,
        observed_on
    from (
        select distinct
            source,
            observed_on,
            pull_id
        from readings
    ) as day_pulls
    group by source, observed_on
    having count(*) > 1

),

-- definitions 1.2: read twice on one day by one source, the later pull wins
ranked as (

    select
        readings.*,
        pulls.fetched_at,
        row_number() over (
            partition by readings.source, readings.model_id, readings.observed_on
            order by pulls.fetched_at desc, readings.pull_id desc
        ) as nth
    from readings
    inner join days_pulled_again
        on
            readings.source = days_pulled_again.source
            and readings.observed_on = days_pulled_again.observed_on
    left join pulls
        on readings.pull_id = pulls.pull_id

),

standing as (

    select
        readings.*,
        pulls.fetched_at,
        1 as nth
    from readings
    left join days_pulled_again
        on
            readings.source = days_pulled_again.source
            and readings.observed_on = days_pulled_again.observed_on
    left join pulls
        on readings.pull_id = pulls.pull_id
    where days_pulled_again.source is null
    union all
    select * from ranked
    where nth = 1

)

select
    -- ids
    source,
    model_id,
    {{ hf_org_of('model_id') }} as hf_org,
    hf_id,
    pull_id,

    -- text
    pipeline_tag,
    library_name,
    license,
    gated,

    -- numerics
    downloads_30d,
    downloads_all_time,
    likes,
    safetensors_total,

    -- dates
    observed_on,
    folder_date,
    cast(created_at as date) as created_on,
    fetched_at
from standing
