-- Claims on RAM (C39-C47). A model's score on a day is that of the newest checkpoint it had reached
-- by then; a group's is its best. What the readings after that day made of it is known here and was
-- not then.

{% set original, current = 'median_top10_2026_01', 'tenth_2026_q2' %}
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
    ('c44', 'nvidia/%nemotron-3-nano-30b-a3b%', original, '2026-03-31', 0, none, none),
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
    'c41_moonshot', 'c42_late', 'c43_kimi', 'c43_ocr', 'c44', 'c45_qwen', 'c45_nemotron', 'c45_kimi',
    'c47_gpt_oss', 'c47_nemotron', 'c47_others'] %}

with scores as (

    select
        model_id,
        baseline,
        day,
        size_bucket,
        ram
    from {{ ref('ram_scores') }}
    where
        ram is not null
        and baseline in ('{{ original }}', '{{ current }}')

),

models as (

    select
        model_id,
        lower(model_id) as lower_id,
        organization,
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
        scores.ram,
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
                or (models.region = 'us' and models.organization not in ('OpenAI', 'NVIDIA'))
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
        {% endfor %}
        min(case when part = 'c42_early' then ram end) as c42_early,
        count(case when part = 'c42_early' then ram end) as c42_early_models,
        count(case when part = 'c42_late' then ram end) as c42_late_models
    from checkpoints
    where nth = 1

),

-- at equal sizes: the best of both in every bucket that has both
by_bucket as (

    select
        size_bucket,
        max(case when part = 'c46_gemma' then ram end)
        / nullif(max(case when part = 'c46_qwen' then ram end), 0) as gemma_to_qwen
    from checkpoints
    where nth = 1
    group by size_bucket

),

equal_sizes as (

    select
        min(gemma_to_qwen) as c46_least,
        max(gemma_to_qwen) as c46_most,
        count(gemma_to_qwen) as c46_buckets
    from by_bucket

),

lab_shares as (

    select max(share) as largest_lab_share
    from by_organization
    where
        month = {{ on_day('2026-03-01') }}
        and organization in ('MiniMax', 'Moonshot AI', 'Z.ai')

),

measures as (

    select
        standings.*,
        equal_sizes.*,
        lab_shares.*
    from standings
    cross join equal_sizes
    cross join lab_shares

)

{{ claim('C39', 'case when c39_minimax is not null and c39_moonshot is not null'
        ' and c39_zai is not null then least(c39_minimax, c39_moonshot, c39_zai) end',
    settings=ram_settings(original, '2026-04-08'),
    note="'Best model of each lab released since July 2025, the least of: MiniMax ' || "
        ~ in_words('c39_minimax') ~ " || ', Moonshot AI ' || " ~ in_words('c39_moonshot')
        ~ " || ', Z.ai ' || " ~ in_words('c39_zai') ~ " || '; the largest of them has '
        || " ~ in_percent('largest_lab_share') ~ " || ' of the downloads of March 2026.'",
    missing='A lab has no model with a score by 2026-04-08.') }}
union all
{{ claim('C40', 'case when c40_large is not null and c40_small is not null'
        ' then least(c40_large, c40_small) end',
    settings=ram_settings(original, '2026-01-11'),
    note="'The lower of: 120b ' || " ~ in_words('c40_large')
        ~ " || ', 20b ' || " ~ in_words('c40_small') ~ " || '. Nothing says where exceptional begins.'",
    missing='A GPT-OSS model has no score by 2026-01-11.') }}
union all
{{ claim('C41', 'case when c41_minimax is not null and c41_moonshot is not null'
        ' then least(c41_minimax, c41_moonshot) end',
    settings=ram_settings(original, '2026-01-11'),
    note="'Best model of 100B and more, the lower of: MiniMax ' || "
        ~ in_words('c41_minimax') ~ " || ', Moonshot AI ' || " ~ in_words('c41_moonshot') ~ " || '.'",
    missing='A lab has no large model with a score by 2026-01-11.') }}
union all
{{ claim('C42', 'case when c42_early_models = 4 then c42_early / nullif(c42_late, 0) end',
    settings=ram_settings(original, '2026-03-31'),
    note="'The lowest of V3, V3-0324, R1 and R1-0528 ' || "
        ~ in_words('c42_early') ~ " || ', the highest of ' || " ~ in_words('c42_late_models', 0)
        ~ " || ' of 250B and more released September to December 2025 ' || " ~ in_words('c42_late') ~ " || '.'",
    missing='One of the earlier models, or every later one, has no score by 2026-03-31.') }}
union all
{{ claim('C43', 'case when c43_kimi is not null and c43_ocr is not null'
        ' then least(c43_kimi, c43_ocr) end',
    settings=ram_settings(original, '2026-03-31'),
    note="'The lower of: Kimi K2 Thinking ' || " ~ in_words('c43_kimi')
        ~ " || ', best model with OCR in its name ' || " ~ in_words('c43_ocr') ~ " || '.'",
    missing='Kimi K2 Thinking, or every OCR model, has no score by 2026-03-31.') }}
union all
{{ claim('C44', 'c44',
    settings=ram_settings(original, '2026-03-31'),
    note="'Best official precision of Nemotron 3 Nano 30B.'",
    missing='Nemotron 3 Nano has no score by 2026-03-31.') }}
union all
{{ claim('C45', 'case when c45_qwen is not null and c45_nemotron is not null'
        ' and c45_kimi is not null then least(c45_qwen, c45_nemotron, c45_kimi) end',
    settings=ram_settings(original, '2026-04-08'),
    note="'Best of each, the least of: Qwen 3.5 ' || "
        ~ in_words('c45_qwen') ~ " || ', Nemotron 3 ' || " ~ in_words('c45_nemotron') ~ " || ', Kimi K2.5 ' || "
        ~ in_words('c45_kimi') ~ " || '.'",
    missing='Qwen 3.5, Nemotron 3 or Kimi K2.5 has no score by 2026-04-08.') }}
union all
{{ claim('C46', 'c46_least',
    settings=ram_settings(current, '2026-05-26'),
    note="'Best Gemma 4 by best Qwen 3.5 or 3.6 of a size bucket, the"
        " least of ' || " ~ in_words('c46_buckets', 0) ~ " || ' buckets that have both; the most ' || "
        ~ in_words('c46_most') ~ " || '.'",
    missing='No size bucket has scores of both Gemma 4 and Qwen 3.5 or 3.6 by 2026-05-26.') }}
union all
{{ claim('C47', 'case when c47_gpt_oss is not null and c47_nemotron is not null'
        ' then least(c47_gpt_oss, c47_nemotron) / nullif(c47_others, 0) end',
    settings=ram_settings(original, '2026-04-08'),
    note="'GPT-OSS-120B ' || " ~ in_words('c47_gpt_oss')
        ~ " || ', Nemotron 3 Super 120B ' || " ~ in_words('c47_nemotron')
        ~ " || ', best model of any other lab of the United States released within a year ' || "
        ~ in_words('c47_others') ~ " || '.'",
    missing='GPT-OSS-120B, Nemotron 3 Super 120B, or every other lab has no score by 2026-04-08.') }}
