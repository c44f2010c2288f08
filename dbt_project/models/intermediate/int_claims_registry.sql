-- The claim on the tracked set (C48), by the list that lies nearest to the report's day.

{% set report_on = on_day('2026-04-08') %}

with vintages as (

    select * from {{ ref('stg_registry__tracked_model_vintages') }}

),

aliases as (

    select * from {{ ref('int_model_aliases') }}

),

-- the list nearest to the report's day, of two equally near ones the earlier
nearest_vintage as (

    select
        vintage_on,
        row_number() over (
            order by abs({{ days_between('vintage_on', report_on) }}) asc, vintage_on asc
        ) as nth
    from vintages
    group by vintage_on

),

measures as (

    select
        -- a replaced id is the same model
        nullif(count(distinct coalesce(aliases.canonical_id, vintages.model_id)), 0)
            as tracked_models,
        count(*) as tracked_rows,
        max(vintages.vintage_on) as tracked_on
    from vintages
    inner join nearest_vintage
        on
            vintages.vintage_on = nearest_vintage.vintage_on
            and nearest_vintage.nth = 1
    left join aliases
        on vintages.model_id = aliases.model_id
    where vintages.list = 'core'

)

{{ claim('C48', 'tracked_models',
    comparable='abs(' ~ days_between('tracked_on', report_on) ~ ') <= 31',
    settings="'Models on the charted list, a replaced id counted with the one that replaced it. '",
    note="'List of ' || coalesce(cast(tracked_on as " ~ dbt.type_string() ~ "), 'no day') || ', "
        ~ "the nearest held to the report of 2026-04-08, with ' || " ~ in_words('tracked_rows', 0)
        ~ " || ' rows. The report goes with one of February or March 2026 (1 481 and 1 617 rows).'",
    missing='No list of the registry is held.') }}
