{#- The days after release at which RAM is taken (design 6). -#}
{% macro ram_days() -%}
    {{ return([7, 14, 30, 60, 90, 180, 365]) }}
{%- endmacro %}


{#- A select of given days: day. -#}
{% macro days_select(days) -%}
    {%- for day in days -%}
        select {{ day }} as day{% if not loop.last %} union all {% endif %}
    {%- endfor -%}
{%- endmacro %}


{#- Aggregate: sum over the curves of one model. A model is one curve unless merge_precision_variants adds
    others; then the sum is taken in thousandths, because a floating sum depends on the order of rows. -#}
{% macro sum_of_curves(value) -%}
    {%- if var('merge_precision_variants') -%}
        cast(sum(cast(round({{ value }} * 1000) as {{ dbt.type_bigint() }})) as double) / 1000
    {%- else -%}
        max({{ value }})
    {%- endif -%}
{%- endmacro %}
