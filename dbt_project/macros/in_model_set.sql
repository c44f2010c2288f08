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
        and not {{ is_t5gemma(relation ~ '.model_id') }}
    {%- endif %})
{%- endmacro %}


{#-
  Whether a row of int_models is of the widest set this build reads curves for: both lists of the registry, or
  every model ever observed where the var model_set asks for them. Former ids (alias_of) never belong.
-#}
{% macro in_widest_set(relation) -%}
    ({{ relation }}.alias_of is null
    {%- if var('model_set') != 'all' %}
        and {{ relation }}.tracked_list in ('core', 'extra')
    {%- endif %})
{%- endmacro %}


{#- Whether a repository id names a T5Gemma model. -#}
{% macro is_t5gemma(model_id) -%}
    lower({{ model_id }}) like '%t5gemma%'
{%- endmacro %}


{#-
  Whether a repository id ends in the name of a weight format, with or without its bits (-AWQ, -gptq-int4,
  -AWQ-4bit). The registry's rule leaves such repositories out, its list holds some.
-#}
{% macro is_format_repository(model_id) -%}
    (
    {%- for name in ['gguf', 'onnx', 'mlx', 'openvino', 'awq', 'gptq'] %}
        {%- for bits in ['', '-int_', '-_bit'] %}
        lower({{ model_id }}) like '%{{ name ~ bits }}'
        {%- if not loop.last %} or{% endif %}
        {%- endfor %}
        {%- if not loop.last %} or{% endif %}
    {%- endfor %}
    )
{%- endmacro %}
