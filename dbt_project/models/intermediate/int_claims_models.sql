-- Claims on the downloads of single models and of size classes (C18-C23).

{% set small_qwen = [
    'Qwen/Qwen3-0.6B', 'Qwen/Qwen3-1.7B', 'Qwen/Qwen3-4B', 'Qwen/Qwen3-8B', 'Qwen/Qwen3-4B-Instruct-2507'
] %}
{% set six_labs = ['OpenAI', 'Mistral AI', 'NVIDIA', 'Z.ai', 'Moonshot AI', 'MiniMax'] %}
{% set large_deepseek = [
    'deepseek-ai/DeepSeek-V3', 'deepseek-ai/DeepSeek-V3-0324', 'deepseek-ai/DeepSeek-R1',
    'deepseek-ai/DeepSeek-R1-0528'
] %}

with monthly as (

    select * from {{ ref('int_monthly_values') }}

),

sizes as (

    select * from {{ ref('downloads_by_size_monthly') }}

),

models as (

    select * from {{ ref('models') }}

),

model_months as (

    select
        months.model_id,
        months.month,
        months.downloads,
        months.downloads_cumulative,
        models.organization,
        models.family,
        models.size_bucket,
        models.total_params_b
    from {{ ref('downloads_by_model_monthly') }} as months
    inner join models
        on months.model_id = models.model_id
    where
        months.month in (
            {{ on_day('2025-12-01') }}, {{ on_day('2026-02-01') }}, {{ on_day('2026-03-01') }}
        )

),

coverages as (

    select
        min(
            case when month = {{ on_day('2025-12-01') }} and metric = 'downloads_by_region' then coverage end
        ) as coverage_2025_12,
        min(
            case when month = {{ on_day('2026-02-01') }} and metric = 'downloads_by_region' then coverage end
        ) as coverage_2026_02,
        min(
            case
                when month = {{ on_day('2025-12-01') }} and metric = 'downloads_cumulative_by_region'
                    then coverage
            end
        ) as coverage_cumulative_2025_12
    from monthly
    where key_value in ('us', 'china', 'eu')

),

lab_months as (

    select
        {% for name, month in [('2025_12', '2025-12-01'), ('2026_02', '2026-02-01')] %}
            sum(
                case
                    when month = {{ on_day(month) }} and key_value in ('{{ six_labs | join("', '") }}')
                        then value
                end
            ) as six_labs_{{ name }},
            count(
                case
                    when month = {{ on_day(month) }} and key_value in ('{{ six_labs | join("', '") }}')
                        then value
                end
            ) as labs_measured_{{ name }},
        {% endfor %}
        max(
            case when month = {{ on_day('2025-12-01') }} and key_value = 'DeepSeek' then value end
        ) as deepseek_2025_12,
        max(
            case when month = {{ on_day('2025-12-01') }} and key_value = 'Mistral AI' then value end
        ) as mistral_2025_12
    from monthly
    where metric = 'downloads_by_organization'

),

model_sums as (

    select
        {% for name, month in [('2025_12', '2025-12-01'), ('2026_02', '2026-02-01')] %}
            sum(
                case
                    when month = {{ on_day(month) }} and model_id in ('{{ small_qwen | join("', '") }}')
                        then downloads
                end
            ) as small_qwen_{{ name }},
            count(
                case
                    when month = {{ on_day(month) }} and model_id in ('{{ small_qwen | join("', '") }}')
                        then downloads
                end
            ) as small_qwen_measured_{{ name }},
        {% endfor %}
        sum(
            case when month = {{ on_day('2025-12-01') }} and family = 'GPT-OSS' then downloads end
        ) as gpt_oss_2025_12,
        min(
            case
                when
                    month = {{ on_day('2025-12-01') }}
                    and model_id in ('{{ large_deepseek | join("', '") }}')
                    then downloads_cumulative
            end
        ) as least_deepseek,
        count(
            case
                when
                    month = {{ on_day('2025-12-01') }}
                    and model_id in ('{{ large_deepseek | join("', '") }}')
                    then downloads_cumulative
            end
        ) as deepseek_measured,
        max(
            case
                when
                    month = {{ on_day('2025-12-01') }}
                    and organization = 'Qwen'
                    and total_params_b >= 100
                    then downloads_cumulative
            end
        ) as most_large_qwen,
        {% for name, month, column in [
            ('monthly', '2026-02-01', 'downloads'), ('cumulative', '2026-03-01', 'downloads_cumulative')
        ] %}
            cast(sum(
                case
                    when
                        month = {{ on_day(month) }}
                        and size_bucket = '250B+'
                        and organization = 'DeepSeek'
                        then {{ column }}
                end
            ) as double)
            / nullif(sum(
                case
                    when month = {{ on_day(month) }} and size_bucket = '250B+' then {{ column }}
                end
            ), 0) as deepseek_of_largest_{{ name }}{{ "," if not loop.last }}
        {% endfor %}
    from model_months

),

classed as (

    select
        case when total_params_b >= 100 then 'large' else 'small' end as size_class,
        downloads_cumulative,
        row_number() over (
            partition by case when total_params_b >= 100 then 'large' else 'small' end
            order by downloads_cumulative desc, model_id asc
        ) as nth
    from model_months
    where
        month = {{ on_day('2025-12-01') }}
        and downloads_cumulative is not null
        and ((total_params_b >= 1 and total_params_b < 10) or total_params_b >= 100)

),

class_medians as (

    select
        size_class,
        {{ quantile('downloads_cumulative', 0.5) }} as median_of_top,
        count(*) as members
    from classed
    where nth <= 10
    group by size_class

),

medians as (

    select
        max(case when size_class = 'small' and members = 10 then median_of_top end) as small_median,
        max(case when size_class = 'large' and members = 10 then median_of_top end) as large_median
    from class_medians

),

size_shares as (

    select
        sum(case when size_bucket in ('1-5B', '5-10B') then share_cumulative end) as small_share,
        sum(case when size_bucket in ('1-5B', '5-10B') then downloads_cumulative end) as small_level,
        sum(downloads_cumulative) as all_level
    from sizes
    where month = {{ on_day('2025-12-01') }}

),

measures as (

    select
        coverages.*,
        lab_months.*,
        model_sums.*,
        medians.*,
        size_shares.*,
        case
            when
                abs(model_sums.gpt_oss_2025_12 / nullif(lab_months.deepseek_2025_12, 0) - 1)
                >= abs(model_sums.gpt_oss_2025_12 / nullif(lab_months.mistral_2025_12, 0) - 1)
                then model_sums.gpt_oss_2025_12 / nullif(lab_months.deepseek_2025_12, 0)
            else model_sums.gpt_oss_2025_12 / nullif(lab_months.mistral_2025_12, 0)
        end as farther_from_gpt_oss
    from coverages
    cross join lab_months
    cross join model_sums
    cross join medians
    cross join size_shares

)

{{ claim('C18', 'case when small_qwen_measured_2025_12 = 5 and labs_measured_2025_12 = 6'
        ' then small_qwen_2025_12 / nullif(six_labs_2025_12, 0) end',
    month=on_day('2025-12-01'), coverage='coverage_2025_12',
    settings=downloads_settings(),
    note="'December 2025: five models ' || " ~ in_millions('small_qwen_2025_12')
        ~ " || ', six labs ' || " ~ in_millions('six_labs_2025_12')
        ~ " || '; February 2026: ' || " ~ in_millions('small_qwen_2026_02') ~ " || ' and ' || "
        ~ in_millions('six_labs_2026_02') ~ " || '.'",
    missing='One of the five models or six labs is not measured in December 2025.') }}
union all
{{ claim('C19', 'farther_from_gpt_oss', month=on_day('2025-12-01'), coverage='coverage_2025_12',
    settings=downloads_settings(),
    note="'December 2025, against the one that is farther: GPT-OSS ' || "
        ~ in_millions('gpt_oss_2025_12') ~ " || ', DeepSeek ' || " ~ in_millions('deepseek_2025_12')
        ~ " || ', Mistral AI ' || " ~ in_millions('mistral_2025_12') ~ " || '.'",
    missing='GPT-OSS, DeepSeek or Mistral AI is not measured in December 2025.') }}
union all
{{ claim('C20', 'small_share', month=on_day('2025-12-01'), coverage='coverage_cumulative_2025_12',
    settings=downloads_settings(),
    note="'End of December 2025, buckets 1-5B and 5-10B: ' || "
        ~ in_millions('small_level') ~ " || ' of ' || " ~ in_millions('all_level') ~ " || '.'",
    missing='No total by size is known for the end of December 2025.') }}
union all
{{ claim('C21', 'deepseek_of_largest_monthly', month=on_day('2026-02-01'), coverage='coverage_2026_02',
    settings=downloads_settings(),
    note="'Monthly downloads of February 2026, as the slides show elsewhere;"
        " cumulative at the end of March 2026 ' || " ~ in_percent('deepseek_of_largest_cumulative') ~ " || '.'",
    missing='No model of DeepSeek in the bucket 250B+ is measured in February 2026.') }}
union all
{{ claim('C22', 'case when deepseek_measured = 4 then cast(least_deepseek as double)'
        ' / nullif(most_large_qwen, 0) end',
    month=on_day('2025-12-01'), coverage='coverage_cumulative_2025_12',
    settings=downloads_settings(),
    note="'Cumulative at the end of December 2025: the least of the four ' || "
        ~ in_millions('least_deepseek') ~ " || ', the largest Qwen of 100B and more ' || "
        ~ in_millions('most_large_qwen') ~ " || '.'",
    missing='One of the four models, or every large Qwen, has no known total at the end of 2025.') }}
union all
{{ claim('C23', 'small_median / nullif(large_median, 0)', month=on_day('2025-12-01'),
    coverage='coverage_cumulative_2025_12',
    settings=downloads_settings(),
    note="'Cumulative at the end of December 2025: median of the ten most"
        " downloaded of 1 to below 10B ' || " ~ in_millions('small_median')
        ~ " || ', of 100B and more ' || " ~ in_millions('large_median') ~ " || '.'",
    missing='Fewer than ten models of a class have a known total at the end of 2025.') }}
