-- definitions 4.1: the sizes of an organization or a region sum to it, and the organizations or
-- regions of a size to the size; shares of a size and shares of a key sum to 1.
{{ config(meta={'dagster': {'ref': {'name': 'downloads_by_organization_size_monthly'}}}) }}

with parts as (

    {% for key in ['organization', 'region'] %}
        {% for whole, share in [(key, 'share_of_' ~ key), ('size_bucket', 'share_of_size')] %}
            select
                '{{ key }}' as table_key,
                '{{ whole }}' as whole,
                month,
                {{ whole }} as whole_key,
                sum(downloads) as downloads,
                sum(downloads_cumulative) as downloads_cumulative,
                sum(models_measured) as models_measured,
                sum(models_expected) as models_expected,
                sum({{ share }}) as share_sum
            from {{ ref('downloads_by_' ~ key ~ '_size_monthly') }}
            group by month, {{ whole }}
            {% if not loop.last %}union all{% endif %}
        {% endfor %}
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

wholes as (

    {% for table, whole in [
        ('organization', 'organization'), ('region', 'region'), ('size', 'size_bucket')
    ] %}
        select
            '{{ whole }}' as whole,
            month,
            {{ whole }} as whole_key,
            downloads,
            downloads_cumulative,
            models_measured,
            models_expected
        from {{ ref('downloads_by_' ~ table ~ '_monthly') }}
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

part_tables as (

    select distinct
        table_key,
        whole
    from parts

),

-- every whole, once for each table that must sum to it
wanted as (

    select
        part_tables.table_key,
        wholes.*
    from wholes
    inner join part_tables
        on wholes.whole = part_tables.whole

)

select
    wanted.table_key,
    wanted.whole,
    wanted.month,
    wanted.whole_key,
    wanted.downloads,
    parts.downloads as downloads_of_parts,
    parts.share_sum
from wanted
left join parts
    on
        wanted.table_key = parts.table_key
        and wanted.whole = parts.whole
        and wanted.month = parts.month
        and wanted.whole_key = parts.whole_key
where
    parts.month is null
    or coalesce(wanted.downloads, -1) <> coalesce(parts.downloads, -1)
    or coalesce(wanted.downloads_cumulative, -1) <> coalesce(parts.downloads_cumulative, -1)
    or wanted.models_measured <> parts.models_measured
    or wanted.models_expected <> parts.models_expected
    or abs(parts.share_sum - 1) > 1e-9
