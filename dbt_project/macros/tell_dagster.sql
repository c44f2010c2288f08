{#- Post-hook: tells Dagster the row count of the table that was just built, and its first rows, in the form in
    which dagster-dbt takes facts about a node from dbt's log. Silent where people read that log. A view holds no
    rows: counting them would be computing them. -#}
{% macro tell_dagster(relation) -%}
    {%- if execute and flags.LOG_FORMAT == 'json' and config.get('materialized') != 'view' -%}
        {%- call statement('tell_dagster', fetch_result=true) -%}
            {{ adapter.dispatch('count_and_preview', 'atom')(relation) }}
        {%- endcall -%}
        {%- set row_count, preview = load_result('tell_dagster')['data'][0] -%}
        {%- do log(tojson({'row_count': row_count, 'preview': fromjson(preview or '[]')}), info=true) -%}
    {%- endif -%}
{%- endmacro %}

{% macro default__count_and_preview(relation) -%}
    select
        count(*) as row_count,
        null as preview
    from {{ relation }}
{%- endmacro %}

{% macro duckdb__count_and_preview(relation) -%}
    select
        count(*) as row_count,
        (
            select cast(to_json(list(shown)) as varchar)
            from (select * from {{ relation }} limit 5) as shown
        ) as preview
    from {{ relation }}
{%- endmacro %}
