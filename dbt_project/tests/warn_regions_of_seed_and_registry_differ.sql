-- The registry's region stands; where this project reads it otherwise, somebody should look.
{{ config(severity='warn', meta={'dagster': {'ref': {'name': 'int_organizations'}}}) }}

select
    regions.hf_org,
    regions.region,
    facts.region as region_of_seed
from {{ ref('stg_registry__organization_regions') }} as regions
inner join {{ ref('organization_facts') }} as facts
    on regions.hf_org = facts.hf_org
where regions.region <> facts.region
