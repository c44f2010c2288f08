-- What was published against what this warehouse measures, and the verdict by rule.

{% set groups = ['downloads', 'models', 'derivatives', 'inference', 'ram', 'registry'] %}

with published as (

    select * from {{ ref('claims_published') }}

),

measured as (

    {% for group in groups %}
        select
            claim_id,
            measured_value,
            measured_month,
            coverage,
            is_comparable,
            is_contradicted,
            expected_error,
            settings,
            note,
            missing
        from {{ ref('int_claims_' ~ group) }}
        {{ "union all" if not loop.last }}
    {% endfor %}

),

worlds as (

    select coalesce(max(case when world = 'sample' then 1 else 0 end), 0) = 1 as is_sample
    from {{ ref('stg_pulls') }}

),

compared as (

    select
        published.*,
        measured.measured_value,
        case when measured.measured_value is not null then measured.measured_month end
            as measured_month,
        measured.coverage,
        coalesce(measured.is_contradicted, false) as is_contradicted,
        coalesce(measured.is_comparable, false) as is_comparable,
        case when measured.measured_value is not null then measured.expected_error end
            as expected_error,
        measured.settings,
        measured.note,
        measured.missing,
        case
            when published.comparison in ('month', 'wording') then null
            else
                (measured.measured_value - published.published_value)
                / nullif(published.published_value, 0)
        end as relative_difference,
        case
            when published.comparison = 'month'
                then
                    abs(
                        (
                            floor(measured.measured_value / 100) * 12
                            + measured.measured_value
                            - floor(measured.measured_value / 100) * 100
                        )
                        - (
                            floor(published.published_value / 100) * 12
                            + published.published_value
                            - floor(published.published_value / 100) * 100
                        )
                    )
            when published.comparison in ('order', 'at_least')
                then published.published_value - measured.measured_value
            else abs(measured.measured_value - published.published_value)
        end as distance,
        case
            when published.tolerance_unit = 'relative'
                then published.tolerance * abs(published.published_value)
            else published.tolerance
        end as distance_allowed
    from published
    left join measured
        on published.claim_id = measured.claim_id

),

judged as (

    select
        compared.*,
        case
            when compared.certainty = 'disputed' then 'disputed'
            when compared.comparison in ('wording', 'not_rebuildable') then 'not_measurable'
            when not compared.is_comparable then 'not_measurable'
            when compared.is_contradicted then 'differs'
            when compared.measured_value is null then 'not_measurable'
            -- a bound must be exceeded; without a tolerance, equal is not enough
            when
                compared.comparison = 'order'
                and compared.distance_allowed = 0
                and compared.distance >= 0
                then 'differs'
            when compared.distance <= compared.distance_allowed then 'reproduced'
            else 'differs'
        end as verdict
    from compared

)

select
    judged.claim_id,
    judged.statement,
    judged.source,
    judged.certainty,
    judged.metric,
    judged.comparison,
    judged.published_value,
    judged.published_unit,
    judged.published_on,
    judged.measured_value,
    judged.measured_month,
    judged.relative_difference,
    judged.tolerance,
    judged.tolerance_unit,
    judged.tolerance_reason,
    judged.expected_error,
    judged.coverage,
    judged.verdict,
    worlds.is_sample and judged.verdict = 'reproduced' as is_synthetic_agreement,
    case
        when judged.measured_value is null
            then coalesce(trim(judged.missing || ' ' || judged.settings), 'Nothing measures it.')
        else
            case
                when not judged.is_comparable
                    then 'Not judged, because what is known does not decide it. '
                when judged.is_contradicted
                    then 'A further part of the claim does not hold. '
                else ''
            end || trim(judged.settings || judged.note)
    end as note
from judged
cross join worlds
