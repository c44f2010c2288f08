select
    hf_org,
    organization,
    country,
    region,
    successor_hf_org
from {{ ref('int_organizations') }}
