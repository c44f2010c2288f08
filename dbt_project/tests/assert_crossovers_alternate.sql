-- Two keys pass each other in turn: between two times that one passes, the other did.
{{ config(meta={'dagster': {'ref': {'name': 'crossovers'}}}) }}

with passings as (

    select
        metric,
        leader,
        trailer,
        month,
        previous_month,
        lag(leader) over earlier as leader_before,
        lag(month) over earlier as month_before
    from {{ ref('crossovers') }}
    window earlier as (
        partition by
            metric,
            case when leader < trailer then leader else trailer end,
            case when leader < trailer then trailer else leader end
        order by month
    )

)

select
    metric,
    leader,
    trailer,
    month,
    leader_before,
    month_before
from passings
where
    leader = leader_before
    or previous_month >= month
    or previous_month < month_before
