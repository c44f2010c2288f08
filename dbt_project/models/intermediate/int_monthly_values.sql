-- Every monthly series two keys of which can be compared, in one shape: what crossovers and claims
-- look values up in. Months that have ended only, known values only, without the key unknown.
-- A metric is named by its mart: subject, column and scope, then the key.

{% set keys = ['region', 'organization', 'family'] %}
{% set scopes = ['open_top10', 'open_all'] %}

with downloads as (

    {% for key in keys %}
        {% for column, coverage in [
            ('downloads_cumulative', 'coverage_cumulative'), ('downloads', 'coverage')
        ] %}
            select
                '{{ column }}_by_{{ key }}' as metric,
                month,
                {{ key }} as key_value,
                cast({{ column }} as double) as value,  -- noqa: RF04
                {{ coverage }} as coverage
            from {{ ref('downloads_by_' ~ key ~ '_monthly') }}
            {% if not loop.last %}union all{% endif %}
        {% endfor %}
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

-- a mart without a row for a key says none: no child, no token of the scope
counted as (

    {% for key in keys %}
        select
            'derivatives_share_by_{{ key }}' as metric,
            month,
            {{ key }} as key_value,
            -- a share of thirds is not exactly that of a whole
            round(share, 12) as value  -- noqa: RF04
        from {{ ref('derivatives_by_' ~ key ~ '_monthly') }}
        where
            relation = 'all'
            and min_downloads = {{ var('min_downloads') }}
            and not community_only
            and share is not null
        union all
    {% endfor %}
    {% for key in ['region', 'organization'] %}
        {% for column in ['tokens', 'tokens_publisher'] %}
            {% for scope in scopes %}
                select
                    'inference_{{ column }}_{{ scope }}_by_{{ key }}' as metric,
                    month,
                    {{ key }} as key_value,
                    cast({{ column }} as double) as value  -- noqa: RF04
                from {{ ref('inference_by_' ~ key ~ '_monthly') }}
                where scope = '{{ scope }}'
                {% if not loop.last %}union all{% endif %}
            {% endfor %}
            {% if not loop.last %}union all{% endif %}
        {% endfor %}
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

counted_months as (

    select distinct
        metric,
        month
    from counted

),

counted_keys as (

    select distinct
        metric,
        key_value
    from counted

),

filled as (

    select
        counted_months.metric,
        counted_months.month,
        counted_keys.key_value,
        coalesce(counted.value, 0) as value  -- noqa: RF04
    from counted_months
    inner join counted_keys
        on counted_months.metric = counted_keys.metric
    left join counted
        on
            counted_months.metric = counted.metric
            and counted_months.month = counted.month
            and counted_keys.key_value = counted.key_value

)

select
    metric,
    month,
    key_value,
    value,
    coverage,
    true as has_coverage
from downloads
where
    value is not null
    and key_value <> 'unknown'
    and {{ next_month('month') }} <= {{ today() }}
union all
select
    metric,
    month,
    key_value,
    value,
    cast(null as double) as coverage,
    false as has_coverage
from filled
where
    key_value <> 'unknown'
    and {{ next_month('month') }} <= {{ today() }}
