with source as (

    select * from {{ source('raw', 'openrouter_tokens') }}

),

-- a pull made on the day itself saw only part of it
completed_days as (

    select distinct
        source.day,
        source.source,
        source.as_of,
        source.pull_id
    from source
    where cast(source.as_of as date) > source.day

),

ranked_days as (

    select
        completed_days.day,
        completed_days.source,
        completed_days.pull_id,
        row_number() over (
            partition by completed_days.day
            order by
                case completed_days.source when 'openrouter_rankings' then 1 else 2 end,
                completed_days.as_of desc,
                completed_days.pull_id desc
        ) as preference
    from completed_days

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
