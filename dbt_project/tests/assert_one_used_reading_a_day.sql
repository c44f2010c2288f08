-- definitions 1.2: of all that was read of one model on one day, at most one reading counts.

select
    canonical_id,
    observed_on,
    count(*) as used_readings
from {{ ref('int_readings') }}
where is_used
group by canonical_id, observed_on
having count(*) > 1
