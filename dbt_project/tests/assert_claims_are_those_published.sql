-- Every published claim is measured by exactly one model and has a row, whatever the world holds.
{{ config(meta={'dagster': {'ref': {'name': 'claims'}}}) }}

with measured as (

    {% for group in ['downloads', 'models', 'derivatives', 'inference', 'ram', 'registry'] %}
        select claim_id
        from {{ ref('int_claims_' ~ group) }}
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

counted as (

    select
        claim_id,
        count(*) as times_measured
    from measured
    group by claim_id

),

claims as (

    select
        claim_id,
        note
    from {{ ref('claims') }}

),

published as (

    select claim_id
    from {{ ref('claims_published') }}

)

select
    coalesce(published.claim_id, counted.claim_id) as claim_id,
    counted.times_measured,
    claims.note
from published
full outer join counted
    on published.claim_id = counted.claim_id
left join claims
    on published.claim_id = claims.claim_id
where
    published.claim_id is null
    or counted.claim_id is null
    or counted.times_measured <> 1
    or claims.claim_id is null
    or claims.note = ''
