-- One OpenRouter model (slug without variant and date): what the catalogue says of it, who
-- publishes it, and whom it counts for (definitions 7.2-7.4). Openness before overrides: those
-- depend on the month.

with tokens as (

    select
        model,
        model_dated
    from {{ ref('stg_openrouter__tokens') }}
    where model <> 'other'
    group by model, model_dated

),

models as (

    select distinct
        model,
        replace({{ dbt.split_part('model', "'/'", 1) }}, '~', '') as author,
        lower({{ dbt.split_part('model', "'/'", 2) }}) as name
    from tokens

),

catalogue as (

    select * from {{ ref('stg_openrouter__catalogue') }}

),

authors as (

    select * from {{ ref('openrouter_authors') }}

),

organizations as (

    select * from {{ ref('int_organizations') }}

),

tracked_models as (

    select * from {{ ref('stg_registry__tracked_models') }}

),

closed_patterns as (

    select * from {{ ref('closed_model_patterns') }}

),

ids as (

    select * from {{ ref('int_derivative_ids') }}

),

ancestors as (

    select * from {{ ref('int_derivative_ancestors') }}

),

families as (

    {{ families_of('models', 'model') }}

),

-- definitions 7.2: the canonical slug before the id, each as sent before without its date
entries as (

    select
        1 as precedence,
        canonical_slug_plain as slug,
        pull_id,
        as_of,
        created_at,
        hugging_face_id
    from catalogue
    union all
    select
        2 as precedence,
        model_id_plain as slug,
        pull_id,
        as_of,
        created_at,
        hugging_face_id
    from catalogue
    union all
    select
        3 as precedence,
        canonical_slug_undated as slug,
        pull_id,
        as_of,
        created_at,
        hugging_face_id
    from catalogue
    union all
    select
        4 as precedence,
        model_id_undated as slug,
        pull_id,
        as_of,
        created_at,
        hugging_face_id
    from catalogue

),

matches as (

    select
        tokens.model,
        entries.*
    from tokens
    inner join entries
        on tokens.model_dated = entries.slug
    where entries.precedence <= 2
    union all
    select
        models.model,
        entries.*
    from models
    inner join entries
        on models.model = entries.slug
    where entries.precedence > 2

),

-- a slug that the catalogue knows as sent is not looked for without its date: GLM-4.6V is listed as
-- z-ai/glm-4.6-20251208, which is not z-ai/glm-4.6
listed as (

    select
        model,
        min(precedence) as precedence
    from matches
    group by model

),

ranked_weights as (

    select
        matches.model,
        matches.hugging_face_id,
        row_number() over (
            partition by matches.model
            order by
                matches.precedence asc,
                matches.as_of desc,
                matches.pull_id desc,
                matches.created_at desc,
                matches.hugging_face_id asc
        ) as nth
    from matches
    inner join listed
        on matches.model = listed.model
    where
        matches.hugging_face_id is not null
        and (listed.precedence > 2 or matches.precedence <= 2)

),

-- namespaces by lower case, for authors the seed does not name
namespaces as (

    select
        hf_org,
        lower(hf_org) as author,
        row_number() over (
            partition by lower(hf_org)
            order by case when is_reviewed then 0 else 1 end, hf_org
        ) as nth
    from organizations

),

-- the publisher: the seed's row, else the namespace of that name, else the owner of the weights
published as (

    select
        models.model,
        models.name,
        models.author,
        listed.model is not null as is_listed,
        ranked_weights.hugging_face_id,
        coalesce(authors.is_cloaked, false) as is_cloaked,
        case
            when authors.author is not null then authors.hf_org
            else coalesce(
                namespaces.hf_org, {{ hf_org_of('ranked_weights.hugging_face_id') }}
            )
        end as publisher_hf_org,
        authors.organization as author_organization,
        authors.country as author_country,
        authors.region as author_region
    from models
    left join authors
        on models.author = authors.author
    left join namespaces
        on
            models.author = namespaces.author
            and namespaces.nth = 1
    left join listed
        on models.model = listed.model
    left join ranked_weights
        on
            models.model = ranked_weights.model
            and ranked_weights.nth = 1

),

-- where the registry has reviewed the namespace its region stands, else the seed's
publishers as (

    select
        published.model,
        published.name,
        published.is_listed,
        published.hugging_face_id,
        published.is_cloaked,
        case
            when published.is_cloaked then null
            else coalesce(
                published.author_organization,
                organizations.organization,
                published.publisher_hf_org,
                published.author
            )
        end as organization,
        case
            when published.author_organization is not null then published.author_country
            else organizations.country
        end as country,
        case
            when organizations.is_reviewed then organizations.region
            else coalesce(published.author_region, 'unknown')
        end as region
    from published
    left join organizations
        on published.publisher_hf_org = organizations.hf_org

),

tracked as (

    select
        tracked_models.model_id,
        coalesce(organizations.organization, tracked_models.hf_org) as organization,
        lower({{ dbt.split_part('tracked_models.model_id', "'/'", 2) }}) as name,
        row_number() over (
            partition by
                coalesce(organizations.organization, tracked_models.hf_org),
                lower({{ dbt.split_part('tracked_models.model_id', "'/'", 2) }})
            order by
                case when organizations.successor_hf_org is null then 0 else 1 end,
                tracked_models.list,
                tracked_models.model_id
        ) as nth
    from tracked_models
    left join organizations
        on tracked_models.hf_org = organizations.hf_org

),

tracked_organizations as (

    select distinct organization from tracked

),

closed as (

    select distinct models.model
    from models
    inner join closed_patterns
        on lower(models.model) like closed_patterns.pattern

),

weights as (

    select
        publishers.model,
        publishers.is_listed,
        publishers.is_cloaked,
        publishers.organization,
        publishers.country,
        publishers.region,
        coalesce(publishers.hugging_face_id, tracked.model_id) as hf_model_id,
        tracked_organizations.organization is not null as has_tracked_models,
        case
            when publishers.hugging_face_id is not null then true
            when tracked.model_id is not null then true
            when publishers.is_cloaked then null
            when closed.model is not null then false
            when publishers.is_listed then false
        end as is_open,
        case
            when publishers.hugging_face_id is not null then 'catalogue'
            when tracked.model_id is not null then 'registry'
            when publishers.is_cloaked then 'cloaked'
            when closed.model is not null then 'closed_pattern'
            when publishers.is_listed then 'catalogue_without_weights'
            else 'unknown'
        end as openness_rule
    from publishers
    left join tracked
        on
            publishers.organization = tracked.organization
            and publishers.name = tracked.name
            and tracked.nth = 1
    left join tracked_organizations
        on publishers.organization = tracked_organizations.organization
    left join closed
        on publishers.model = closed.model

),

-- definitions 7.4: the lineage of the weights; of several bases the one that holds most
lineages as (

    select
        child_id,
        hf_org,
        row_number() over (
            partition by child_id
            order by sum(weight) desc, hf_org asc
        ) as nth
    from ancestors
    where is_found
    group by child_id, hf_org

),

based as (

    select
        weights.*,
        case
            when weights.has_tracked_models or weights.is_cloaked then null
            else coalesce(lineages.hf_org, families.hf_org)
        end as base_hf_org,
        case
            when weights.is_cloaked then 'none'
            when weights.has_tracked_models then 'publisher'
            when lineages.hf_org is not null then 'lineage'
            when families.hf_org is not null then 'family'
            else 'publisher'
        end as attribution
    from weights
    left join ids
        on weights.hf_model_id = ids.model_id
    left join lineages
        on
            coalesce(ids.canonical_id, weights.hf_model_id) = lineages.child_id
            and lineages.nth = 1
    left join families
        on weights.model = families.text

)

select
    based.model,
    based.hf_model_id,
    based.is_open,
    based.openness_rule,
    based.attribution,
    case
        when based.base_hf_org is null then based.organization
        else coalesce(bases.organization, based.base_hf_org)
    end as organization,
    case when based.base_hf_org is null then based.country else bases.country end as country,
    case
        when based.base_hf_org is null then based.region
        else coalesce(bases.region, 'unknown')
    end as region,
    based.organization as publisher_organization,
    based.region as publisher_region
from based
left join organizations as bases
    on based.base_hf_org = bases.hf_org
