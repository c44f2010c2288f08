{#- How claims are measured: every int_claims_<subject> is one row of measures, then one row a claim.

    What is compared with what, and when a claim is judged, stands in the model claims. -#}

{#- Aggregate over int_monthly_values: the value, or the coverage, of one key in one month. -#}
{% macro monthly_value(metric, key_value, month, column='value') -%}
    max(
        case
            when
                metric = '{{ metric }}'
                and key_value = '{{ key_value }}'
                and month = cast('{{ month }}' as date)
                then {{ column }}
        end
    )
{%- endmacro %}


{#- One claim as one row, from a relation of one row.

    value: what was measured, in the claim's unit, NULL when it was not; month: the month it is of (a date
    expression), or nothing; coverage: the smallest coverage among the sums used, NULL when one of them is
    unknown, or nothing where no sum of downloads is used; comparable: whether what was measured is enough
    to judge by, apart from coverage; contradicted: whether another part of the claim is off;
    error: the expected error of value by our own measuring, a share of it; settings, note: text expressions,
    what it was measured with and what belongs beside the value; missing: why there is no value, in words;
    missing_note: the same as a text expression. -#}
{% macro claim(
    claim_id, value, note, settings, missing=none, missing_note=none,
    month=none, coverage=none, comparable='true', contradicted='false', error='null',
    relation='measures'
) -%}
    {#- sums of unequal coverage are not comparable (definitions 4.1), those of unknown coverage neither -#}
    {%- set covered = 'coalesce(' ~ coverage ~ ', 0) >= ' ~ least_coverage() -%}
    select
        '{{ claim_id }}' as claim_id,
        cast({{ value }} as double) as measured_value,
        cast({{ month or 'null' }} as date) as measured_month,
        cast({{ coverage or 'null' }} as double) as coverage,
        coalesce({{ comparable }}, false){{ ' and ' ~ covered if coverage }} as is_comparable,
        coalesce({{ contradicted }}, false) as is_contradicted,
        cast({{ error }} as double) as expected_error,
        cast({{ settings }} as {{ dbt.type_string() }}) as settings,
        cast({{ note }} as {{ dbt.type_string() }}) as note,
        {% if missing_note %}
            coalesce(cast({{ missing_note }} as {{ dbt.type_string() }}), '') as missing
        {% else %}
            '{{ missing | replace("'", "''") }}' as missing
        {% endif %}
    from {{ relation }}
{%- endmacro %}


{#- The coverage from which sums are compared (definitions 4.1). -#}
{% macro least_coverage() -%}
    0.95
{%- endmacro %}


{#- The least of several columns, NULL when one of them is. -#}
{% macro least_if_all_known(columns) -%}
    case
        when {{ columns | join(' is not null and ') }} is not null
            then least({{ columns | join(', ') }})
    end
{%- endmacro %}


{#- A date literal. -#}
{% macro on_day(day) -%}
    cast('{{ day }}' as date)
{%- endmacro %}


{#- A month as the number claims print, yyyymm. -#}
{% macro yyyymm(month) -%}
    (extract(year from {{ month }}) * 100 + extract(month from {{ month }}))
{%- endmacro %}


{#- A number as text, rounded; "not known" when NULL. -#}
{% macro in_words(number, digits=2, unit='') -%}
    {%- set rounded = 'round(' ~ number ~ ', ' ~ digits ~ ')' -%}
    {%- if digits == 0 -%}
        {%- set rounded = 'cast(' ~ rounded ~ ' as ' ~ dbt.type_bigint() ~ ')' -%}
    {%- endif -%}
    coalesce(cast({{ rounded }} as {{ dbt.type_string() }}) || '{{ unit }}', 'not known')
{%- endmacro %}

{% macro in_millions(number) -%}
    {{ in_words(number ~ ' / 1000000.0', 1, ' million') }}
{%- endmacro %}

{% macro in_percent(share) -%}
    {{ in_words('100.0 * ' ~ share, 1, ' %') }}
{%- endmacro %}


{#- The vars that downloads were measured with, as the first words of a note. -#}
{% macro downloads_settings() -%}
    'Model set {{ var("model_set") }}, T5Gemma {{ "included" if var("include_t5gemma") else "left out" }}, precision variants counted. '
{%- endmacro %}

{#- The same for derivatives. -#}
{% macro derivatives_settings() -%}
    'All relations, more than {{ var("min_downloads") }} downloads ever read, children of the house included, attribution {{ var("derivative_attribution") }}. '
{%- endmacro %}

{#- The same for RAM, with the baseline and the day of the claim. -#}
{% macro ram_settings(baseline, day) -%}
    'Charted list, baseline {{ baseline }}, newest checkpoint reached by {{ day }}, release dates corrected, precision variants {{ "merged" if var("merge_precision_variants") else "apart" }}. '
{%- endmacro %}

{#- A part of a claim on RAM as text: its best score, and how many of its models lie above 1. -#}
{% macro ram_in_words(part) -%}
    {{ in_words(part) }} || ' (' || {{ in_words(part ~ '_above', 0) }} || ' of '
    || {{ in_words(part ~ '_models', 0) }} || ' above 1)'
{%- endmacro %}

{#- Whether the least of several best scores is surely above 1, or surely not: 1 does not lie between the bounds of
    what decides. -#}
{% macro is_ram_decided(parts) -%}
    {%- set lows, highs = [], [] -%}
    {%- for part in parts -%}
        {%- do lows.append(part ~ '_low') -%}
        {%- do highs.append(part ~ '_high') -%}
    {%- endfor -%}
    ({{ least_if_all_known(lows) }} > 1 or {{ least_if_all_known(highs) }} <= 1)
{%- endmacro %}
