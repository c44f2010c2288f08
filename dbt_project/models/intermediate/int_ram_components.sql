{{ config(materialized='table') }}

-- Which curves make up a scored model: its own, and with merge_precision_variants those of its
-- precision variants (definitions 5.10).

{{ ram_components(merged=var('merge_precision_variants')) }}
