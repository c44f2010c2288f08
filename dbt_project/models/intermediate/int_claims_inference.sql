-- Claims on tokens of the ten most used open models (C31-C35). Source: OpenRouter
-- (openrouter.ai/rankings), CC BY 4.0.

with regions as (

    select *
    from {{ ref('inference_by_region_monthly') }}
    where
        scope = 'open_top10'
        and region = 'china'

),

organizations as (

    select
        month,
        organization,
        share,
        row_number() over (
            partition by month
            order by tokens desc, organization asc
        ) as place
    from {{ ref('inference_by_organization_monthly') }}
    where
        scope = 'open_top10'
        and {{ next_month('month') }} <= {{ today() }}

),

china as (

    select
        max(case when month = {{ on_day('2024-11-01') }} then share_publisher end) as china_2024_11,
        max(case when month = {{ on_day('2026-01-01') }} then share_publisher end) as china_2026_01,
        max(case when month = {{ on_day('2026-01-01') }} then share end) as china_2026_01_by_base,
        max(
            case when month = {{ on_day('2026-01-01') }} then days_present end
        ) as days_2026_01,
        count(*) as china_months,
        count(case when share_publisher > 0.7 then 1 end) as china_months_above,
        min(case when share_publisher > 0.7 then month end) as china_first_above_on
    from regions
    where month <= {{ on_day('2026-01-01') }}

),

-- the first month above, else the highest
china_best as (

    select
        month,
        share_publisher,
        row_number() over (
            order by
                case when share_publisher > 0.7 then 0 else 1 end asc,
                case when share_publisher > 0.7 then month end asc,
                share_publisher desc,
                month asc
        ) as nth
    from regions
    where month <= {{ on_day('2026-01-01') }}

),

china_peak as (

    select
        max(case when nth = 1 then share_publisher end) as china_peak_share,
        max(case when nth = 1 then month end) as china_peak_on
    from china_best

),

deepseek as (

    select
        month,
        share,
        place,
        -- no date is stated, but the report's last month is March 2026
        row_number() over (
            order by
                case when month <= {{ on_day('2026-03-01') }} then 0 else 1 end asc,
                abs(share - 0.756) asc,
                month asc
        ) as nth
    from organizations
    where organization = 'DeepSeek'

),

deepseek_best as (

    select
        max(case when nth = 1 and month <= {{ on_day('2026-03-01') }} then share end)
            as deepseek_nearest_share,
        max(case when nth = 1 and month <= {{ on_day('2026-03-01') }} then month end)
            as deepseek_nearest_on,
        max(case when place = 1 then month end) as deepseek_last_first_on,
        count(
            case when place = 1 and month <= {{ on_day('2026-01-01') }} then 1 end
        ) as deepseek_months_first
    from deepseek

),

all_months as (

    select count(distinct month) as inference_months
    from organizations
    where month <= {{ on_day('2026-01-01') }}

),

measures as (

    select
        china.*,
        china_peak.*,
        deepseek_best.*,
        all_months.inference_months
    from china
    cross join china_peak
    cross join deepseek_best
    cross join all_months

)

{{ claim('C31', 'china_2024_11', month=on_day('2024-11-01'),
    settings="'By publisher. '", note="''",
    missing='The claim is older than the public data, which begin in January 2025.') }}
union all
{{ claim('C32', 'china_2026_01', month=on_day('2026-01-01'),
    settings="'By publisher. '",
    note="'By base ' || " ~ in_percent('china_2026_01_by_base') ~ " || '. '
        || " ~ in_words('days_2026_01', 0) ~ " || ' of 31 days.'",
    missing='No tokens are held for January 2026.') }}
union all
{{ claim('C33', 'china_peak_share', month='china_peak_on',
    settings="'By publisher. '",
    note="'The first month above 70 %, else the highest; ' || "
        ~ in_words('china_months_above', 0) ~ " || ' of ' || " ~ in_words('china_months', 0)
        ~ " || ' months up to January 2026 lie above; January 2026 ' || " ~ in_percent('china_2026_01')
        ~ " || '.'",
    missing='No tokens are held for any month up to January 2026.') }}
union all
{{ claim('C34', 'deepseek_nearest_share', month='deepseek_nearest_on',
    settings="'By base. '",
    note="'The claim has no date: the month up to March 2026 that comes nearest, which proves nothing.'",
    missing='No tokens of DeepSeek are held for any month up to March 2026.') }}
union all
{{ claim('C35', 'cast(deepseek_months_first as double) / nullif(inference_months, 0)',
    settings="'By base. '",
    note="'First in ' || " ~ in_words('deepseek_months_first', 0) ~ " || ' of ' || "
        ~ in_words('inference_months', 0) ~ " || ' months up to January 2026; last in '
        || coalesce(cast(" ~ yyyymm('deepseek_last_first_on') ~ " as " ~ dbt.type_string()
        ~ "), 'no month') || '.'",
    missing='No tokens are held for any month up to January 2026.') }}
