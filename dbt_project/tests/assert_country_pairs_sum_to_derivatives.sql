-- definitions 6.3: laid out by pair of countries or by region of the base, children are the same;
-- shares of all sum to 1, and so do those of the pairs that are known.
{{ config(meta={'dagster': {'ref': {'name': 'derivatives_by_country_pair_monthly'}}}) }}

with pairs as (

    select
        month,
        relation,
        min_downloads,
        sum(new_derivatives) as new_derivatives,
        sum(share_all) as share_all,
        coalesce(sum(share_known), 1) as share_known,
        count(distinct is_provisional) as provisional_kinds
    from {{ ref('derivatives_by_country_pair_monthly') }}
    group by month, relation, min_downloads

),

regions as (

    select
        month,
        relation,
        min_downloads,
        sum(new_derivatives) as new_derivatives
    from {{ ref('derivatives_by_region_monthly') }}
    where not community_only
    group by month, relation, min_downloads

)

select
    coalesce(pairs.month, regions.month) as month,
    coalesce(pairs.relation, regions.relation) as relation,
    coalesce(pairs.min_downloads, regions.min_downloads) as min_downloads,
    pairs.new_derivatives as by_country_pair,
    regions.new_derivatives as by_region,
    pairs.share_known,
    pairs.share_all
from pairs
full outer join regions
    on
        pairs.month = regions.month
        and pairs.relation = regions.relation
        and pairs.min_downloads = regions.min_downloads
where
    pairs.month is null
    or regions.month is null
    or abs(pairs.new_derivatives - regions.new_derivatives) > 0.000001
    or abs(pairs.share_all - 1) > 0.000001
    or abs(pairs.share_known - 1) > 0.000001
    or pairs.provisional_kinds <> 1
