{#- Joins each row of the left side to the last row of `right` at or before it, or to nothing.
    `right` must be unique in (keys, right_on) and carry `next_on`, the following `right_on` of the same key:
    engines without an as-of join use it.

    left_alias, right_alias: as the query calls them; keys: columns equal on both sides. -#}
{% macro asof_left_join(right, right_alias, keys, left_alias, left_on, right_on, next_on='next_on') -%}
    {{ return(adapter.dispatch('asof_left_join', 'atom')(
        right, right_alias, keys, left_alias, left_on, right_on, next_on
    )) }}
{%- endmacro %}

{% macro default__asof_left_join(right, right_alias, keys, left_alias, left_on, right_on, next_on) -%}
    left join {{ right }} as {{ right_alias }}
        on {% for key in keys %}{{ left_alias }}.{{ key }} = {{ right_alias }}.{{ key }}
            and {% endfor %}{{ left_alias }}.{{ left_on }} >= {{ right_alias }}.{{ right_on }}
            and (
                {{ right_alias }}.{{ next_on }} is null
                or {{ left_alias }}.{{ left_on }} < {{ right_alias }}.{{ next_on }}
            )
{%- endmacro %}

{% macro duckdb__asof_left_join(right, right_alias, keys, left_alias, left_on, right_on, next_on) -%}
    asof left join {{ right }} as {{ right_alias }}
        on {% for key in keys %}{{ left_alias }}.{{ key }} = {{ right_alias }}.{{ key }}
            and {% endfor %}{{ left_alias }}.{{ left_on }} >= {{ right_alias }}.{{ right_on }}
{%- endmacro %}


{#- Aggregate: `value` of the row with the largest `sort_key` among those whose value is not NULL.
    `sort_key` must be unique within the group. -#}
{% macro last_known(value, sort_key) -%}
    {{ return(adapter.dispatch('last_known', 'atom')(value, sort_key)) }}
{%- endmacro %}

{% macro default__last_known(value, sort_key) -%}
    max_by({{ value }}, case when {{ value }} is not null then {{ sort_key }} end)
{%- endmacro %}

{% macro duckdb__last_known(value, sort_key) -%}
    arg_max({{ value }}, {{ sort_key }})
{%- endmacro %}


{#- The first group of the first match of a regular expression in a text, NULL without a match. -#}
{% macro regexp_first(text, pattern) -%}
    {{ return(adapter.dispatch('regexp_first', 'atom')(text, pattern)) }}
{%- endmacro %}

{% macro default__regexp_first(text, pattern) -%}
    nullif(regexp_extract({{ text }}, '{{ pattern }}', 1), '')
{%- endmacro %}


{#- Aggregate: the value below which the share `q` of the values lies, linear between neighbours; 0.5 is the
    median. -#}
{% macro quantile(value, q) -%}
    {{ return(adapter.dispatch('quantile', 'atom')(value, q)) }}
{%- endmacro %}

{% macro default__quantile(value, q) -%}
    percentile_cont({{ q }}) within group (order by {{ value }})
{%- endmacro %}

{% macro duckdb__quantile(value, q) -%}
    quantile_cont({{ value }}, {{ q }})
{%- endmacro %}
