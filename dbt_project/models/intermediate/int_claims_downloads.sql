-- Claims on cumulative and monthly downloads by region, organization and family (C01-C17, C36-C38),
-- and on the tracked set (C48).

{% set levels = {
    'china_2025_03': ('downloads_cumulative_by_region', 'china', '2025-03-01'),
    'us_2025_03': ('downloads_cumulative_by_region', 'us', '2025-03-01'),
    'eu_2025_03': ('downloads_cumulative_by_region', 'eu', '2025-03-01'),
    'china_2025_07': ('downloads_cumulative_by_region', 'china', '2025-07-01'),
    'us_2025_07': ('downloads_cumulative_by_region', 'us', '2025-07-01'),
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
    'qwen_family_2025_08': ('downloads_cumulative_by_family', 'Qwen', '2025-08-01'),
    'llama_2025_08': ('downloads_cumulative_by_family', 'Llama', '2025-08-01'),
    'qwen_family_2025_09': ('downloads_cumulative_by_family', 'Qwen', '2025-09-01'),
    'llama_2025_09': ('downloads_cumulative_by_family', 'Llama', '2025-09-01'),
    'gpt_oss_2026_03': ('downloads_cumulative_by_family', 'GPT-OSS', '2026-03-01'),
    'mistral_2026_03': ('downloads_cumulative_by_family', 'Mistral', '2026-03-01'),
    'gpt_oss_2026_05': ('downloads_cumulative_by_family', 'GPT-OSS', '2026-05-01'),
    'mistral_2026_05': ('downloads_cumulative_by_family', 'Mistral', '2026-05-01'),
} %}
{% set crossings = {
    'china_over_us': ('downloads_cumulative_by_region', 'china', 'us'),
    'qwen_over_llama': ('downloads_cumulative_by_family', 'Qwen', 'Llama'),
    'gpt_oss_over_mistral': ('downloads_cumulative_by_family', 'GPT-OSS', 'Mistral'),
    'gpt_oss_over_mistral_monthly': ('downloads_by_family', 'GPT-OSS', 'Mistral'),
} %}

with monthly as (

    select * from {{ ref('int_monthly_values') }}

),

crossovers as (

    select * from {{ ref('crossovers') }}

),

models as (

    select * from {{ ref('models') }}

),

levels as (

    select
        {% for name, (metric, key_value, month) in levels.items() %}
            {{ monthly_value(metric, key_value, month) }} as {{ name }},
            {{ monthly_value(metric, key_value, month, 'coverage') }} as {{ name }}_coverage,
        {% endfor %}
        count(*) as values_known
    from monthly

),

first_crossings as (

    select
        {% for name, (metric, leader, trailer) in crossings.items() %}
            max(
                case
                    when
                        metric = '{{ metric }}'
                        and leader = '{{ leader }}'
                        and trailer = '{{ trailer }}'
                        then month
                end
            ) as {{ name }}_on,
            max(
                case
                    when
                        metric = '{{ metric }}'
                        and leader = '{{ leader }}'
                        and trailer = '{{ trailer }}'
                        then coverage
                end
            ) as {{ name }}_coverage,
        {% endfor %}
        count(*) as crossings_known
    from crossovers
    where occurrence = 1

),

-- the coverage that stands for sums over organizations: the worst of the three regions'
region_coverage as (

    select
        min(case when month = {{ on_day('2025-12-01') }} then coverage end) as coverage_2025_12,
        min(case when month = {{ on_day('2026-02-01') }} then coverage end) as coverage_2026_02
    from monthly
    where
        metric = 'downloads_by_region'
        and key_value in ('us', 'china', 'eu')

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
        sum(
            case
                when
                    organization = 'NVIDIA'
                    and month between {{ on_day('2025-08-01') }} and {{ on_day('2026-03-01') }}
                    then downloads
            end
        ) as nvidia_window,
        count(
            case
                when
                    organization = 'NVIDIA'
                    and month between {{ on_day('2025-08-01') }} and {{ on_day('2026-03-01') }}
                    then downloads
            end
        ) as nvidia_months,
        min(
            case
                when
                    organization = 'NVIDIA'
                    and month between {{ on_day('2025-08-01') }} and {{ on_day('2026-03-01') }}
                    then coverage
            end
        ) as nvidia_coverage
    from of_organizations

),

-- who leads in which era
region_ratios as (

    select
        china.month,
        china.value / nullif(us.value, 0) as china_to_us,
        case when china.coverage <= us.coverage then china.coverage else us.coverage end as coverage
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
                when month between {{ on_day('2025-09-01') }} and {{ on_day('2025-12-01') }}
                    then coverage
            end
        ) as coverage_late_2025,
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

tracked as (

    select count(*) as tracked_models
    from models
    where tracked_list = 'core'

),

measures as (

    select
        levels.*,
        first_crossings.*,
        region_coverage.*,
        organization_sums.*,
        eras.*,
        tracked.tracked_models,
        least(
            levels.china_2026_03_coverage, levels.us_2026_03_coverage, levels.eu_2026_03_coverage
        ) as three_2026_03_coverage,
        least(
            levels.china_2025_03_coverage, levels.us_2025_03_coverage, levels.eu_2025_03_coverage
        ) as three_2025_03_coverage,
        levels.china_2026_03 + levels.us_2026_03 + levels.eu_2026_03 as three_2026_03,
        levels.china_2025_03 + levels.us_2025_03 + levels.eu_2025_03 as three_2025_03,
        case
            when abs(levels.china_2025_08 - 300e6) >= abs(levels.us_2025_08 - 300e6)
                then levels.china_2025_08
            else levels.us_2025_08
        end as farther_2025_08
    from levels
    cross join first_crossings
    cross join region_coverage
    cross join organization_sums
    cross join eras
    cross join tracked

)

{{ claim('C01', yyyymm('china_over_us_on'), month='china_over_us_on',
    coverage='china_over_us_coverage',
    contradicted='china_over_us_on is null and china_2025_07 is not null and us_2025_07 is not null'
        ' and china_2025_08 is not null and us_2025_08 is not null',
    settings=downloads_settings(),
    note="'First month of crossovers.'",
    missing='China does not pass the United States in any month in which both totals are known.') }}
union all
{{ claim('C02', 'china_2026_03', month=on_day('2026-03-01'), coverage='china_2026_03_coverage',
    settings=downloads_settings(),
    note="'End of March 2026.'",
    missing='No total of China is known for the end of March 2026.') }}
union all
{{ claim('C03', 'us_2026_03', month=on_day('2026-03-01'), coverage='us_2026_03_coverage',
    settings=downloads_settings(),
    note="'End of March 2026; of it T5Gemma, which is Google: '
        || " ~ in_millions('t5gemma_2026_03') ~ " || '.'",
    missing='No total of the United States is known for the end of March 2026.') }}
union all
{{ claim('C04', 'eu_2026_03', month=on_day('2026-03-01'), coverage='eu_2026_03_coverage',
    settings=downloads_settings(),
    note="'End of March 2026; regions as the registry has them.'",
    missing='No total of Europe is known for the end of March 2026.') }}
union all
{{ claim('C05', 'three_2026_03', month=on_day('2026-03-01'), coverage='three_2026_03_coverage',
    settings=downloads_settings(),
    note="'End of March 2026, three regions; with other '
        || " ~ in_millions('(three_2026_03 + other_2026_03)') ~ " || '.'",
    missing='The total of a region is not known for the end of March 2026.') }}
union all
{{ claim('C06', 'china_2026_03 / nullif(china_2025_03, 0)', month=on_day('2026-03-01'),
    coverage='least(china_2026_03_coverage, china_2025_03_coverage)',
    settings=downloads_settings(),
    note="'From ' || " ~ in_millions('china_2025_03') ~ " || ' to '
        || " ~ in_millions('china_2026_03') ~ " || '.'",
    missing='A total of China is not known for the end of March 2025 or 2026.') }}
union all
{{ claim('C07', 'three_2026_03 / nullif(three_2025_03, 0)', month=on_day('2026-03-01'),
    coverage='least(three_2026_03_coverage, three_2025_03_coverage)',
    settings=downloads_settings(),
    note="'Three regions, from ' || " ~ in_millions('three_2025_03')
        ~ " || ' to ' || " ~ in_millions('three_2026_03') ~ " || '.'",
    missing='The total of a region is not known for the end of March 2025 or 2026.') }}
union all
{{ claim('C08', 'farther_2025_08', month=on_day('2025-08-01'),
    coverage='least(china_2025_08_coverage, us_2025_08_coverage, eu_2025_08_coverage)',
    contradicted='abs(eu_2025_08 - 100e6) > 50e6',
    settings=downloads_settings(),
    note="'End of August 2025, the one farther from the figure: China '
        || " ~ in_millions('china_2025_08') ~ " || ', United States ' || "
        ~ in_millions('us_2025_08') ~ " || ', Europe ' || " ~ in_millions('eu_2025_08') ~ " || '.'",
    missing='The total of a region is not known for the end of August 2025.') }}
union all
{{ claim('C09', yyyymm('qwen_over_llama_on'), month='qwen_over_llama_on',
    coverage='qwen_over_llama_coverage',
    contradicted='qwen_over_llama_on is null and qwen_family_2025_08 is not null'
        ' and llama_2025_08 is not null and qwen_family_2025_09 is not null'
        ' and llama_2025_09 is not null',
    settings=downloads_settings(),
    note="'First month of crossovers, by family.'",
    missing='Qwen does not pass Llama in any month in which both totals are known.') }}
union all
{{ claim('C10', 'qwen_2026_03', month=on_day('2026-03-01'), coverage='qwen_2026_03_coverage',
    settings=downloads_settings(),
    note="'End of March 2026, organization Qwen.'",
    missing='No total of Qwen is known for the end of March 2026.') }}
union all
{{ claim('C11', 'llama_2026_03', month=on_day('2026-03-01'), coverage='llama_2026_03_coverage',
    settings=downloads_settings(),
    note="'End of March 2026, family Llama; the organization Meta '
        || " ~ in_millions('meta_2026_03') ~ " || '.'",
    missing='No total of Llama is known for the end of March 2026.') }}
union all
{{ claim('C12', 'qwen_2025_09', month=on_day('2025-09-01'), coverage='qwen_2025_09_coverage',
    settings=downloads_settings(),
    note="'End of September 2025, organization Qwen.'",
    missing='No total of Qwen is known for the end of September 2025.') }}
union all
{{ claim('C13', 'ai2_2026_03', month=on_day('2026-03-01'), coverage='ai2_2026_03_coverage',
    settings=downloads_settings(),
    note="'End of March 2026, organization Ai2; the family OLMo alone '
        || " ~ in_millions('olmo_2026_03') ~ " || '.'",
    missing='No total of Ai2 is known for the end of March 2026.') }}
union all
{{ claim('C14', 'granite_2026_03', month=on_day('2026-03-01'), coverage='granite_2026_03_coverage',
    settings=downloads_settings(),
    note="'End of March 2026, family Granite; the organization IBM '
        || " ~ in_millions('ibm_2026_03') ~ " || '.'",
    missing='No total of Granite is known for the end of March 2026.') }}
union all
{{ claim('C15', 'case when nvidia_months = 8 then nvidia_window end', month=on_day('2026-03-01'),
    coverage='nvidia_coverage',
    settings=downloads_settings(),
    note="'Sum of the calendar months August 2025 to March 2026.'",
    missing='NVIDIA is not measured in every month from August 2025 to March 2026.') }}
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
    month=on_day('2025-12-01'), coverage='coverage_late_2025',
    contradicted='most_2024 >= 1',
    settings=downloads_settings(),
    note="'China by the United States, its least from September to"
        " December 2025; of 2024, ' || " ~ in_words('months_2024', 0) ~ " || ' months are known.'",
    missing='The totals are not known in every month from September to December 2025.') }}
union all
{{ claim('C38', yyyymm('gpt_oss_over_mistral_on'), month='gpt_oss_over_mistral_on',
    coverage='gpt_oss_over_mistral_coverage',
    contradicted='gpt_oss_over_mistral_on is null and gpt_oss_2026_03 is not null'
        ' and mistral_2026_03 is not null and gpt_oss_2026_05 is not null'
        ' and mistral_2026_05 is not null',
    settings=downloads_settings(),
    note="'Cumulative, by family; in monthly downloads first '
        || coalesce(cast(" ~ yyyymm('gpt_oss_over_mistral_monthly_on') ~ " as "
        ~ dbt.type_string() ~ "), 'in no month') || '.'",
    missing='GPT-OSS does not pass Mistral in any month in which both totals are known.') }}
union all
{{ claim('C48', 'tracked_models', note="''",
    settings="'Models on the charted list of the newest registry held. '"
        " || 'The report goes with one of February or March 2026 (1 481 and 1 617 rows).'",
    missing='No registry is held.') }}
