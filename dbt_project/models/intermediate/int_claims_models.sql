-- Claims on the downloads of single models and of size classes (C18-C23).

{% set small_qwen -%}
    'Qwen/Qwen3-0.6B', 'Qwen/Qwen3-1.7B', 'Qwen/Qwen3-4B', 'Qwen/Qwen3-8B',
    'Qwen/Qwen3-4B-Instruct-2507'
{%- endset %}
{% set large_deepseek -%}
    'deepseek-ai/DeepSeek-V3', 'deepseek-ai/DeepSeek-V3-0324', 'deepseek-ai/DeepSeek-R1',
    'deepseek-ai/DeepSeek-R1-0528'
{%- endset %}
{#- 1 to below 10, and 100 and more billion parameters -#}
{% set small_buckets = "'1-5B', '5-10B'" %}
{% set large_buckets = "'100-250B', '250B+'" %}
{#- C21: as claims_published has it -#}
{% set largest_share, share_tolerance = 0.47, 0.025 %}
{% set december = on_day('2025-12-01') %}
{% set february = on_day('2026-02-01') %}
{% set march = on_day('2026-03-01') %}

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
    where months.month in ({{ december }}, {{ february }}, {{ march }})

),

-- of the size classes whole, as every model of a class might be among its most downloaded
size_coverages as (

    select
        min(
            case
                when month = {{ december }} and size_bucket in ({{ small_buckets }}, {{ large_buckets }})
                    then coalesce(coverage_cumulative, 0)
            end
        ) as coverage_classes,
        min(
            case
                when month = {{ december }} and size_bucket in ({{ large_buckets }})
                    then coalesce(coverage_cumulative, 0)
            end
        ) as coverage_large,
        min(case when month = {{ december }} then coalesce(coverage_cumulative, 0) end)
            as coverage_all,
        min(
            case
                when size_bucket = '250B+' and month = {{ february }} then coalesce(coverage, 0)
                when size_bucket = '250B+' and month = {{ march }}
                    then coalesce(coverage_cumulative, 0)
            end
        ) as coverage_largest
    from sizes

),

six_labs as (

    select
        month,
        sum(value) as downloads,
        count(*) as labs,
        min(coalesce(coverage, 0)) as coverage
    from monthly
    where
        metric = 'downloads_by_organization'
        and key_value in ('OpenAI', 'Mistral AI', 'NVIDIA', 'Z.ai', 'Moonshot AI', 'MiniMax')
    group by month

),

lab_months as (

    select
        max(case when month = {{ december }} then downloads end) as six_labs_2025_12,
        max(case when month = {{ december }} then labs end) as labs_measured_2025_12,
        max(case when month = {{ december }} then coverage end) as coverage_six_labs,
        max(case when month = {{ february }} then downloads end) as six_labs_2026_02
    from six_labs

),

peers as (

    select
        max(case when key_value = 'DeepSeek' then value end) as deepseek_2025_12,
        max(case when key_value = 'Mistral AI' then value end) as mistral_2025_12,
        max(case when key_value = 'GPT-OSS' then value end) as gpt_oss_2025_12,
        min(coalesce(coverage, 0)) as coverage_peers
    from monthly
    where
        month = {{ december }}
        and (
            (metric = 'downloads_by_organization' and key_value in ('DeepSeek', 'Mistral AI'))
            or (metric = 'downloads_by_family' and key_value = 'GPT-OSS')
        )

),

small_qwen as (

    select
        month,
        sum(downloads) as downloads,
        count(downloads) as models
    from model_months
    where model_id in ({{ small_qwen }})
    group by month

),

small_qwen_months as (

    select
        max(case when month = {{ december }} then downloads end) as small_qwen_2025_12,
        max(case when month = {{ december }} then models end) as small_qwen_measured_2025_12,
        max(case when month = {{ february }} then downloads end) as small_qwen_2026_02
    from small_qwen

),

large_deepseek as (

    select
        min(downloads_cumulative) as least_deepseek,
        count(downloads_cumulative) as deepseek_measured
    from model_months
    where
        month = {{ december }}
        and model_id in ({{ large_deepseek }})

),

large_qwen as (

    select max(downloads_cumulative) as most_large_qwen
    from model_months
    where
        month = {{ december }}
        and organization = 'Qwen'
        and total_params_b >= 100

),

largest as (

    select
        month,
        cast(sum(case when organization = 'DeepSeek' then downloads end) as double)
        / nullif(sum(downloads), 0) as monthly_share,
        cast(sum(case when organization = 'DeepSeek' then downloads_cumulative end) as double)
        / nullif(sum(downloads_cumulative), 0) as cumulative_share
    from model_months
    where size_bucket = '250B+'
    group by month

),

largest_months as (

    select
        max(case when month = {{ february }} then monthly_share end) as deepseek_of_largest_monthly,
        max(case when month = {{ march }} then cumulative_share end)
            as deepseek_of_largest_cumulative
    from largest

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
        month = {{ december }}
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
        sum(case when size_bucket in ({{ small_buckets }}) then share_cumulative end) as small_share,
        sum(case when size_bucket in ({{ small_buckets }}) then downloads_cumulative end)
            as small_level,
        sum(downloads_cumulative) as all_level
    from sizes
    where month = {{ december }}

),

measures as (

    select
        size_coverages.*,
        lab_months.*,
        peers.*,
        small_qwen_months.*,
        large_deepseek.*,
        large_qwen.*,
        largest_months.*,
        medians.*,
        size_shares.*,
        peers.gpt_oss_2025_12 / nullif(peers.deepseek_2025_12, 0) as gpt_oss_to_deepseek,
        peers.gpt_oss_2025_12 / nullif(peers.mistral_2025_12, 0) as gpt_oss_to_mistral
    from size_coverages
    cross join lab_months
    cross join peers
    cross join small_qwen_months
    cross join large_deepseek
    cross join large_qwen
    cross join largest_months
    cross join medians
    cross join size_shares

)

{{ claim('C18', 'case when small_qwen_measured_2025_12 = 5 and labs_measured_2025_12 = 6'
        ' then small_qwen_2025_12 / nullif(six_labs_2025_12, 0) end',
    month=december, coverage='coverage_six_labs',
    settings=downloads_settings(),
    note="'December 2025: five models ' || " ~ in_millions('small_qwen_2025_12')
        ~ " || ', six labs ' || " ~ in_millions('six_labs_2025_12')
        ~ " || '; February 2026: ' || " ~ in_millions('small_qwen_2026_02') ~ " || ' and ' || "
        ~ in_millions('six_labs_2026_02') ~ " || '.'",
    missing='One of the five models or six labs is not measured in December 2025.') }}
union all
{{ claim('C19', 'case when abs(gpt_oss_to_deepseek - 1) >= abs(gpt_oss_to_mistral - 1)'
        ' then gpt_oss_to_deepseek when gpt_oss_to_mistral is not null'
        ' and gpt_oss_to_deepseek is not null then gpt_oss_to_mistral end',
    month=december, coverage='coverage_peers',
    settings=downloads_settings(),
    note="'December 2025, against the one that is farther: GPT-OSS ' || "
        ~ in_millions('gpt_oss_2025_12') ~ " || ', DeepSeek ' || " ~ in_millions('deepseek_2025_12')
        ~ " || ', Mistral AI ' || " ~ in_millions('mistral_2025_12') ~ " || '.'",
    missing='GPT-OSS, DeepSeek or Mistral AI is not measured in December 2025.') }}
union all
{{ claim('C20', 'small_share', month=december, coverage='coverage_all',
    settings=downloads_settings(),
    note="'End of December 2025, buckets 1-5B and 5-10B: ' || "
        ~ in_millions('small_level') ~ " || ' of ' || " ~ in_millions('all_level') ~ " || '.'",
    missing='No total by size is known for the end of December 2025.') }}
union all
{{ claim('C21', 'deepseek_of_largest_monthly', month=february, coverage='coverage_largest',
    comparable='(abs(deepseek_of_largest_monthly - ' ~ largest_share ~ ') <= ' ~ share_tolerance
        ~ ') = (abs(deepseek_of_largest_cumulative - ' ~ largest_share ~ ') <= ' ~ share_tolerance ~ ')',
    settings=downloads_settings(),
    note="'Monthly downloads of February 2026, as the slides show elsewhere;"
        " cumulative at the end of March 2026 ' || "
        ~ in_percent('deepseek_of_largest_cumulative')
        ~ " || '. The slides do not say which; it is judged when both agree.'",
    missing='No model of DeepSeek in the bucket 250B+ is measured in February 2026.') }}
union all
{{ claim('C22', 'case when deepseek_measured = 4 then cast(least_deepseek as double)'
        ' / nullif(most_large_qwen, 0) end',
    month=december, coverage='coverage_large',
    settings=downloads_settings(),
    note="'Cumulative at the end of December 2025: the least of the four ' || "
        ~ in_millions('least_deepseek') ~ " || ', the largest Qwen of 100B and more ' || "
        ~ in_millions('most_large_qwen') ~ " || '.'",
    missing='One of the four models, or every large Qwen, has no known total at the end of 2025.') }}
union all
{{ claim('C23', 'small_median / nullif(large_median, 0)', month=december,
    coverage='coverage_classes',
    settings=downloads_settings(),
    note="'Cumulative at the end of December 2025: median of the ten most"
        " downloaded of 1 to below 10B ' || " ~ in_millions('small_median')
        ~ " || ', of 100B and more ' || " ~ in_millions('large_median') ~ " || '.'",
    missing='Fewer than ten models of a class have a known total at the end of 2025.') }}
