{{ config(materialized='table') }}

-- Downloads of a model some days after its release, as measurable on each snapshot date
-- (definitions 5.1-5.4). A row exists once the day is reached.

{{ ram_measurements('int_ram_components', merged=var('merge_precision_variants')) }}
