-- definitions 3.3: a month has downloads with their method, or says why not; nothing is negative.

select
    model_id,
    month,
    downloads,
    method,
    null_reason
from {{ ref('downloads_by_model_monthly') }}
where
    (downloads is null) <> (null_reason is not null)
    or (downloads is null) <> (method is null)
    or downloads < 0
    or downloads_to_date < 0
