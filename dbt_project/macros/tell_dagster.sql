{#- Post-hook: tells Dagster the number of rows of what was just built, and the first of them, in the form
    in which dagster-dbt takes facts about a node from dbt's log. Says nothing to people at a terminal. -#}
{% macro tell_dagster(relation) -%}
    {%- if execute and flags.LOG_FORMAT == 'json' -%}
        {%- call statement('tell_dagster', fetch_result=true) -%}
            select
                count(*) as row_count,
                (
                    select cast(to_json(list(shown)) as varchar)
                    from (select * from {{ relation }} limit 5) as shown
                ) as preview
            from {{ relation }}
        {%- endcall -%}
        {%- set row_count, preview = load_result('tell_dagster')['data'][0] -%}
        {%- do log(tojson({'row_count': row_count, 'preview': fromjson(preview or '[]')}), info=true) -%}
    {%- endif -%}
{%- endmacro %}
