-- definitions 6.1, 6.3-6.5: how much of a child counts for which model, by relation.

with edges as (

    select * from {{ ref('int_derivative_edges') }}

),

children as (

    select * from {{ ref('int_derivative_children') }}

),

ancestors as (

    select * from {{ ref('int_derivative_ancestors') }}

),

organizations as (

    select * from {{ ref('int_organizations') }}

),

families as (

    {{ families_of(ref('int_derivative_ancestors'), 'ancestor_id') }}

),

related as (

    select distinct
        child_id,
        'all' as relation,
        base_id
    from edges
    union all
    select
        child_id,
        relation,
        base_id
    from edges
    where relation in ('finetune', 'adapter', 'quantized', 'merge')

),

-- a child of k bases counts 1/k for each
split as (

    select
        child_id,
        relation,
        base_id,
        count(*) over (partition by child_id, relation) as bases
    from related

),

strands as (

    select
        split.child_id,
        split.relation,
        ancestors.ancestor_id,
        ancestors.is_found,
        ancestors.hf_org,
        ancestors.organization,
        ancestors.region,
        sum(
            cast(cast(ancestors.weight as double) / split.bases as decimal(38, 18))
        ) as weight
    from split
    inner join ancestors
        on
            split.child_id = ancestors.child_id
            and split.base_id = ancestors.direct_base_id
    group by
        split.child_id,
        split.relation,
        ancestors.ancestor_id,
        ancestors.is_found,
        ancestors.hf_org,
        ancestors.organization,
        ancestors.region

),

-- children of the house: by a direct base, or by a key
own as (

    select children.child_id
    from children
    inner join edges
        on children.child_id = edges.child_id
    left join organizations
        on {{ hf_org_of('edges.base_id') }} = organizations.hf_org
    where
        children.organization
        = coalesce(organizations.organization, {{ hf_org_of('edges.base_id') }})
    union
    select children.child_id
    from children
    inner join ancestors
        on children.child_id = ancestors.child_id
    where children.organization = ancestors.organization

)

select
    strands.child_id,
    children.month,
    strands.relation,
    strands.ancestor_id,
    strands.is_found,
    strands.hf_org,
    strands.organization,
    strands.region,
    case
        when strands.is_found then coalesce(families.family, 'unknown')
        else 'unknown'
    end as family,
    strands.weight,
    children.downloads_max,
    own.child_id is null as is_community
from strands
inner join children
    on strands.child_id = children.child_id
left join families
    on strands.ancestor_id = families.text
left join own
    on strands.child_id = own.child_id
where children.month >= {{ first_month() }}
