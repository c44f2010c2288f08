{#- A slug without its :variant (free, beta, thinking …). -#}
{% macro without_variant(slug) -%}
    {{ dbt.split_part(slug, "':'", 1) }}
{%- endmacro %}


{#- A slug without a trailing -20YYMMDD (definitions 7.1). -#}
{% macro without_date_suffix(slug) -%}
    {{ return(adapter.dispatch('without_date_suffix', 'atom')(slug)) }}
{%- endmacro %}

{% macro default__without_date_suffix(slug) -%}
    regexp_replace({{ slug }}, '-20[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])$', '')
{%- endmacro %}
