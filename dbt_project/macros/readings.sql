{#- Rank of a source in `source_order`, 1 first; those that are not listed come after it, by name (definitions
    1.2), so that no two share a rank. -#}
{% macro source_rank(source) -%}
    {%- set listed = var('source_order') -%}
    {%- set ranked = listed + (hub_sources() | reject('in', listed) | list) -%}
    case {{ source }}
        {%- for name in ranked %} when '{{ name }}' then {{ loop.index }}{% endfor %}
        else {{ ranked | length + 1 }}
    end
{%- endmacro %}


{#- The sources of Hub readings, by name. -#}
{% macro hub_sources() -%}
    {{ return(['hub_archive', 'hub_live', 'hub_revisions', 'hub_series']) }}
{%- endmacro %}


{#- Whether two counters lie more than 1 % apart; false when either is missing (definitions 1.2). -#}
{% macro disagree(a, b) -%}
    coalesce(abs({{ a }} - {{ b }}) > 0.01 * greatest({{ a }}, {{ b }}), false)
{%- endmacro %}


{#- Namespace of a Hub id: the part before the slash. -#}
{% macro hf_org_of(model_id) -%}
    {{ dbt.split_part(model_id, "'/'", 1) }}
{%- endmacro %}


{#- Billions of parameters a repository's name states, as in -8B- or _0.5b, else NULL. Numbers such as the
    8x7B of a mixture or A3B (active) are not read: they are not the total. Registry's rule, paper.md 1.3. -#}
{% macro params_b_in_name(model_id) -%}
    cast({{ regexp_first(
        dbt.split_part(model_id, "'/'", 2), '(?:^|[-_])([0-9]+(?:[.][0-9]+)?)[bB](?:[-_]|$)'
    ) }} as double)
{%- endmacro %}


{#- The id without a precision suffix such as -FP8 or -NVFP4, in lower case; NULL when it has none. -#}
{% macro without_precision(model_id) -%}
    {{ regexp_first('lower(' ~ model_id ~ ')', '^(.+)-(?:' ~ precision_suffixes() | join('|') ~ ')$') }}
{%- endmacro %}


{#- Suffixes by which publishers name another precision of the same weights, longer ones first. -#}
{% macro precision_suffixes() -%}
    {{ return([
        'fp8-dynamic', 'fp8-block', 'fp8', 'nvfp4-qad', 'nvfp4', 'mxfp4', 'mxfp8', 'fp4', 'fp16', 'fp32',
        'bf16', 'w4a4', 'w4a16', 'w8a8', 'w8a16', 'int4', 'int8', 'gptq-int4', 'gptq-int8', 'gptq',
        'awq-int4', 'awq', '4bit', '8bit'
    ]) }}
{%- endmacro %}


{#- A day of creation as read, NULL where the Hub names its floor (definitions 0.3). -#}
{% macro known_creation(created_on) -%}
    nullif({{ created_on }}, cast('2022-03-02' as date))
{%- endmacro %}


{#- Day a model's curve begins: its creation, or the one before it was made anew (definitions 1.6 b, 2.1).
    `models` is an alias of int_models. -#}
{% macro curve_begins_on(models) -%}
    coalesce({{ models }}.first_created_on, {{ models }}.created_on)
{%- endmacro %}


{#- What a counter below the one before it means (definitions 1.6 b and c), NULL when it is not below: reset when
    the repository was made anew in between, else correction. Both are aliases of readings with
    downloads_all_time, hf_id and created_on; an identity that was not read differs from none, and the floor of the
    Hub is no day of creation. -#}
{% macro fall_kind(later, earlier) -%}
    case
        when
            {{ later }}.downloads_all_time < {{ earlier }}.downloads_all_time
            and (
                coalesce({{ later }}.hf_id <> {{ earlier }}.hf_id, false)
                or coalesce(
                    {{ known_creation(later ~ '.created_on') }}
                    <> {{ known_creation(earlier ~ '.created_on') }},
                    false
                )
            )
            then 'reset'
        when {{ later }}.downloads_all_time < {{ earlier }}.downloads_all_time then 'correction'
    end
{%- endmacro %}
