with source as (

    select * from {{ source('raw', 'openrouter_tokens') }} {{ where_fetched_by_then() }}

),

-- the day a pull was made on is not among its rows: reading sets it aside as incomplete
days as (

    select distinct
        source.day,
        source.source,
        source.as_of,
        source.pull_id
    from source

),

ranked_days as (

    select
        days.day,
        days.source,
        days.pull_id,
        row_number() over (
            partition by days.day
            order by
                case days.source when 'openrouter_rankings' then 1 else 2 end,
                days.as_of desc,
                days.pull_id desc
        ) as preference
    from days

)

select
    source.day,
    source.model_permaslug,
    {{ without_variant('source.model_permaslug') }} as model_dated,
    {{ without_date_suffix(without_variant('source.model_permaslug')) }} as model,
    nullif({{ dbt.split_part('source.model_permaslug', "':'", 2) }}, '') as variant,
    source.total_tokens,
    source.source,
    source.as_of,
    source.pull_id
from source
inner join ranked_days
    on
        source.day = ranked_days.day
        and source.source = ranked_days.source
        and source.pull_id = ranked_days.pull_id
where ranked_days.preference = 1
