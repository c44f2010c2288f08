{#- Aggregate: the values of an expression as one list, in the order of another. -#}
{% macro ordered_list(expression, order_by) -%}
    {{ return(adapter.dispatch('ordered_list', 'atom')(expression, order_by)) }}
{%- endmacro %}

{% macro default__ordered_list(expression, order_by) -%}
    array_agg({{ expression }} order by {{ order_by }})
{%- endmacro %}

{% macro duckdb__ordered_list(expression, order_by) -%}
    list({{ expression }} order by {{ order_by }})
{%- endmacro %}

{% macro spark__ordered_list(expression, order_by) -%}
    transform(
        array_sort(collect_list(struct({{ order_by }} as place, {{ expression }} as value))),
        entry -> entry.value
    )
{%- endmacro %}

{#- A list of nothing, for a row without members. -#}
{% macro empty_list() -%}
    {{ return(adapter.dispatch('empty_list', 'atom')()) }}
{%- endmacro %}

{% macro default__empty_list() -%}
    cast(array[] as varchar[])
{%- endmacro %}

{% macro duckdb__empty_list() -%}
    cast([] as varchar[])
{%- endmacro %}

{% macro spark__empty_list() -%}
    cast(array() as array<string>)
{%- endmacro %}
