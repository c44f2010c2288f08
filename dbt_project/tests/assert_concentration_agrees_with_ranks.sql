-- The largest shares are those of the tables by organization, country and family, ranked there.
{{ config(meta={'dagster': {'ref': {'name': 'downloads_concentration_monthly'}}}) }}

with shares as (

    {% for unit in ['organization', 'country', 'family'] %}
        select
            '{{ unit }}' as unit,
            month,
            sum(case when {{ unit }} <> 'unknown' then share * share end) as hhi,
            max(case when {{ unit }} <> 'unknown' then share end) as top1_share,
            coalesce(sum(case when {{ unit }} = 'unknown' then share end), 0) as share_unattributed
        from {{ ref('downloads_by_' ~ unit ~ '_monthly') }}
        where downloads is not null
        group by month
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

concentration as (

    select * from {{ ref('downloads_concentration_monthly') }}
    where measure = 'downloads'

)

select
    shares.unit,
    shares.month,
    shares.hhi,
    concentration.hhi as hhi_of_concentration
from shares
left join concentration
    on
        shares.unit = concentration.unit
        and shares.month = concentration.month
where
    concentration.month is null
    or abs(coalesce(shares.hhi, 0) - coalesce(concentration.hhi, 0)) > 1e-9
    or abs(coalesce(shares.top1_share, 0) - coalesce(concentration.top1_share, 0)) > 1e-9
    or abs(shares.share_unattributed - coalesce(concentration.share_unattributed, 0)) > 1e-9
