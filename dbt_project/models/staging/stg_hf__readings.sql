with readings as (

    select * from {{ source('raw', 'hf_models') }} {{ where_fetched_by_then() }}

),

pulls as (

    select
        pull_id,
        fetched_at
    from {{ source('raw', 'pulls') }}

),

pulls_by_day as (

    select distinct
        source,
        observed_on,
        pull_id
    from readings

),

contested_days as (

    select
        source,
        observed_on
    from pulls_by_day
    group by source, observed_on
    having count(*) > 1

),

-- definitions 1.2: read twice on one day by one source, the later pull wins. Most days were
-- pulled once, and a model stands once in a pull: only the rest is ranked.
ranked as (

    select
        readings.*,
        row_number() over (
            partition by readings.source, readings.model_id, readings.observed_on
            order by pulls.fetched_at desc, readings.pull_id desc
        ) as nth
    from readings
    inner join contested_days
        on
            readings.source = contested_days.source
            and readings.observed_on = contested_days.observed_on
    left join pulls
        on readings.pull_id = pulls.pull_id

),

standing as (

    select
        readings.*,
        1 as nth
    from readings
    left join contested_days
        on
            readings.source = contested_days.source
            and readings.observed_on = contested_days.observed_on
    where contested_days.source is null
    union all
    select * from ranked
    where nth = 1

)

select
    -- ids
    standing.source,
    standing.model_id,
    {{ hf_org_of('standing.model_id') }} as hf_org,
    standing.hf_id,
    standing.pull_id,

    -- text
    standing.pipeline_tag,
    standing.library_name,
    standing.license,
    standing.gated,

    -- numerics
    standing.downloads_30d,
    standing.downloads_all_time,
    standing.likes,
    standing.safetensors_total,

    -- dates
    standing.observed_on,
    standing.folder_date,
    cast(standing.created_at as date) as created_on,
    pulls.fetched_at
from standing
left join pulls
    on standing.pull_id = pulls.pull_id
