-- definitions 0.5 and 6.7 for ids that may never have been read as models themselves: ids that
-- share a Hub _id are one under the name read last; aliases of read models go on top.

with edges as (

    select * from {{ ref('stg_hf__derivatives') }}

),

aliases as (

    select * from {{ ref('int_model_aliases') }}

),

named as (

    select
        model_id,
        hf_id,
        1 as is_read,
        max(observed_on) as named_on
    from edges
    group by model_id, hf_id
    union all
    select
        base_model_id as model_id,
        base_hf_id as hf_id,
        0 as is_read,
        max(observed_on) as named_on
    from edges
    group by base_model_id, base_hf_id

),

-- what a name means now; before somebody else took it, it was another model
identities as (

    select
        model_id,
        hf_id,
        is_read,
        named_on,
        row_number() over (
            partition by model_id
            order by
                case when hf_id is null then 1 else 0 end asc,
                named_on desc,
                is_read desc,
                hf_id asc
        ) as nth
    from named

),

names as (

    select
        model_id,
        case
            when hf_id is null then model_id
            else first_value(model_id) over (
                partition by hf_id
                order by named_on desc, is_read desc, model_id desc
            )
        end as newest_name
    from identities
    where nth = 1

)

select
    names.model_id,
    coalesce(aliases.canonical_id, names.newest_name) as canonical_id
from names
left join aliases
    on names.newest_name = aliases.model_id
