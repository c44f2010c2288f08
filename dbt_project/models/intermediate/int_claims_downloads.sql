-- Claims on cumulative and monthly downloads by region, organization and family (C01-C17, C36-C38).

{% set levels = {
    'china_2025_03': ('downloads_cumulative_by_region', 'china', '2025-03-01'),
    'us_2025_03': ('downloads_cumulative_by_region', 'us', '2025-03-01'),
    'eu_2025_03': ('downloads_cumulative_by_region', 'eu', '2025-03-01'),
    'china_2025_08': ('downloads_cumulative_by_region', 'china', '2025-08-01'),
    'us_2025_08': ('downloads_cumulative_by_region', 'us', '2025-08-01'),
    'eu_2025_08': ('downloads_cumulative_by_region', 'eu', '2025-08-01'),
    'china_2026_03': ('downloads_cumulative_by_region', 'china', '2026-03-01'),
    'us_2026_03': ('downloads_cumulative_by_region', 'us', '2026-03-01'),
    'eu_2026_03': ('downloads_cumulative_by_region', 'eu', '2026-03-01'),
    'other_2026_03': ('downloads_cumulative_by_region', 'other', '2026-03-01'),
    'eu_2024_04': ('downloads_cumulative_by_region', 'eu', '2024-04-01'),
    'us_2024_04': ('downloads_cumulative_by_region', 'us', '2024-04-01'),
    'qwen_2025_09': ('downloads_cumulative_by_organization', 'Qwen', '2025-09-01'),
    'qwen_2026_03': ('downloads_cumulative_by_organization', 'Qwen', '2026-03-01'),
    'meta_2026_03': ('downloads_cumulative_by_organization', 'Meta', '2026-03-01'),
    'ai2_2026_03': ('downloads_cumulative_by_organization', 'Ai2', '2026-03-01'),
    'ibm_2026_03': ('downloads_cumulative_by_organization', 'IBM', '2026-03-01'),
    'olmo_2026_03': ('downloads_cumulative_by_family', 'OLMo', '2026-03-01'),
    'granite_2026_03': ('downloads_cumulative_by_family', 'Granite', '2026-03-01'),
    'llama_2026_03': ('downloads_cumulative_by_family', 'Llama', '2026-03-01'),
    't5gemma_2026_03': ('downloads_cumulative_by_family', 'T5Gemma', '2026-03-01'),
} %}
{#- the window in which NVIDIA is called the strongest new entrant -#}
{% set window_from, window_to = on_day('2025-08-01'), on_day('2026-03-01') %}
{#- what the monthly sums say beside the cumulative ones -#}
{% set gpt_oss_in_months -%}
    'In monthly downloads: ' || coalesce(
        'first in ' || cast({{ yyyymm('gpt_oss_over_mistral_monthly_on') }} as {{ dbt.type_string() }})
        || '.',
        gpt_oss_over_mistral_monthly_why_none
    )
{%- endset %}

with monthly as (

    select
        monthly_values.*,
        level_errors.expected_error
    from {{ ref('int_monthly_values') }} as monthly_values
    left join {{ ref('int_claims_level_errors') }} as level_errors
        on
            monthly_values.metric = level_errors.metric
            and monthly_values.month = level_errors.month
            and monthly_values.key_value = level_errors.key_value

),

crossings as (

    select * from {{ ref('int_claims_crossings') }}

),

entrants as (

    select * from {{ ref('new_entrants_monthly') }}

),

levels as (

    select
        {% for name, (metric, key_value, month) in levels.items() %}
            {{ monthly_value(metric, key_value, month) }} as {{ name }},
            {{ monthly_value(metric, key_value, month, 'coverage') }} as {{ name }}_coverage,
            {{ monthly_value(metric, key_value, month, 'expected_error') }} as {{ name }}_error,
        {% endfor %}
        count(*) as values_known
    from monthly

),

first_crossings as (

    select
        {% for pair in [
            'china_over_us', 'qwen_over_llama', 'gpt_oss_over_mistral', 'gpt_oss_over_mistral_monthly'
        ] %}
            max(case when pair = '{{ pair }}' then crossed_on end) as {{ pair }}_on,
            max(case when pair = '{{ pair }}' then coverage end) as {{ pair }}_coverage,
            max(case when pair = '{{ pair }}' and is_contradicted then 1 else 0 end) = 1
                as {{ pair }}_contradicted,
            max(case when pair = '{{ pair }}' then why_none end) as {{ pair }}_why_none,
        {% endfor %}
        count(*) as pairs_asked
    from crossings

),

of_organizations as (

    select
        month,
        key_value as organization,
        value as downloads,
        coverage,
        row_number() over (
            partition by month
            order by case when key_value = 'Qwen' then 1 else 0 end asc, value desc, key_value asc
        ) as place_without_qwen
    from monthly
    where metric = 'downloads_by_organization'

),

organization_sums as (

    select
        max(
            case
                when month = {{ on_day('2026-02-01') }} and organization = 'Qwen' then downloads
            end
        ) as qwen_2026_02,
        sum(
            case
                when
                    month = {{ on_day('2026-02-01') }}
                    and organization <> 'Qwen'
                    and place_without_qwen <= 8
                    then downloads
            end
        ) as next_eight_2026_02,
        max(
            case
                when month = {{ on_day('2025-12-01') }} and organization = 'Qwen' then downloads
            end
        ) as qwen_2025_12,
        sum(
            case
                when month = {{ on_day('2025-12-01') }} and organization <> 'Qwen' then downloads
            end
        ) as others_2025_12,
        min(
            case
                when
                    month = {{ on_day('2026-02-01') }}
                    and (organization = 'Qwen' or place_without_qwen <= 8)
                    then coalesce(coverage, 0)
            end
        ) as coverage_2026_02,
        -- of a sum over all organizations, what they have by what they should have
        sum(case when month = {{ on_day('2025-12-01') }} then downloads end)
        / nullif(
            sum(
                case
                    when month = {{ on_day('2025-12-01') }} then downloads / nullif(coverage, 0)
                end
            ),
            0
        ) as coverage_2025_12
    from of_organizations

),

-- the strongest of the United States that came up in the window, NVIDIA apart
us_entrants as (

    select
        organization,
        downloads_since,
        is_entrant,
        coverage_since,
        row_number() over (
            order by
                case when organization = 'NVIDIA' then 1 else 0 end asc,
                case when is_entrant then 0 else 1 end asc,
                downloads_since desc,
                organization asc
        ) as place_without_nvidia
    from entrants
    where
        region = 'us'
        and since = {{ window_from }}
        and month = {{ window_to }}
        and downloads_since is not null

),

entrant_ranks as (

    select
        max(case when organization = 'NVIDIA' then downloads_since end) as nvidia_window,
        max(case when organization = 'NVIDIA' then coverage_since end) as nvidia_coverage,
        max(case when organization = 'NVIDIA' and is_entrant then 1 else 0 end) = 1
            as is_nvidia_entrant,
        max(case when organization = 'NVIDIA' and not is_entrant then 1 else 0 end) = 1
            as is_nvidia_established,
        max(case when place_without_nvidia = 1 and is_entrant then organization end)
            as rival,
        max(case when place_without_nvidia = 1 and is_entrant then downloads_since end)
            as rival_window,
        -- of these nobody knows whether they came up or were there
        max(case when organization <> 'NVIDIA' and is_entrant is null then downloads_since end)
            as undecided_window
    from us_entrants

),

-- who leads in which era
region_ratios as (

    select
        china.month,
        china.value / nullif(us.value, 0) as china_to_us,
        {{ least_if_all_known(['china.coverage', 'us.coverage']) }} as coverage
    from monthly as china
    inner join monthly as us
        on
            china.metric = us.metric
            and china.month = us.month
            and us.key_value = 'us'
    where
        china.metric = 'downloads_cumulative_by_region'
        and china.key_value = 'china'

),

eras as (

    select
        min(
            case
                when month between {{ on_day('2025-09-01') }} and {{ on_day('2025-12-01') }}
                    then china_to_us
            end
        ) as least_late_2025,
        count(
            case
                when month between {{ on_day('2025-09-01') }} and {{ on_day('2025-12-01') }}
                    then china_to_us
            end
        ) as months_late_2025,
        min(
            case
                when
                    month between {{ on_day('2024-01-01') }} and {{ on_day('2024-12-01') }}
                    or month between {{ on_day('2025-09-01') }} and {{ on_day('2025-12-01') }}
                    then coalesce(coverage, 0)
            end
        ) as coverage_of_eras,
        max(
            case
                when month between {{ on_day('2024-01-01') }} and {{ on_day('2024-12-01') }}
                    then china_to_us
            end
        ) as most_2024,
        count(
            case
                when month between {{ on_day('2024-01-01') }} and {{ on_day('2024-12-01') }}
                    then china_to_us
            end
        ) as months_2024
    from region_ratios

),

measures as (

    select
        levels.*,
        first_crossings.*,
        organization_sums.*,
        entrant_ranks.*,
        eras.*,
        {% for month in ['2025_03', '2025_08', '2026_03'] %}
            {{ least_if_all_known([
                'levels.china_' ~ month ~ '_coverage',
                'levels.us_' ~ month ~ '_coverage',
                'levels.eu_' ~ month ~ '_coverage',
            ]) }} as three_{{ month }}_coverage,
        {% endfor %}
        {% for month in ['2025_03', '2026_03'] %}
            (
                levels.china_{{ month }} * levels.china_{{ month }}_error
                + levels.us_{{ month }} * levels.us_{{ month }}_error
                + levels.eu_{{ month }} * levels.eu_{{ month }}_error
            )
            / nullif(levels.china_{{ month }} + levels.us_{{ month }} + levels.eu_{{ month }}, 0)
                as three_{{ month }}_error,
        {% endfor %}
        levels.china_2026_03 + levels.us_2026_03 + levels.eu_2026_03 as three_2026_03,
        levels.china_2025_03 + levels.us_2025_03 + levels.eu_2025_03 as three_2025_03,
        case
            when abs(levels.china_2025_08 - 300e6) >= abs(levels.us_2025_08 - 300e6)
                then levels.china_2025_08
            else levels.us_2025_08
        end as farther_2025_08
    from levels
    cross join first_crossings
    cross join organization_sums
    cross join entrant_ranks
    cross join eras

)

{{ claim('C01', yyyymm('china_over_us_on'), month='china_over_us_on',
    coverage='china_over_us_coverage',
    comparable='china_over_us_on is not null or china_over_us_contradicted',
    contradicted='china_over_us_contradicted',
    settings=downloads_settings(),
    note="'First month of two neighbouring ones with both totals covered.'",
    missing_note='china_over_us_why_none') }}
union all
{{ claim('C02', 'china_2026_03', month=on_day('2026-03-01'), coverage='china_2026_03_coverage',
    error='china_2026_03_error',
    settings=downloads_settings(),
    note="'End of March 2026.'",
    missing='No total of China is known for the end of March 2026.') }}
union all
{{ claim('C03', 'us_2026_03', month=on_day('2026-03-01'), coverage='us_2026_03_coverage',
    error='us_2026_03_error',
    settings=downloads_settings(),
    note="'End of March 2026; of it T5Gemma, which is Google: '
        || " ~ in_millions('t5gemma_2026_03') ~ " || '.'",
    missing='No total of the United States is known for the end of March 2026.') }}
union all
{{ claim('C04', 'eu_2026_03', month=on_day('2026-03-01'), coverage='eu_2026_03_coverage',
    error='eu_2026_03_error',
    settings=downloads_settings(),
    note="'End of March 2026; regions as the registry has them.'",
    missing='No total of Europe is known for the end of March 2026.') }}
union all
{{ claim('C05', 'three_2026_03', month=on_day('2026-03-01'), coverage='three_2026_03_coverage',
    error='three_2026_03_error',
    settings=downloads_settings(),
    note="'End of March 2026, three regions; with other '
        || " ~ in_millions('(three_2026_03 + other_2026_03)') ~ " || '.'",
    missing='The total of a region is not known for the end of March 2026.') }}
union all
{{ claim('C06', 'china_2026_03 / nullif(china_2025_03, 0)', month=on_day('2026-03-01'),
    coverage=least_if_all_known(['china_2026_03_coverage', 'china_2025_03_coverage']),
    error='china_2026_03_error + china_2025_03_error',
    settings=downloads_settings(),
    note="'From ' || " ~ in_millions('china_2025_03') ~ " || ' to '
        || " ~ in_millions('china_2026_03') ~ " || '.'",
    missing='A total of China is not known for the end of March 2025 or 2026.') }}
union all
{{ claim('C07', 'three_2026_03 / nullif(three_2025_03, 0)', month=on_day('2026-03-01'),
    coverage=least_if_all_known(['three_2026_03_coverage', 'three_2025_03_coverage']),
    error='three_2026_03_error + three_2025_03_error',
    settings=downloads_settings(),
    note="'Three regions, from ' || " ~ in_millions('three_2025_03')
        ~ " || ' to ' || " ~ in_millions('three_2026_03') ~ " || '.'",
    missing='The total of a region is not known for the end of March 2025 or 2026.') }}
union all
{{ claim('C08', 'farther_2025_08', month=on_day('2025-08-01'),
    coverage='three_2025_08_coverage',
    error='greatest(china_2025_08_error, us_2025_08_error)',
    contradicted='abs(eu_2025_08 - 100e6) > 50e6',
    settings=downloads_settings(),
    note="'End of August 2025, the one farther from the figure: China '
        || " ~ in_millions('china_2025_08') ~ " || ', United States ' || "
        ~ in_millions('us_2025_08') ~ " || ', Europe ' || " ~ in_millions('eu_2025_08') ~ " || '.'",
    missing='The total of a region is not known for the end of August 2025.') }}
union all
{{ claim('C09', yyyymm('qwen_over_llama_on'), month='qwen_over_llama_on',
    coverage='qwen_over_llama_coverage',
    comparable='qwen_over_llama_on is not null or qwen_over_llama_contradicted',
    contradicted='qwen_over_llama_contradicted',
    settings=downloads_settings(),
    note="'First month of two neighbouring ones with both totals covered, by family.'",
    missing_note='qwen_over_llama_why_none') }}
union all
{{ claim('C10', 'qwen_2026_03', month=on_day('2026-03-01'), coverage='qwen_2026_03_coverage',
    error='qwen_2026_03_error',
    settings=downloads_settings(),
    note="'End of March 2026, organization Qwen.'",
    missing='No total of Qwen is known for the end of March 2026.') }}
union all
{{ claim('C11', 'llama_2026_03', month=on_day('2026-03-01'), coverage='llama_2026_03_coverage',
    error='llama_2026_03_error',
    settings=downloads_settings(),
    note="'End of March 2026, family Llama; the organization Meta '
        || " ~ in_millions('meta_2026_03') ~ " || '.'",
    missing='No total of Llama is known for the end of March 2026.') }}
union all
{{ claim('C12', 'qwen_2025_09', month=on_day('2025-09-01'), coverage='qwen_2025_09_coverage',
    error='qwen_2025_09_error',
    settings=downloads_settings(),
    note="'End of September 2025, organization Qwen.'",
    missing='No total of Qwen is known for the end of September 2025.') }}
union all
{{ claim('C13', 'ai2_2026_03', month=on_day('2026-03-01'), coverage='ai2_2026_03_coverage',
    error='ai2_2026_03_error',
    settings=downloads_settings(),
    note="'End of March 2026, organization Ai2; the family OLMo alone '
        || " ~ in_millions('olmo_2026_03') ~ " || '.'",
    missing='No total of Ai2 is known for the end of March 2026.') }}
union all
{{ claim('C14', 'granite_2026_03', month=on_day('2026-03-01'), coverage='granite_2026_03_coverage',
    error='granite_2026_03_error',
    settings=downloads_settings(),
    note="'End of March 2026, family Granite; the organization IBM '
        || " ~ in_millions('ibm_2026_03') ~ " || '.'",
    missing='No total of Granite is known for the end of March 2026.') }}
union all
{{ claim('C15', 'nvidia_window', month=window_to, coverage='nvidia_coverage',
    comparable='is_nvidia_established or rival_window > nvidia_window'
        ' or (is_nvidia_entrant and coalesce(undecided_window, 0) <= nvidia_window)',
    contradicted='is_nvidia_established or rival_window > nvidia_window',
    settings=downloads_settings(),
    note="'Sum of the calendar months August 2025 to March 2026; the strongest other new entrant of"
        " the United States, by fewer than " ~ var('entrant_max_downloads_before')
        ~ " downloads before, is ' || coalesce(rival || ' with ' || "
        ~ in_millions('rival_window') ~ ", 'not known') || '. The report does not say whom it calls new.'",
    missing='NVIDIA is not measured in the months from August 2025 to March 2026.') }}
union all
{{ claim('C16', 'qwen_2026_02 / nullif(next_eight_2026_02, 0)', month=on_day('2026-02-01'),
    coverage='coverage_2026_02',
    settings=downloads_settings(),
    note="'February 2026: Qwen ' || " ~ in_millions('qwen_2026_02')
        ~ " || ', the next eight organizations ' || " ~ in_millions('next_eight_2026_02') ~ " || '.'",
    missing='Qwen or the other organizations are not measured in February 2026.') }}
union all
{{ claim('C17', 'qwen_2025_12 / nullif(others_2025_12, 0)', month=on_day('2025-12-01'),
    coverage='coverage_2025_12',
    settings=downloads_settings(),
    note="'December 2025: Qwen ' || " ~ in_millions('qwen_2025_12')
        ~ " || ', all other organizations ' || " ~ in_millions('others_2025_12') ~ " || '.'",
    missing='Qwen or the other organizations are not measured in December 2025.') }}
union all
{{ claim('C36', 'eu_2024_04 / nullif(us_2024_04, 0)', month=on_day('2024-04-01'),
    settings=downloads_settings(),
    note="'End of April 2024, Europe by the United States. Older than"
        " the public counts: shown where a world has them, not judged.'",
    missing='The claim is older than the public counts.') }}
union all
{{ claim('C37', 'case when months_late_2025 = 4 then least_late_2025 end',
    month=on_day('2025-12-01'), coverage='coverage_of_eras',
    comparable='months_2024 = 12', contradicted='most_2024 >= 1',
    settings=downloads_settings(),
    note="'China by the United States, its least from September to"
        " December 2025; of 2024, ' || " ~ in_words('months_2024', 0) ~ " || ' of 12 months are known, the most of them ' || " ~ in_words('most_2024') ~ " || '.'",
    missing='The totals are not known in every month from September to December 2025.') }}
union all
{{ claim('C38', yyyymm('gpt_oss_over_mistral_on'), month='gpt_oss_over_mistral_on',
    coverage='gpt_oss_over_mistral_coverage',
    comparable='gpt_oss_over_mistral_on is not null or gpt_oss_over_mistral_contradicted',
    contradicted='gpt_oss_over_mistral_contradicted',
    settings=downloads_settings(),
    note="'Cumulative, by family. ' || " ~ gpt_oss_in_months,
    missing_note="gpt_oss_over_mistral_why_none || ' ' || " ~ gpt_oss_in_months) }}
