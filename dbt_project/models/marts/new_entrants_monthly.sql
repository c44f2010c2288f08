-- Who came up since a month: the downloads of each organization inside a window, beside what it
-- had before. Who is an entrant is one threshold (var entrant_max_downloads_before).

with windows as (

    select since from {{ ref('entrant_windows') }}

),

models as (

    select
        model_id,
        release_date
    from {{ ref('int_models') }}

),

model_months as (

    select
        model_months.month,
        model_months.model_id,
        model_months.organization,
        model_months.region,
        model_months.downloads,
        model_months.downloads_cumulative,
        model_months.is_anomalous,
        model_months.is_expected,
        model_months.reference_downloads,
        models.release_date
    from {{ ref('int_downloads_model_months') }} as model_months
    left join models
        on model_months.model_id = models.model_id

),

regions as (

    {{ organization_regions('model_months') }}

),

-- the counters at the first edge of a window
befores as (

    select
        windows.since,
        model_months.organization,
        cast(sum(model_months.downloads_cumulative) as {{ dbt.type_bigint() }}) as downloads_before,
        cast(
            count(case when model_months.is_expected then model_months.downloads_cumulative end)
            as double
        )
        / nullif(count(case when model_months.is_expected then 1 end), 0) as coverage_before
    from windows
    inner join model_months
        on windows.since = {{ next_month('model_months.month') }}
    group by windows.since, model_months.organization

),

-- an organization without a model released in the window has 0 downloads of such
totals as (

    select
        windows.since,
        model_months.month,
        model_months.organization,
        {{ next_month('model_months.month') }} <= {{ today() }} as is_closed,
        sum(model_months.downloads) as downloads,
        sum(
            case when not model_months.is_anomalous then model_months.downloads end
        ) as downloads_without_anomalies,
        case
            when
                count(case
                    when
                        model_months.is_expected and model_months.release_date >= windows.since
                        then 1
                end) > 0
                then
                    sum(case
                        when model_months.release_date >= windows.since then model_months.downloads
                    end)
            when {{ next_month('model_months.month') }} <= {{ today() }} then 0
        end as downloads_new_models,
        count(case when model_months.is_expected then 1 end) as models_expected,
        sum(
            case when model_months.downloads is not null then model_months.reference_downloads end
        ) as reference_measured,
        sum(
            case when model_months.is_expected then model_months.reference_downloads end
        ) as reference_expected
    from windows
    inner join model_months
        on windows.since <= model_months.month
    group by windows.since, model_months.month, model_months.organization
    having
        count(case when model_months.is_expected then 1 end) > 0
        or count(model_months.downloads_cumulative) > 0

),

running as (

    select
        totals.*,
        sum(totals.downloads) over (
            partition by totals.since, totals.organization
            order by totals.month
            rows between unbounded preceding and current row
        ) as downloads_since,
        sum(totals.downloads_without_anomalies) over (
            partition by totals.since, totals.organization
            order by totals.month
            rows between unbounded preceding and current row
        ) as downloads_since_without_anomalies,
        sum(totals.downloads_new_models) over (
            partition by totals.since, totals.organization
            order by totals.month
            rows between unbounded preceding and current row
        ) as downloads_new_models_since,
        cast(coalesce(sum(totals.reference_measured) over (
            partition by totals.since, totals.organization
            order by totals.month
            rows between unbounded preceding and current row
        ), 0) as double)
        / nullif(sum(totals.reference_expected) over (
            partition by totals.since, totals.organization
            order by totals.month
            rows between unbounded preceding and current row
        ), 0) as coverage_since
    from totals

),

-- nothing is said of the end of the open month
entrants as (

    select
        running.since,
        running.month,
        running.organization,
        regions.region,
        running.is_closed,
        running.models_expected,
        running.downloads,
        running.downloads_without_anomalies,
        case when running.is_closed then running.downloads_since end as downloads_since,
        case
            when running.is_closed then running.downloads_since_without_anomalies
        end as downloads_since_without_anomalies,
        case when running.is_closed then running.coverage_since end as coverage_since,
        running.downloads_new_models,
        case
            when running.is_closed then running.downloads_new_models_since
        end as downloads_new_models_since,
        befores.coverage_before,
        case
            when befores.organization is null then 0
            else befores.downloads_before
        end as downloads_before
    from running
    inner join regions
        on running.organization = regions.organization
    left join befores
        on
            running.since = befores.since
            and running.organization = befores.organization

),

-- what is known is a lower bound: it can rule an organization out, but with too few counters not in
judged as (

    select
        entrants.*,
        case
            when entrants.downloads_before >= {{ var('entrant_max_downloads_before') }} then false
            -- NULL where every model was gone or none was there
            when
                entrants.downloads_before is not null
                and coalesce(entrants.coverage_before, 1) >= 0.95
                then true
        end as is_entrant
    from entrants

)

select
    since,
    month,
    organization,
    region,
    cast(downloads as {{ dbt.type_bigint() }}) as downloads,
    cast(downloads_since as {{ dbt.type_bigint() }}) as downloads_since,
    cast(downloads_before as {{ dbt.type_bigint() }}) as downloads_before,
    cast(downloads_new_models as {{ dbt.type_bigint() }}) as downloads_new_models,
    cast(downloads_new_models_since as {{ dbt.type_bigint() }}) as downloads_new_models_since,
    is_entrant,
    case
        when is_entrant and downloads_since is not null
            then
                cast(
                    row_number() over (
                        partition by since, month
                        order by
                            case when is_entrant and downloads_since is not null then 0 else 1 end,
                            downloads_since desc,
                            organization asc
                    ) as {{ dbt.type_int() }}
                )
    end as rank_since,
    coverage_since,
    coverage_before,
    cast(downloads_without_anomalies as {{ dbt.type_bigint() }}) as downloads_without_anomalies,
    cast(
        downloads_since_without_anomalies as {{ dbt.type_bigint() }}
    ) as downloads_since_without_anomalies,
    case when is_entrant is null then 'few_counters_before' end as is_entrant_null_reason,
    case
        when downloads is not null then null
        when not is_closed then 'month_open'
        when models_expected = 0 then 'all_models_gone'
        else 'no_model_measured'
    end as null_reason
from judged
