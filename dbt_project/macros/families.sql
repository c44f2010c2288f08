{#- Families by name: for each text of a relation the first matching row of the family_patterns seed.
    A select of (text, family, hf_org); texts without a match have no row.

    relation: relation or CTE; column: its text column, Hub ids or slugs, need not be unique. -#}
{% macro families_of(relation, column) -%}
    select
        ranked.text,
        ranked.family,
        ranked.hf_org
    from (
        select
            texts.text,
            patterns.family,
            patterns.hf_org,
            row_number() over (
                partition by texts.text order by patterns.priority, patterns.pattern
            ) as preference
        from (
            select distinct asked.{{ column }} as text
            from {{ relation }} as asked
        ) as texts
        inner join {{ ref('family_patterns') }} as patterns
            on lower(texts.text) like patterns.pattern
    ) as ranked
    where ranked.preference = 1
{%- endmacro %}
