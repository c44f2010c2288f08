"""Which months could not be tested for a spike, as SQL and in words.

Belongs here: the rule of definitions 3.8 turned round. Does not belong here: finding spikes (the marts).
"""

from __future__ import annotations

RULE = (
    "100,000 downloads or more, and more than five times the median of the model's other measured months"
    " within three to both sides, of which there must be at least three; it begins more than 90 days after"
    " the model's release, where that is known"
)
"""What a spike is."""
UNTESTED = """\
-- months a spike can be in: many downloads, and not of a model so young that it grows that fast
testable as (
    select monthly.model_id, monthly.month, monthly.downloads
    from marts.downloads_by_model_monthly as monthly
    inner join marts.models as models using (model_id)
    where
        monthly.downloads >= 100000
        and (models.release_date is null or monthly.month > models.release_date + interval 90 days)
),

-- those of which fewer than three other months within three to both sides are measured
untested as (
    select testable.model_id, testable.month, testable.downloads
    from testable
    left join marts.downloads_by_model_monthly as other
        on
            testable.model_id = other.model_id
            and testable.month <> other.month
            and other.month between testable.month - interval 3 months and testable.month + interval 3 months
            and other.downloads is not null
    group by testable.model_id, testable.month, testable.downloads
    having count(other.month) < 3
)"""
