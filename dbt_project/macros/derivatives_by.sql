{#- New derivatives by one attribute of the model they count for (definitions 6).

    key: column of int_derivative_shares. One row per month, relation, threshold, community_only and key
    that has a child; without one there is no row. Shares are of the keys of known region; what counts
    for a model of unknown region is in share_all alone. -#}
{% macro derivatives_by(key) -%}
with shares as (

    select * from {{ ref('int_derivative_shares') }}

),

children as (

    select * from {{ ref('int_derivative_children') }}

),

thresholds as (

    {{ derivative_thresholds() }}

),

populations as (

    select false as community_only
    union all
    select true as community_only

),

-- definitions 6.2: until somebody looked 30 days after the month, more may still count
newest_reading as (

    select max(last_observed_on) as last_observed_on from children

),

counted as (

    select
        shares.month,
        shares.relation,
        thresholds.min_downloads,
        populations.community_only,
        shares.{{ key }},
        sum(shares.weight) as weight,
        sum(case when shares.region <> 'unknown' then shares.weight end) as known_weight
    from shares
    cross join thresholds
    cross join populations
    where
        shares.downloads_max > thresholds.min_downloads
        and (shares.is_community or not populations.community_only)
    group by
        shares.month,
        shares.relation,
        thresholds.min_downloads,
        populations.community_only,
        shares.{{ key }}

),

totalled as (

    select
        counted.*,
        sum(counted.weight) over same_month as total_weight,
        sum(counted.known_weight) over same_month as total_known_weight
    from counted
    window same_month as (
        partition by
            counted.month, counted.relation, counted.min_downloads, counted.community_only
    )

)

select
    totalled.month,
    totalled.relation,
    totalled.min_downloads,
    totalled.community_only,
    totalled.{{ key }},
    cast(round(totalled.weight, 12) as double) as new_derivatives,
    cast(totalled.known_weight as double)
    / nullif(cast(totalled.total_known_weight as double), 0) as share,
    cast(totalled.weight as double) / cast(totalled.total_weight as double) as share_all,
    coalesce(
        newest_reading.last_observed_on < {{ add_days(next_month('totalled.month'), 30) }}, true
    ) as is_provisional
from totalled
cross join newest_reading
{%- endmacro %}


{#- The thresholds the derivative marts have rows for (definitions 6.2): a select of min_downloads. -#}
{% macro derivative_thresholds() -%}
    {%- for downloads in [0, 5, 50] -%}
        select {{ downloads }} as min_downloads{% if not loop.last %} union all {% endif %}
    {%- endfor -%}
{%- endmacro %}


{#- How many new derivatives with a base of known region the shares of a month are of: a select of month,
    children and is_provisional.

    by_region: a relation with the rows of derivatives_by_region_monthly. -#}
{% macro known_children(by_region) -%}
    select
        month,
        -- a sum of thirds is not exactly a whole
        round(sum(new_derivatives), 6) as children,
        max(case when is_provisional then 1 else 0 end) = 1 as is_provisional
    from {{ by_region }}
    where
        relation = 'all'
        and min_downloads = {{ var('min_downloads') }}
        and not community_only
        and region <> 'unknown'
    group by month
{%- endmacro %}
