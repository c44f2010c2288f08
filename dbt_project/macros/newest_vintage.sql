{#- A select of the pull that holds the newest vintage in a relation or CTE: pull_id, at most one row. Ties of as_of
    go to the larger pull_id, so that the answer never depends on the order of loads. -#}
{% macro newest_vintage(relation) -%}
    select ranked.pull_id
    from (
        select
            vintages.pull_id,
            row_number() over (order by vintages.as_of desc, vintages.pull_id desc) as newest
        from (
            select
                rows_of.pull_id,
                max(rows_of.as_of) as as_of
            from {{ relation }} as rows_of
            group by rows_of.pull_id
        ) as vintages
    ) as ranked
    where ranked.newest = 1
{%- endmacro %}
