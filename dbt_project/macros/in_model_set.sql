{#-
  Whether a row of int_models belongs to the set every download aggregate and RAM cover (definitions 0.4):
  vars model_set (core, core_extra, all) and include_t5gemma. Former ids (alias_of) never belong.

  relation: alias of a relation with model_id, tracked_list and alias_of.
-#}
{% macro in_model_set(relation) -%}
    {%- set model_set = var('model_set') -%}
    {%- if model_set not in ['core', 'core_extra', 'all'] -%}
        {{ exceptions.raise_compiler_error(
            "model_set is '" ~ model_set ~ "'; choose core, core_extra or all."
        ) }}
    {%- endif -%}
    ({{ relation }}.alias_of is null
    {%- if model_set == 'core' %}
        and {{ relation }}.tracked_list = 'core'
    {%- elif model_set == 'core_extra' %}
        and {{ relation }}.tracked_list in ('core', 'extra')
    {%- endif %}
    {%- if not var('include_t5gemma') %}
        and lower({{ relation }}.model_id) not like '%t5gemma%'
    {%- endif %})
{%- endmacro %}
