-- A window begins with a month, and after the first of the series, where the counters at its start
-- are looked up.

select since
from {{ ref('entrant_windows') }}
where
    since <> {{ month_of('since') }}
    or since <= {{ first_month() }}
