-- definitions 6.3: a child of k bases counts 1/k for each, so the sum over keys counts children.
{{ config(meta={'dagster': {'ref': {'name': 'int_derivative_shares'}}}) }}

select
    child_id,
    relation,
    sum(weight) as weight
from {{ ref('int_derivative_shares') }}
group by child_id, relation
having abs(sum(weight) - 1) > 0.000001
