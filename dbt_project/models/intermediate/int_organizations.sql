-- Every namespace anybody needs: reviewed by the registry, described by the seed, or part of an id.

with facts as (

    select * from {{ ref('organization_facts') }}

),

regions as (

    select * from {{ ref('stg_registry__organization_regions') }}

),

ids as (

    select * from {{ ref('int_model_aliases') }}

),

namespaces as (

    select hf_org from facts
    union
    select hf_org from regions
    union
    select {{ hf_org_of('model_id') }} as hf_org from ids
    union
    select successor_hf_org as hf_org
    from facts
    where successor_hf_org is not null

)

select
    namespaces.hf_org,
    coalesce(facts.organization, namespaces.hf_org) as organization,
    facts.country,
    coalesce(regions.region, 'unknown') as region,
    regions.hf_org is not null as is_reviewed,
    facts.successor_hf_org
from namespaces
left join facts
    on namespaces.hf_org = facts.hf_org
left join regions
    on namespaces.hf_org = regions.hf_org
