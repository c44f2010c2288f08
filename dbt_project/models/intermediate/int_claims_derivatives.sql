-- Claims on shares of new derivatives (C24-C30). A share is judged when its months have so many new
-- derivatives of known base that the standard error is no larger than the tolerance: with fewer,
-- chance alone moves it further.

{% set shares = {
    'qwen_2024_01': ('derivatives_share_by_family', 'Qwen', '2024-01-01'),
    'qwen_2025_08': ('derivatives_share_by_family', 'Qwen', '2025-08-01'),
    'qwen_2026_02': ('derivatives_share_by_family', 'Qwen', '2026-02-01'),
    'llama_2025_08': ('derivatives_share_by_family', 'Llama', '2025-08-01'),
    'china_2024_01': ('derivatives_share_by_region', 'china', '2024-01-01'),
    'china_2026_02': ('derivatives_share_by_region', 'china', '2026-02-01'),
    'eu_2024_01': ('derivatives_share_by_region', 'eu', '2024-01-01'),
    'eu_2026_02': ('derivatives_share_by_region', 'eu', '2026-02-01'),
    'us_2024_01': ('derivatives_share_by_region', 'us', '2024-01-01'),
    'us_2026_02': ('derivatives_share_by_region', 'us', '2026-02-01'),
} %}
{#- 2.5 and 4.5 points, as claims_published has them -#}
{% set tolerance, rounded_tolerance = 0.025, 0.045 %}

with monthly as (

    select * from {{ ref('int_monthly_values') }}

),

by_region as (

    select * from {{ ref('derivatives_by_region_monthly') }}

),

downloads as (

    select
        month,
        share
    from {{ ref('downloads_by_family_monthly') }}
    where
        family = 'Qwen'
        and share is not null
        and coverage >= {{ least_coverage() }}

),

shares as (

    select
        {% for name, (metric, key_value, month) in shares.items() %}
            {{ monthly_value(metric, key_value, month) }} as {{ name }},
        {% endfor %}
        count(*) as values_known
    from monthly

),

children_by_month as (

    {{ known_children('by_region') }}

),

children as (

    select
        {% for month in ['2024-01-01', '2025-08-01', '2026-02-01'] %}
            coalesce(max(case when month = {{ on_day(month) }} then children end), 0)
                as children_{{ month[:7] | replace('-', '_') }},
        {% endfor %}
        count(*) as months_counted
    from children_by_month

),

-- a month too small to judge by is the peak only when all are
llama_2024 as (

    select
        monthly.month,
        monthly.value as share,
        children_by_month.children,
        row_number() over (
            order by
                case
                    when
                        {{ standard_error('monthly.value', 'children_by_month.children') }}
                        <= {{ tolerance }}
                        then 0
                    else 1
                end asc,
                monthly.value desc,
                monthly.month asc
        ) as nth
    from monthly
    left join children_by_month
        on monthly.month = children_by_month.month
    where
        monthly.metric = 'derivatives_share_by_family'
        and monthly.key_value = 'Llama'
        and monthly.month between {{ on_day('2024-01-01') }} and {{ on_day('2024-12-01') }}

),

llama_peak as (

    select
        max(case when nth = 1 then share end) as llama_peak_share,
        max(case when nth = 1 then month end) as llama_peak_on,
        max(case when nth = 1 then children end) as llama_peak_children
    from llama_2024

),

-- Both shares rise over the years and so fit each other at any lag: compared are their changes from
-- month to month.
derivative_steps as (

    select
        later.month,
        later.value - earlier.value as step
    from monthly as later
    inner join monthly as earlier
        on
            later.metric = earlier.metric
            and later.key_value = earlier.key_value
            and {{ add_months('earlier.month', 1) }} = later.month
    where
        later.metric = 'derivatives_share_by_family'
        and later.key_value = 'Qwen'

),

download_steps as (

    select
        later.month,
        later.share - earlier.share as step
    from downloads as later
    inner join downloads as earlier
        on {{ add_months('earlier.month', 1) }} = later.month

),

lags as (

    select n - 6 as lag_months
    from ({{ numbers_below(13) }}) as steps

),

lagged as (

    select
        lags.lag_months,
        derivative_steps.step as derivative_step,
        download_steps.step as download_step,
        count(*) over (partition by derivative_steps.month) as lags_known
    from derivative_steps
    cross join lags
    inner join download_steps
        on {{ add_months('derivative_steps.month', 'lags.lag_months') }} = download_steps.month

),

-- every lag by the same months
lag_fits as (

    select
        lag_months,
        -- the order of rows moves the last digits
        round(corr(derivative_step, download_step), 9) as fit,
        count(*) as months_compared
    from lagged
    where lags_known = 13
    group by lag_months

),

ranked_fits as (

    select
        lag_months,
        fit,
        months_compared,
        row_number() over (order by fit desc, abs(lag_months) asc, lag_months asc) as nth
    from lag_fits
    where
        months_compared >= 12
        and fit is not null

),

best_fit as (

    select
        max(case when nth = 1 then lag_months end) as best_lag,
        max(case when nth = 1 then fit end) as best_lag_fit,
        max(case when lag_months > 0 then fit end) as best_fit_ahead,
        max(case when lag_months <= 0 then fit end) as best_fit_not_ahead,
        max(months_compared) as months_compared
    from ranked_fits

),

measures as (

    select
        shares.*,
        children.*,
        llama_peak.*,
        best_fit.*
    from shares
    cross join children
    cross join llama_peak
    cross join best_fit

)

{% for claim_id, name, start_share in [
    ('C24', 'qwen', 0.01), ('C25', 'china', 0.10), ('C26', 'eu', 0.58), ('C27', 'us', 0.32)
] %}
    {%- set end_error = standard_error(name ~ '_2026_02', 'children_2026_02') -%}
    {%- set start_error = standard_error(name ~ '_2024_01', 'children_2024_01') -%}
    {{ claim(claim_id, name ~ '_2026_02', month=on_day('2026-02-01'),
        comparable=end_error ~ ' <= ' ~ tolerance ~ ' and ' ~ start_error ~ ' <= ' ~ tolerance,
        contradicted='abs(' ~ name ~ '_2024_01 - ' ~ start_share ~ ') > ' ~ tolerance,
        settings=derivatives_settings(),
        note="'February 2026, of ' || " ~ in_words('children_2026_02', 0)
            ~ " || ' children (standard error ' || " ~ in_percent(end_error)
            ~ " || '); January 2024 ' || " ~ in_percent(name ~ '_2024_01') ~ " || ' of ' || "
            ~ in_words('children_2024_01', 0) ~ " || ' (' || " ~ in_percent(start_error)
            ~ " || '). Children deleted before any reading are unseen.'",
        missing='No new derivative of known base is held for February 2026.') }}
    union all
{% endfor %}
{{ claim('C28', 'llama_peak_share', month='llama_peak_on',
    comparable=standard_error('llama_peak_share', 'llama_peak_children') ~ ' <= ' ~ tolerance,
    settings=derivatives_settings(),
    note="'The highest month of 2024, by family, of ' || " ~ in_words('llama_peak_children', 0)
        ~ " || ' children (standard error ' || "
        ~ in_percent(standard_error('llama_peak_share', 'llama_peak_children')) ~ " || ').'",
    missing='No new derivative of known base is held for 2024.') }}
union all
{{ claim('C29', 'llama_2025_08', month=on_day('2025-08-01'),
    comparable=standard_error('llama_2025_08', 'children_2025_08') ~ ' <= ' ~ rounded_tolerance
        ~ ' and abs(qwen_2025_08 - 0.40) > ' ~ standard_error('qwen_2025_08', 'children_2025_08'),
    contradicted='qwen_2025_08 <= 0.40',
    settings=derivatives_settings(),
    note="'August 2025, of ' || " ~ in_words('children_2025_08', 0)
        ~ " || ' children: Llama (standard error ' || "
        ~ in_percent(standard_error('llama_2025_08', 'children_2025_08')) ~ " || '); Qwen ' || "
        ~ in_percent('qwen_2025_08') ~ " || ' (' || "
        ~ in_percent(standard_error('qwen_2025_08', 'children_2025_08')) ~ " || ').'",
    missing='No new derivative of known base is held for August 2025.') }}
union all
{{ claim('C30', 'best_lag',
    comparable='abs(best_fit_ahead - best_fit_not_ahead) >= 2 / sqrt(months_compared)',
    settings=derivatives_settings(),
    note="'Qwen: months by which changes of the share of downloads follow those of derivatives where"
        " the two correlate most (' || " ~ in_words('best_lag_fit', 3)
        ~ " || '; best of lags 1 to 6 ' || " ~ in_words('best_fit_ahead', 3)
        ~ " || ', of lags -6 to 0 ' || " ~ in_words('best_fit_not_ahead', 3) ~ " || ', each over the same '"
        ~ " || " ~ in_words('months_compared', 0)
        ~ " || ' months). Judged when these lie two standard errors, ' || "
        ~ in_words('2 / sqrt(months_compared)', 3) ~ " || ', apart.'",
    missing='Fewer than 12 months have both shares of Qwen covered to 95 % at every lag.') }}
