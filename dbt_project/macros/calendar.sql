{#- The build's UTC day as a DATE literal. Nothing in the project asks the engine for the time. -#}
{% macro today() -%}
    {%- set day = var('today', none) -%}
    {%- if day is none and execute and flags.WHICH not in ['parse', 'list', 'compile', 'docs', 'lint'] -%}
        {{ exceptions.raise_compiler_error(
            "The variable today is missing; pass the UTC day of the build, as in --vars '{today: 2026-04-08}'."
        ) }}
    {%- endif -%}
    cast('{{ day or "1970-01-01" }}' as date)
{%- endmacro %}


{#- The first month of every monthly series as a DATE literal. -#}
{% macro first_month() -%}
    cast('{{ var("first_month") }}' as date)
{%- endmacro %}


{#- First day of the month that holds a date. -#}
{% macro month_of(day) -%}
    cast({{ dbt.date_trunc('month', day) }} as date)
{%- endmacro %}


{#- A date moved by a number of days. -#}
{% macro add_days(day, days) -%}
    cast({{ dbt.dateadd('day', days, day) }} as date)
{%- endmacro %}


{#- A date moved by a number of months. -#}
{% macro add_months(day, months) -%}
    cast({{ dbt.dateadd('month', months, day) }} as date)
{%- endmacro %}


{#- Whole days from one date to another, negative when the other is earlier. -#}
{% macro days_between(start, end) -%}
    {{ return(adapter.dispatch('days_between', 'atom')(start, end)) }}
{%- endmacro %}

{% macro default__days_between(start, end) -%}
    {{ dbt.datediff(start, end, 'day') }}
{%- endmacro %}

{% macro duckdb__days_between(start, end) -%}
    ({{ end }} - {{ start }})
{%- endmacro %}


{#- First day of the following month. -#}
{% macro next_month(month) -%}
    cast({{ dbt.dateadd('month', 1, month) }} as date)
{%- endmacro %}


{#- A select of every month from `first` to `last`, both included: month, next_month, days_in_month.
    Reaches 1 000 months. -#}
{% macro month_spine(first, last) -%}
    select
        months.month,
        {{ next_month('months.month') }} as next_month,
        {{ days_between('months.month', next_month('months.month')) }} as days_in_month
    from (
        select cast({{ dbt.dateadd('month', 'steps.n', first) }} as date) as month
        from ({{ numbers_below(1000) }}) as steps
    ) as months
    where months.month <= {{ last }}
{%- endmacro %}


{#- A select of the whole numbers from 0 to one below `end` (at most 1 000): n. -#}
{% macro numbers_below(end) -%}
    select numbers.n
    from (
        select a.d + 10 * b.d + 100 * c.d as n
        from ({{ digits() }}) as a
        cross join ({{ digits() }}) as b
        cross join ({{ digits() }}) as c
    ) as numbers
    where numbers.n < {{ end }}
{%- endmacro %}


{#- A select of the ten digits: d. -#}
{% macro digits() -%}
    {%- for d in range(10) -%}
        select {{ d }} as d{% if not loop.last %} union all {% endif %}
    {%- endfor -%}
{%- endmacro %}
