-- Claims on shares of new derivatives (C24-C30). A share is judged when its month has at least 30
-- new derivatives of known base: with fewer, chance alone moves it by several points.

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
{% set least_children = 30 %}

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

),

shares as (

    select
        {% for name, (metric, key_value, month) in shares.items() %}
            {{ monthly_value(metric, key_value, month) }} as {{ name }},
        {% endfor %}
        count(*) as values_known
    from monthly

),

children as (

    select
        {% for month in ['2024-01-01', '2025-08-01', '2026-02-01'] %}
            round(
                sum(case when month = {{ on_day(month) }} then new_derivatives else 0 end), 6
            ) as children_{{ month[:7] | replace('-', '_') }},
        {% endfor %}
        count(*) as rows_counted
    from by_region
    where
        relation = 'all'
        and min_downloads = {{ var('min_downloads') }}
        and not community_only
        and region <> 'unknown'

),

llama_2024 as (

    select
        month,
        value as share,
        row_number() over (order by value desc, month asc) as nth
    from monthly
    where
        metric = 'derivatives_share_by_family'
        and key_value = 'Llama'
        and month between {{ on_day('2024-01-01') }} and {{ on_day('2024-12-01') }}

),

llama_peak as (

    select
        max(case when nth = 1 then share end) as llama_peak_share,
        max(case when nth = 1 then month end) as llama_peak_on
    from llama_2024

),

-- how well the share of derivatives fits the share of downloads some months later
lags as (

    select n - 6 as lag_months
    from ({{ numbers_below(13) }}) as steps

),

lag_fits as (

    select
        lags.lag_months,
        -- the order of rows moves the last digits
        round(corr(derivatives.value, downloads.share), 9) as fit,
        count(*) as months_compared
    from monthly as derivatives
    cross join lags
    inner join downloads
        on {{ add_months('derivatives.month', 'lags.lag_months') }} = downloads.month
    where
        derivatives.metric = 'derivatives_share_by_family'
        and derivatives.key_value = 'Qwen'
    group by lags.lag_months

),

best_fits as (

    select
        lag_months,
        fit,
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
        max(case when lag_months = 0 then fit end) as no_lag_fit
    from best_fits

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
    {{ claim(claim_id, name ~ '_2026_02', month=on_day('2026-02-01'),
        comparable='children_2026_02 >= ' ~ least_children,
        contradicted='children_2024_01 >= ' ~ least_children ~ ' and abs(' ~ name ~ '_2024_01 - '
            ~ start_share ~ ') > 0.025',
        settings=derivatives_settings(),
    note="'February 2026, of ' || " ~ in_words('children_2026_02', 0)
            ~ " || ' children; January 2024 ' || " ~ in_percent(name ~ '_2024_01') ~ " || ' of ' || "
            ~ in_words('children_2024_01', 0) ~ " || '. Children deleted before any reading are unseen.'",
        missing='No new derivative of known base is held for February 2026.') }}
    union all
{% endfor %}
{{ claim('C28', 'llama_peak_share', month='llama_peak_on',
    settings=derivatives_settings(),
    note="'The highest month of 2024, by family.'",
    missing='No new derivative of known base is held for 2024.') }}
union all
{{ claim('C29', 'llama_2025_08', month=on_day('2025-08-01'),
    comparable='children_2025_08 >= ' ~ least_children,
    contradicted='qwen_2025_08 <= 0.40',
    settings=derivatives_settings(),
    note="'August 2025, of ' || " ~ in_words('children_2025_08', 0)
        ~ " || ' children: Llama; Qwen ' || " ~ in_percent('qwen_2025_08') ~ " || '.'",
    missing='No new derivative of known base is held for August 2025.') }}
union all
{{ claim('C30', 'best_lag',
    settings=derivatives_settings(),
    note="'Qwen: months by which the share of downloads follows that of"
        " derivatives where the two correlate most (' || " ~ in_words('best_lag_fit', 3)
        ~ " || '; without a lag ' || " ~ in_words('no_lag_fit', 3) ~ " || '), of lags from -6 to 6.'",
    missing='Fewer than 12 months have both shares of Qwen.') }}
