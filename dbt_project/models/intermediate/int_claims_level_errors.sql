-- How far off a level of all-time downloads is to be expected, by the gaps between the readings it was
-- taken from. Definitions 8 gives 2 % (the median) for a gap of 90 to 135 days; a narrower one leaves
-- less to interpolate and counts in proportion. Errors of single models partly cancel in a sum, so
-- that the mean of them, weighted by downloads, is its upper end.

{% set months = ['2025-03-01', '2025-08-01', '2025-09-01', '2026-03-01'] %}
{% set error, gap_days = 0.02, 90 %}

with models as (

    select * from {{ ref('models') }}

),

model_months as (

    select
        months.month,
        months.downloads_cumulative,
        models.region,
        models.organization,
        models.family,
        -- without a width, as of a model that is gone, the widest
        {{ error }} * least(coalesce(months.gap_days, {{ gap_days }}), {{ gap_days }})
        / {{ gap_days }} as expected_error
    from {{ ref('downloads_by_model_monthly') }} as months
    inner join models
        on months.model_id = models.model_id
    where
        months.downloads_cumulative is not null
        and months.month in (
            {% for month in months %}{{ on_day(month) }}{{ ", " if not loop.last }}{% endfor %}
        )

)

{% for key in ['region', 'organization', 'family'] %}
    select
        'downloads_cumulative_by_{{ key }}' as metric,
        month,
        {{ key }} as key_value,
        round(
            sum(expected_error * downloads_cumulative) / nullif(sum(downloads_cumulative), 0), 9
        ) as expected_error
    from model_months
    where {{ key }} is not null
    group by month, {{ key }}
    {{ "union all" if not loop.last }}
{% endfor %}
