{#- A bound of the Wilson interval, at 95 %, of a share of which `hits` of `trials` are known; 0-1, NULL without
    trials. At no hit the lower bound is 0 itself, at no miss the upper one 1.

    side: low or high. -#}
{% macro wilson_bound(hits, trials, side) -%}
    {%- set z2 = 'cast(3.841458820694124 as double)' -%}
    case
        when {{ trials }} = 0 then null
        when {{ hits }} = {{ '0' if side == 'low' else trials }} then {{ '0' if side == 'low' else '1' }}
        else (
            2 * {{ hits }} + {{ z2 }}
            {{ '-' if side == 'low' else '+' }} sqrt(
                {{ z2 }} * ({{ z2 }} + cast(4 * {{ hits }} * ({{ trials }} - {{ hits }}) as double) / {{ trials }})
            )
        ) / (2 * ({{ trials }} + {{ z2 }}))
    end
{%- endmacro %}


{#- Standard error of a share of so many trials, by Agresti and Coull, who add two hits and two misses: a
    share of 0 or 1 of a few trials is not certain. -#}
{% macro standard_error(share, trials) -%}
    sqrt(
        (({{ share }} * {{ trials }} + 2) / ({{ trials }} + 4))
        * (1 - ({{ share }} * {{ trials }} + 2) / ({{ trials }} + 4))
        / ({{ trials }} + 4)
    )
{%- endmacro %}
