{#- Incremental strategy `replace_from`: every row dated from `start_on` of int_rebuild on is replaced by what the
    model selects, which must be just the rows dated so. Unlike delete+insert it also removes days that are no
    longer there. Config: dated_by, the column that dates a row. -#}
{% macro get_incremental_replace_from_sql(arg_dict) -%}
    {%- set columns = get_quoted_csv(arg_dict['dest_columns'] | map(attribute='name')) -%}
    delete from {{ arg_dict['target_relation'] }}
    where {{ config.require('dated_by') }} >= {{ rebuilt_from() }};

    insert into {{ arg_dict['target_relation'] }} ({{ columns }})
    select {{ columns }} from {{ arg_dict['temp_relation'] }}
{%- endmacro %}


{#- The first month in which what is loaded differs from what the standing tables were built from, as a scalar
    subquery; the project's first month when that is not known. The assets write it (assets.dbt) in a table that
    is no source: it says what to compute again, never what comes out. -#}
{% macro changed_from() -%}
    {%- set relation = adapter.get_relation(database=target.database, schema='raw', identifier='rebuild')
        if execute else none -%}
    {%- if relation is none -%}
        {{ first_month() }}
    {%- else -%}
        (select changed_from from {{ relation }})
    {%- endif -%}
{%- endmacro %}


{#- In an incremental build, the filter that leaves a select the rows to be computed again; else nothing. -#}
{% macro only_rebuilt(dated_by) -%}
    {%- if is_incremental() -%}
    where {{ dated_by }} >= {{ rebuilt_from() }}
    {%- endif -%}
{%- endmacro %}


{#- The day of int_rebuild, as a literal: with a subquery in its place every old row is read before it is left
    out. NULL, which no date reaches, when nothing is to be computed again. -#}
{% macro rebuilt_from() -%}
    {%- set found = run_query('select start_on from ' ~ ref('int_rebuild')) if execute else none -%}
    {%- if found and found.rows -%}date '{{ found.rows[0][0] }}'{%- else -%}cast(null as date){%- endif -%}
{%- endmacro %}
