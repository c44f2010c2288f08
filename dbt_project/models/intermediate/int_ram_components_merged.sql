{{ config(materialized='table') }}

-- Which curves make up a scored model if precision variants are merged (definitions 5.10), whatever
-- the build's merge_precision_variants says: the other answer for ram_sensitivity.

{{ ram_components(merged=true) }}
