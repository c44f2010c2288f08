-- Claims on RAM (C39-C47). A model's score on a day is that of the newest checkpoint it had reached
-- by then; a group's is its best, told with how many of its models lie above 1, and judged when 1, or
-- the other score, does not lie between its bounds. What the readings after that day made of it is
-- known here and was not then.

{% set original, current = 'median_top10_2026_01', 'tenth_2026_q2' %}
{% set merged = 'merged_precision_variants' %}
{#- part, pattern on the lower-case id, baseline, day of the claim, least size (billions), released
    from and to -#}
{% set asks = [
    ('c39_minimax', 'minimaxai/%', original, '2026-04-08', 0, '2025-07-01', '2026-04-08'),
    ('c39_moonshot', 'moonshotai/%', original, '2026-04-08', 0, '2025-07-01', '2026-04-08'),
    ('c39_zai', 'zai-org/%', original, '2026-04-08', 0, '2025-07-01', '2026-04-08'),
    ('c40_large', 'openai/gpt-oss-120b', original, '2026-01-11', 0, none, none),
    ('c40_small', 'openai/gpt-oss-20b', original, '2026-01-11', 0, none, none),
    ('c41_minimax', 'minimaxai/%', original, '2026-01-11', 100, none, none),
    ('c41_moonshot', 'moonshotai/%', original, '2026-01-11', 100, none, none),
    ('c42_early', 'deepseek-ai/deepseek-v3', original, '2026-03-31', 0, none, none),
    ('c42_early', 'deepseek-ai/deepseek-v3-0324', original, '2026-03-31', 0, none, none),
    ('c42_early', 'deepseek-ai/deepseek-r1', original, '2026-03-31', 0, none, none),
    ('c42_early', 'deepseek-ai/deepseek-r1-0528', original, '2026-03-31', 0, none, none),
    ('c42_late', 'deepseek-ai/%', original, '2026-03-31', 250, '2025-09-01', '2025-12-31'),
    ('c43_kimi', 'moonshotai/kimi-k2-thinking', original, '2026-03-31', 0, none, none),
    ('c43_ocr', '%ocr%', original, '2026-03-31', 0, none, none),
    ('c44', 'nvidia/%nemotron-3-nano-30b-a3b%', current, '2026-03-31', 0, none, none),
    ('c44_median', 'nvidia/%nemotron-3-nano-30b-a3b%', original, '2026-03-31', 0, none, none),
    ('c44_merged', 'nvidia/%nemotron-3-nano-30b-a3b%', merged, '2026-03-31', 0, none, none),
    ('c45_qwen', 'qwen/qwen3.5-%', original, '2026-04-08', 0, none, none),
    ('c45_nemotron', 'nvidia/%nemotron-3-%', original, '2026-04-08', 0, none, none),
    ('c45_kimi', 'moonshotai/kimi-k2.5', original, '2026-04-08', 0, none, none),
    ('c46_gemma', 'google/gemma-4-%', current, '2026-05-26', 0, none, none),
    ('c46_qwen', 'qwen/qwen3.5-%', current, '2026-05-26', 0, none, none),
    ('c46_qwen', 'qwen/qwen3.6-%', current, '2026-05-26', 0, none, none),
    ('c47_gpt_oss', 'openai/gpt-oss-120b', original, '2026-04-08', 0, none, none),
    ('c47_nemotron', 'nvidia/%nemotron-3-super-120b%', original, '2026-04-08', 0, none, none),
    ('c47_others', '%', original, '2026-04-08', 0, '2025-04-08', '2026-04-08'),
] %}
{% set best = ['c39_minimax', 'c39_moonshot', 'c39_zai', 'c40_large', 'c40_small', 'c41_minimax',
    'c41_moonshot', 'c42_late', 'c43_kimi', 'c43_ocr', 'c44', 'c44_median', 'c44_merged', 'c45_qwen', 'c45_nemotron',
    'c45_kimi', 'c47_gpt_oss', 'c47_nemotron', 'c47_others'] %}
{#- the two that C47 speaks of, with their official precisions -#}
{% set strongest = ['openai/gpt-oss-120b%', 'nvidia/%nemotron-3-super-120b%'] %}
{% set labs = "'MiniMax', 'Moonshot AI', 'Z.ai'" %}

with scores as (

    select
        model_id,
        baseline,
        day,
        size_bucket,
        ram,
        ram_low,
        ram_high
    from {{ ref('ram_scores') }}
    where
        ram is not null
        and baseline in ('{{ original }}', '{{ current }}')
    union all
    select
        model_id,
        variant as baseline,
        day,
        size_bucket,
        ram,
        cast(null as double) as ram_low,
        cast(null as double) as ram_high
    from {{ ref('ram_sensitivity') }}
    where
        ram is not null
        and variant = '{{ merged }}'

),

models as (

    select
        model_id,
        lower(model_id) as lower_id,
        lower(coalesce(precision_variant_of, model_id)) as lower_plain_id,
        region,
        release_date,
        coalesce(total_params_b, 0) as params_b
    from {{ ref('models') }}
    where
        tracked_list = 'core'
        and alias_of is null
        and release_date is not null

),

by_organization as (

    select * from {{ ref('downloads_by_organization_monthly') }}

),

asks as (

    {% for part, pattern, baseline, day, least_size, released_from, released_to in asks %}
        select
            '{{ part }}' as part,
            '{{ pattern }}' as pattern,
            '{{ baseline }}' as baseline,
            {{ on_day(day) }} as asked_on,
            {{ least_size }} as least_params_b,
            {{ on_day(released_from) if released_from else 'cast(null as date)' }} as released_from,
            {{ on_day(released_to) if released_to else 'cast(null as date)' }} as released_to
        {{ "union all" if not loop.last }}
    {% endfor %}

),

checkpoints as (

    select
        asks.part,
        scores.model_id,
        scores.size_bucket,
        scores.day,
        scores.ram,
        scores.ram_low,
        scores.ram_high,
        row_number() over (
            partition by asks.part, scores.model_id
            order by scores.day desc, asks.pattern asc
        ) as nth
    from models
    inner join asks
        on
            models.lower_id like asks.pattern
            and models.params_b >= asks.least_params_b
            and (asks.released_from is null or models.release_date >= asks.released_from)
            and (asks.released_to is null or models.release_date <= asks.released_to)
            and (
                asks.part <> 'c47_others'
                or (
                    models.region = 'us'
                    {% for pattern in strongest %}
                        and models.lower_plain_id not like '{{ pattern }}'
                    {% endfor %}
                )
            )
    inner join scores
        on
            models.model_id = scores.model_id
            and asks.baseline = scores.baseline
            and {{ add_days('models.release_date', 'scores.day') }} <= asks.asked_on

),

standings as (

    select
        {% for part in best %}
            max(case when part = '{{ part }}' then ram end) as {{ part }},
            max(case when part = '{{ part }}' then ram_low end) as {{ part }}_low,
            max(case when part = '{{ part }}' then ram_high end) as {{ part }}_high,
            count(case when part = '{{ part }}' then ram end) as {{ part }}_models,
            count(case when part = '{{ part }}' and ram > 1 then ram end) as {{ part }}_above,
        {% endfor %}
        min(case when part = 'c42_early' then ram end) as c42_early,
        min(case when part = 'c42_early' then ram_low end) as c42_early_low,
        min(case when part = 'c42_early' then ram_high end) as c42_early_high,
        count(case when part = 'c42_early' then ram end) as c42_early_models
    from checkpoints
    where nth = 1

),

other_leaders as (

    select
        model_id,
        row_number() over (order by ram desc, model_id asc) as place
    from checkpoints
    where
        part = 'c47_others'
        and nth = 1

),

other_leader as (

    select max(case when place = 1 then model_id end) as c47_other_model
    from other_leaders

),

-- at equal sizes and days: the best of both in every bucket, on the newest day that has both
by_bucket as (

    select
        size_bucket,
        day,
        {% for part in ['gemma', 'qwen'] %}
            max(case when part = 'c46_{{ part }}' then ram end) as {{ part }},
            max(case when part = 'c46_{{ part }}' then ram_low end) as {{ part }}_low,
            max(case when part = 'c46_{{ part }}' then ram_high end) as {{ part }}_high,
        {% endfor %}
        row_number() over (partition by size_bucket order by day desc) as nth
    from checkpoints
    where part in ('c46_gemma', 'c46_qwen')
    group by size_bucket, day
    having
        count(case when part = 'c46_gemma' then ram end) > 0
        and count(case when part = 'c46_qwen' then ram end) > 0

),

equal_sizes as (

    select
        min(gemma / nullif(qwen, 0)) as c46_least,
        max(gemma / nullif(qwen, 0)) as c46_most,
        min(gemma_low / nullif(qwen_high, 0)) as c46_low,
        min(gemma_high / nullif(qwen_low, 0)) as c46_high,
        count(*) as c46_buckets,
        min(day) as c46_first_day,
        max(day) as c46_last_day
    from by_bucket
    where nth = 1

),

lab_shares as (

    select
        max(case when organization in ({{ labs }}) then share end) as largest_lab_share,
        count(case when organization in ({{ labs }}) then share end) as labs_known,
        min(case when organization in ({{ labs }}) then coalesce(coverage, 0) end)
            as labs_coverage,
        count(downloads) as organizations_known
    from by_organization
    where month = {{ on_day('2026-03-01') }}

),

measures as (

    select
        standings.*,
        other_leader.*,
        equal_sizes.*,
        lab_shares.*
    from standings
    cross join other_leader
    cross join equal_sizes
    cross join lab_shares

)

{{ claim('C39', least_if_all_known(['c39_minimax', 'c39_moonshot', 'c39_zai']),
    coverage='labs_coverage',
    comparable=is_ram_decided(['c39_minimax', 'c39_moonshot', 'c39_zai']) ~ ' and labs_known = 3',
    contradicted='largest_lab_share >= 1.0 / organizations_known',
    settings=ram_settings(original, '2026-04-08'),
    note="'Best model of each lab released since July 2025, the least of: MiniMax ' || "
        ~ ram_in_words('c39_minimax') ~ " || ', Moonshot AI ' || " ~ ram_in_words('c39_moonshot')
        ~ " || ', Z.ai ' || " ~ ram_in_words('c39_zai') ~ " || '; the largest of them has '
        || " ~ in_percent('largest_lab_share') ~ " || ' of the downloads of March 2026, the average of '
        || " ~ in_words('organizations_known', 0) ~ " || ' organizations '
        || " ~ in_percent('1.0 / nullif(organizations_known, 0)') ~ " || '.'",
    missing='A lab has no model with a score by 2026-04-08.') }}
union all
{{ claim('C40', least_if_all_known(['c40_large', 'c40_small']),
    settings=ram_settings(original, '2026-01-11'),
    note="'The lower of: 120b ' || " ~ in_words('c40_large')
        ~ " || ', 20b ' || " ~ in_words('c40_small') ~ " || '. Nothing says where exceptional begins.'",
    missing='A GPT-OSS model has no score by 2026-01-11.') }}
union all
{{ claim('C41', least_if_all_known(['c41_minimax', 'c41_moonshot']),
    comparable=is_ram_decided(['c41_minimax', 'c41_moonshot']),
    settings=ram_settings(original, '2026-01-11'),
    note="'Best model of 100B and more, the lower of: MiniMax ' || "
        ~ ram_in_words('c41_minimax') ~ " || ', Moonshot AI ' || " ~ ram_in_words('c41_moonshot')
        ~ " || '.'",
    missing='A lab has no large model with a score by 2026-01-11.') }}
union all
{{ claim('C42', 'case when c42_early_models = 4 then c42_early / nullif(c42_late, 0) end',
    comparable='c42_early_low > c42_late_high or c42_early_high <= c42_late_low',
    settings=ram_settings(original, '2026-03-31'),
    note="'The lowest of V3, V3-0324, R1 and R1-0528 ' || "
        ~ in_words('c42_early') ~ " || ', the highest of ' || " ~ in_words('c42_late_models', 0)
        ~ " || ' of 250B and more released September to December 2025 ' || " ~ in_words('c42_late')
        ~ " || '.'",
    missing='One of the earlier models, or every later one, has no score by 2026-03-31.') }}
union all
{{ claim('C43', least_if_all_known(['c43_kimi', 'c43_ocr']),
    comparable=is_ram_decided(['c43_kimi', 'c43_ocr']),
    settings=ram_settings(original, '2026-03-31'),
    note="'The lower of: Kimi K2 Thinking ' || " ~ in_words('c43_kimi')
        ~ " || ', best model with OCR in its name ' || " ~ ram_in_words('c43_ocr') ~ " || '.'",
    missing='Kimi K2 Thinking, or every OCR model, has no score by 2026-03-31.') }}
union all
{{ claim('C44', 'c44',
    comparable='c44_low >= 1 or c44_high < 1',
    settings=ram_settings(current, '2026-03-31'),
    note="'By the tenth model, best official precision of Nemotron 3 Nano 30B, ' || "
        ~ in_words('c44_above', 0) ~ " || ' of ' || " ~ in_words('c44_models', 0)
        ~ " || ' above 1; by the median of the ten ' || " ~ in_words('c44_median')
        ~ " || '; with its precisions merged, by a rolling tenth, ' || " ~ in_words('c44_merged')
        ~ " || '.'",
    missing='Nemotron 3 Nano has no score by 2026-03-31.') }}
union all
{{ claim('C45', least_if_all_known(['c45_qwen', 'c45_nemotron', 'c45_kimi']),
    comparable=is_ram_decided(['c45_qwen', 'c45_nemotron', 'c45_kimi']),
    settings=ram_settings(original, '2026-04-08'),
    note="'Best of each, the least of: Qwen 3.5 ' || " ~ ram_in_words('c45_qwen')
        ~ " || ', Nemotron 3 ' || " ~ ram_in_words('c45_nemotron') ~ " || ', Kimi K2.5 ' || "
        ~ in_words('c45_kimi') ~ " || '.'",
    missing='Qwen 3.5, Nemotron 3 or Kimi K2.5 has no score by 2026-04-08.') }}
union all
{{ claim('C46', 'c46_least',
    comparable='c46_low > 1 or c46_high <= 1',
    settings=ram_settings(current, '2026-05-26'),
    note="'Best Gemma 4 by best Qwen 3.5 or 3.6 of a size bucket on the newest day that has both (day ' || "
        ~ in_words('c46_first_day', 0) ~ " || ' to ' || " ~ in_words('c46_last_day', 0)
        ~ " || '), the least of ' || " ~ in_words('c46_buckets', 0)
        ~ " || ' buckets; the most ' || " ~ in_words('c46_most') ~ " || '. The registry lacks the plain"
        " gemma-4-*-it models until 2026-07-10: a list from before compares their variants only.'",
    missing='No size bucket has scores of both Gemma 4 and Qwen 3.5 or 3.6 at one day by 2026-05-26.') }}
union all
{{ claim('C47',
    least_if_all_known(['c47_gpt_oss', 'c47_nemotron']) ~ ' / nullif(c47_others, 0)',
    comparable=least_if_all_known(['c47_gpt_oss_low', 'c47_nemotron_low']) ~ ' > c47_others_high or '
        ~ least_if_all_known(['c47_gpt_oss_high', 'c47_nemotron_high']) ~ ' <= c47_others_low',
    settings=ram_settings(original, '2026-04-08'),
    note="'GPT-OSS-120B ' || " ~ in_words('c47_gpt_oss')
        ~ " || ', Nemotron 3 Super 120B ' || " ~ in_words('c47_nemotron')
        ~ " || '; of any other model of the United States released within a year the best is '"
        " || coalesce(c47_other_model, 'not known') || ' with ' || " ~ in_words('c47_others') ~ " || '.'",
    missing='GPT-OSS-120B, Nemotron 3 Super 120B, or every other model has no score by 2026-04-08.') }}
