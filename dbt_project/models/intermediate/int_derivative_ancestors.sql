-- definitions 6.4: which model a child's direct base stands for, by the var derivative_attribution.
-- The weights of one (child, direct base) sum to 1. A strand that finds no ancestor of the wanted
-- kind (no base left, a cycle, less than a thousandth of a child) goes to the direct base itself.

{% set attribution = var('derivative_attribution') %}
{% if attribution not in ['nearest_reviewed', 'direct', 'root'] %}
    {{ exceptions.raise_compiler_error(
        "derivative_attribution is '" ~ attribution ~ "'; choose nearest_reviewed, direct or root."
    ) }}
{% endif %}

with recursive edges as (

    select distinct
        child_id,
        base_id
    from {{ ref('int_derivative_edges') }}

),

steps as (

    select
        edges.child_id,
        edges.base_id,
        count(*) over (partition by edges.child_id) as bases
    from edges

),

organizations as (

    select * from {{ ref('int_organizations') }}

),

-- where a walk upward may end
ends as (

    select distinct edges.base_id
    from edges
    {% if attribution == 'nearest_reviewed' %}
        inner join organizations
            on {{ hf_org_of('edges.base_id') }} = organizations.hf_org
        where
            organizations.is_reviewed
            and organizations.region <> 'unknown'
    {% elif attribution == 'root' %}
        left join edges as above
            on edges.base_id = above.child_id
        where above.child_id is null
    {% endif %}

),

walk as (

    select
        edges.child_id,
        edges.base_id as direct_base_id,
        edges.base_id as ancestor_id,
        cast(1 as double) as weight,
        '|' || edges.child_id || '|' || edges.base_id || '|' as trail,
        ends.base_id is not null as is_end
    from edges
    left join ends
        on edges.base_id = ends.base_id

    union all

    select
        walk.child_id,
        walk.direct_base_id,
        steps.base_id as ancestor_id,
        walk.weight / steps.bases as weight,
        walk.trail || steps.base_id || '|' as trail,
        ends.base_id is not null as is_end
    from walk
    inner join steps
        on walk.ancestor_id = steps.child_id
    left join ends
        on steps.base_id = ends.base_id
    where
        not walk.is_end
        and {{ dbt.position("'|' || steps.base_id || '|'", 'walk.trail') }} = 0
        and walk.weight / steps.bases >= 0.001

),

-- exact decimals: sums of them do not depend on the order of rows
found as (

    select
        child_id,
        direct_base_id,
        ancestor_id,
        sum(cast(weight as decimal(38, 18))) as weight
    from walk
    where is_end
    group by child_id, direct_base_id, ancestor_id

),

found_of_base as (

    select
        child_id,
        direct_base_id,
        sum(weight) as weight
    from found
    group by child_id, direct_base_id

),

strands as (

    select
        child_id,
        direct_base_id,
        ancestor_id,
        true as is_found,
        weight
    from found
    union all
    select
        edges.child_id,
        edges.base_id as direct_base_id,
        edges.base_id as ancestor_id,
        false as is_found,
        1 - coalesce(found_of_base.weight, 0) as weight
    from edges
    left join found_of_base
        on
            edges.child_id = found_of_base.child_id
            and edges.base_id = found_of_base.direct_base_id
    where coalesce(found_of_base.weight, 0) < 0.999999

)

select
    strands.child_id,
    strands.direct_base_id,
    strands.ancestor_id,
    strands.is_found,
    {{ hf_org_of('strands.ancestor_id') }} as hf_org,
    coalesce(
        organizations.organization, {{ hf_org_of('strands.ancestor_id') }}
    ) as organization,
    organizations.country,
    case
        when strands.is_found then coalesce(organizations.region, 'unknown')
        else 'unknown'
    end as region,
    cast(strands.weight as decimal(38, 18)) as weight
from strands
left join organizations
    on {{ hf_org_of('strands.ancestor_id') }} = organizations.hf_org
