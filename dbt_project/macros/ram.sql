{#- The days after release at which RAM is taken (design 6). -#}
{% macro ram_days() -%}
    {{ return([7, 14, 30, 60, 90, 180, 365]) }}
{%- endmacro %}


{#- Of these, the days whose scores ram_backtest takes for early ones, and those it looks at later. -#}
{% macro ram_early_days() -%}
    {{ return([7, 14, 30, 60, 90]) }}
{%- endmacro %}

{% macro ram_later_days() -%}
    {{ return([90, 180, 365]) }}
{%- endmacro %}


{#- The n under which ram_sensitivity takes the nth rule. -#}
{% macro ram_compared_n() -%}
    {{ return([5, 10, 20]) }}
{%- endmacro %}


{#- A select of given days: day. -#}
{% macro days_select(days) -%}
    {%- for day in days -%}
        select {{ day }} as day{% if not loop.last %} union all {% endif %}
    {%- endfor -%}
{%- endmacro %}


{#- How many models of a size class are its leading ones: what a score of 1 means, and what ram_backtest counts. -#}
{% macro ram_top() -%}
    {{ return(10) }}
{%- endmacro %}


{#- Aggregate: sum over the curves of one model. A model is one curve unless precision variants are `merged` into
    it; then the sum is taken in thousandths, because a floating sum depends on the order of rows. -#}
{% macro sum_of_curves(value, merged) -%}
    {%- if merged -%}
        cast(sum(cast(round({{ value }} * 1000) as {{ dbt.type_bigint() }})) as double) / 1000
    {%- else -%}
        max({{ value }})
    {%- endif -%}
{%- endmacro %}
