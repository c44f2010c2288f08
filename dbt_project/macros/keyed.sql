{#- Data test: the key's columns identify a row, and neither they nor the required columns are missing. One test
    a table instead of two a column: each test costs the build a query and Dagster two events. -#}
{% test keyed(model, key=[], required=[]) %}
{%- set filled = key + required %}
select
    'missing' as problem,
    count(*) as rows_found
from {{ model }}
where {% for column in filled %}{{ column }} is null{{ " or " if not loop.last }}{% endfor %}
having count(*) > 0
{%- if key %}
union all
select
    'twice' as problem,
    count(*) as rows_found
from {{ model }}
group by {{ key | join(", ") }}
having count(*) > 1
{%- endif %}
{% endtest %}
