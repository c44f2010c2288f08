{{ config(materialized='table') }}

-- Downloads of a model and its precision variants together some days after its release, as known
-- today (definitions 5.10): the other answer for ram_sensitivity.

{{ ram_measurements('int_ram_components_merged', merged=true, newest_only=true) }}
