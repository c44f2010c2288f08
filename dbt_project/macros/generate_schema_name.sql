{#- Schemas carry the layer's name, without the target's prefix: the published contract names them. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ (custom_schema_name or target.schema) | trim }}
{%- endmacro %}
