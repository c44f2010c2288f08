-- Who derives from whom: the country of the child's publisher against that of the base it counts
-- for (definitions 6).

with shares as (

    select * from {{ ref('int_derivative_shares') }}

),

children as (

    select * from {{ ref('int_derivative_children') }}

),

organizations as (

    select
        hf_org,
        country
    from {{ ref('int_organizations') }}

),

thresholds as (

    {{ derivative_thresholds() }}

),

-- definitions 6.2: until somebody looked 30 days after the month, more may still count
newest_reading as (

    select max(last_observed_on) as last_observed_on from children

),

strands as (

    select
        shares.month,
        shares.relation,
        shares.downloads_max,
        shares.weight,
        coalesce(publishers.country, 'unknown') as country,
        case
            when shares.is_found then coalesce(bases.country, 'unknown')
            else 'unknown'
        end as base_country
    from shares
    inner join children
        on shares.child_id = children.child_id
    left join organizations as publishers
        on children.hf_org = publishers.hf_org
    left join organizations as bases
        on shares.hf_org = bases.hf_org

),

counted as (

    select
        strands.month,
        strands.relation,
        thresholds.min_downloads,
        strands.country,
        strands.base_country,
        sum(strands.weight) as weight,
        sum(
            case
                when strands.country <> 'unknown' and strands.base_country <> 'unknown'
                    then strands.weight
            end
        ) as known_weight
    from strands
    cross join thresholds
    where strands.downloads_max > thresholds.min_downloads
    group by
        strands.month,
        strands.relation,
        thresholds.min_downloads,
        strands.country,
        strands.base_country

),

totalled as (

    select
        counted.*,
        sum(counted.weight) over same_month as total_weight,
        sum(counted.known_weight) over same_month as total_known_weight
    from counted
    window same_month as (
        partition by counted.month, counted.relation, counted.min_downloads
    )

)

select
    totalled.month,
    totalled.relation,
    totalled.min_downloads,
    totalled.country,
    totalled.base_country,
    cast(round(totalled.weight, 12) as double) as new_derivatives,
    cast(totalled.known_weight as double)
    / nullif(cast(totalled.total_known_weight as double), 0) as share_known,
    cast(totalled.weight as double) / cast(totalled.total_weight as double) as share_all,
    coalesce(
        newest_reading.last_observed_on < {{ add_days(next_month('totalled.month'), 30) }}, true
    ) as is_provisional
from totalled
cross join newest_reading
