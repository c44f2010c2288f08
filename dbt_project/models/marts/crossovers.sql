-- The sign of the difference of two keys, months without one left out: where it turns, one passes
-- the other. Sums over what was measured also cross when only one of the two is measured
-- better, and shares of new derivatives when a few more are made or read.

{#- With fewer children of known region one model moves a share by more than 3 points. -#}
{% set least_children = 30 %}

with monthly as (

    select * from {{ ref('int_monthly_values') }}

),

by_region as (

    select * from {{ ref('derivatives_by_region_monthly') }}

),

-- what the shares of a month are of, whatever their key
children_by_month as (

    {{ known_children('by_region') }}

),

differing as (

    select
        one.metric,
        one.month,
        one.key_value as one_key,
        two.key_value as two_key,
        one.value as one_value,
        two.value as two_value,
        one.value > two.value as is_one_ahead,
        case
            when one.coverage is null or two.coverage < one.coverage then two.coverage
            else one.coverage
        end as coverage,
        case
            when one.has_coverage
                then
                    coalesce(
                        one.coverage >= {{ least_coverage() }}
                        and two.coverage >= {{ least_coverage() }},
                        false
                    )
            when one.metric like 'derivatives_share_by_%'
                then
                    coalesce(
                        children_by_month.children >= {{ least_children }}
                        and not children_by_month.is_provisional,
                        false
                    )
            -- tokens of the same days for either key
            else true
        end as is_enough
    from monthly as one
    inner join monthly as two
        on
            one.metric = two.metric
            and one.month = two.month
            and one.key_value < two.key_value
    left join children_by_month
        on one.month = children_by_month.month
    where one.value <> two.value

),

compared as (

    select
        differing.*,
        lag(differing.is_one_ahead) over earlier as was_one_ahead,
        lag(differing.month) over earlier as previous_month,
        lag(differing.coverage) over earlier as coverage_before,
        lag(differing.is_enough) over earlier as was_enough
    from differing
    window earlier as (
        partition by differing.metric, differing.one_key, differing.two_key
        order by differing.month
    )

),

turns as (

    select
        metric,
        case when is_one_ahead then one_key else two_key end as leader,
        case when is_one_ahead then two_key else one_key end as trailer,
        month,
        previous_month,
        case when is_one_ahead then one_value else two_value end as leader_value,
        case when is_one_ahead then two_value else one_value end as trailer_value,
        coverage,
        coverage_before,
        is_enough
        and was_enough
        and month = {{ next_month('previous_month') }} as is_comparable
    from compared
    where is_one_ahead <> was_one_ahead

)

select
    metric,
    leader,
    trailer,
    cast(row_number() over (
        partition by metric, leader, trailer
        order by month
    ) as {{ dbt.type_int() }}) as occurrence,
    month,
    previous_month,
    leader_value,
    trailer_value,
    coverage,
    coverage_before,
    is_comparable
from turns
