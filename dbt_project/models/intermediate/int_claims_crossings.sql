-- Who passes whom, for the pairs that claims speak of. Unlike crossovers, which lists every turn of
-- two sums, only between neighbouring months that both have each sum covered.

{#- pair, metric, leader, trailer, the last month in which the claim still lets the leader be behind and
    the one by which it must have passed -#}
{% set pairs = [
    ('china_over_us', 'downloads_cumulative_by_region', 'china', 'us', '2025-06-01', '2025-09-01'),
    ('qwen_over_llama', 'downloads_cumulative_by_family', 'Qwen', 'Llama', '2025-08-01', '2025-09-01'),
    ('gpt_oss_over_mistral', 'downloads_cumulative_by_family', 'GPT-OSS', 'Mistral', '2026-02-01',
        '2026-05-01'),
    ('gpt_oss_over_mistral_monthly', 'downloads_by_family', 'GPT-OSS', 'Mistral', '2026-02-01',
        '2026-05-01'),
] %}

with monthly as (

    select * from {{ ref('int_monthly_values') }}

),

pairs as (

    {% for pair, metric, leader, trailer, behind_until, passed_by in pairs %}
        select
            '{{ pair }}' as pair,
            '{{ metric }}' as metric,
            '{{ leader }}' as leader,
            '{{ trailer }}' as trailer,
            {{ on_day(behind_until) }} as behind_until,
            {{ on_day(passed_by) }} as passed_by
        {{ "union all" if not loop.last }}
    {% endfor %}

),

known as (

    select
        pairs.pair,
        pairs.behind_until,
        pairs.passed_by,
        leaders.month,
        leaders.value > trailers.value as is_ahead,
        least(leaders.coverage, trailers.coverage) as coverage
    from pairs
    inner join monthly as leaders
        on
            pairs.metric = leaders.metric
            and pairs.leader = leaders.key_value
    inner join monthly as trailers
        on
            pairs.metric = trailers.metric
            and pairs.trailer = trailers.key_value
            and leaders.month = trailers.month
    where
        leaders.coverage >= {{ least_coverage() }}
        and trailers.coverage >= {{ least_coverage() }}

),

stepped as (

    select
        known.*,
        lag(known.month) over earlier as previous_month,
        lag(known.is_ahead) over earlier as was_ahead,
        lag(known.coverage) over earlier as coverage_before
    from known
    window earlier as (partition by known.pair order by known.month)

),

crossings as (

    select
        pair,
        month,
        least(coverage, coverage_before) as coverage,
        row_number() over (partition by pair order by month) as occurrence
    from stepped
    where
        is_ahead
        and not was_ahead
        and {{ add_months('previous_month', 1) }} = month

),

summed as (

    select
        pair,
        count(*) as months_known,
        count(case when is_ahead then 1 end) as months_ahead,
        min(month) as first_known_on,
        max(month) as last_known_on,
        max(case when previous_month is null and is_ahead then 1 else 0 end) = 1
            as is_ahead_from_the_first,
        min(
            case
                when month = behind_until and is_ahead then coverage
                when month = passed_by and not is_ahead then coverage
            end
        ) as coverage_contradicting
    from stepped
    group by pair

)

select
    pairs.pair,
    pairs.leader,
    pairs.trailer,
    crossings.month as crossed_on,
    coalesce(crossings.coverage, summed.coverage_contradicting) as coverage,
    crossings.month is null and summed.coverage_contradicting is not null as is_contradicted,
    case
        when crossings.month is not null then null
        when summed.pair is null
            then
                'No month has the sums of both ' || pairs.leader || ' and ' || pairs.trailer
                || ', each covered to 95 %.'
        when summed.is_ahead_from_the_first
            then
                pairs.leader || ' is ahead of ' || pairs.trailer || ' already in '
                || cast({{ yyyymm('summed.first_known_on') }} as {{ dbt.type_string() }})
                || ', the first month with both sums covered to 95 %.'
        when summed.months_ahead = 0
            then
                pairs.leader || ' does not pass ' || pairs.trailer || ' in any of the '
                || cast(summed.months_known as {{ dbt.type_string() }})
                || ' months, up to '
                || cast({{ yyyymm('summed.last_known_on') }} as {{ dbt.type_string() }})
                || ', with both sums covered to 95 %.'
        else
            pairs.leader || ' passes ' || pairs.trailer
            || ' between two months that are no neighbours or not both covered to 95 %.'
    end as why_none
from pairs
left join summed
    on pairs.pair = summed.pair
left join crossings
    on
        pairs.pair = crossings.pair
        and crossings.occurrence = 1
