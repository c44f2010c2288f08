-- One child: born when, by whom, and the most downloads any reading ever showed (definitions
-- 6.1, 6.2).

with edges as (

    select * from {{ ref('stg_hf__derivatives') }}

),

ids as (

    select * from {{ ref('int_derivative_ids') }}

),

lineages as (

    select distinct child_id from {{ ref('int_derivative_edges') }}

),

-- a reading need not tell of bases to count: archives leave tags out
model_readings as (

    select * from {{ ref('int_readings') }}

),

organizations as (

    select * from {{ ref('int_organizations') }}

),

as_derivatives as (

    select
        ids.canonical_id as child_id,
        cast(min(edges.created_at) as date) as created_on,
        max(edges.downloads_read) as downloads_max,
        max(edges.observed_on) as last_observed_on
    from edges
    inner join ids
        on edges.model_id = ids.model_id
    group by ids.canonical_id

),

as_models as (

    select
        canonical_id as child_id,
        min(created_on) as created_on,
        max(coalesce(downloads_all_time, downloads_30d)) as downloads_max,
        max(observed_on) as last_observed_on
    from model_readings
    group by canonical_id

)

select
    lineages.child_id,
    {{ hf_org_of('lineages.child_id') }} as hf_org,
    coalesce(
        organizations.organization, {{ hf_org_of('lineages.child_id') }}
    ) as organization,
    coalesce(as_derivatives.created_on, as_models.created_on) as created_on,
    {{ month_of('coalesce(as_derivatives.created_on, as_models.created_on)') }} as month,
    case
        when as_models.downloads_max > coalesce(as_derivatives.downloads_max, -1)
            then as_models.downloads_max
        else as_derivatives.downloads_max
    end as downloads_max,
    case
        when as_models.last_observed_on > as_derivatives.last_observed_on
            then as_models.last_observed_on
        else as_derivatives.last_observed_on
    end as last_observed_on
from lineages
left join as_derivatives
    on lineages.child_id = as_derivatives.child_id
left join as_models
    on lineages.child_id = as_models.child_id
left join organizations
    on {{ hf_org_of('lineages.child_id') }} = organizations.hf_org
