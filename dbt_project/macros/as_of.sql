{#- Filter of a select from one raw table: only what had been fetched by the instant `as_of`. Every staging
    model ends its select from raw with it, so that a build as of then sees no later pull. Nothing, and no
    read of the pulls, without the variable. -#}
{% macro where_fetched_by_then() -%}
    {%- set instant = var('as_of', none) -%}
    {%- if instant %}
    where pull_id in (
        select fetched.pull_id
        from {{ source('raw', 'pulls') }} as fetched
        where fetched.fetched_at <= cast('{{ end_of_day_or(instant | string) }}' as {{ dbt.type_timestamp() }})
    )
    {%- endif -%}
{%- endmacro %}


{#- A bare day as its last microsecond; an instant as it is. -#}
{% macro end_of_day_or(instant) -%}
    {{ return(instant ~ ' 23:59:59.999999' if instant | length == 10 else instant) }}
{%- endmacro %}
