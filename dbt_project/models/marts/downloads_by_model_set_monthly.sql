-- The regions' downloads under every answer to which models count (definitions 0.4 and the known
-- defects of the registry's list), side by side and whatever the switches of this build say.

{%- set core = "models.tracked_list = 'core'" %}
{%- set sets = {
    'core': core,
    'core_extra': "models.tracked_list in ('core', 'extra')",
    'core_without_t5gemma': core ~ ' and not models.is_t5gemma',
    'core_without_formats': core ~ ' and not models.is_format',
    'core_without_precision_variants': core ~ ' and not models.is_precision_variant',
} %}
{%- if var('model_set') == 'all' %}
    {%- do sets.update({'all': 'true'}) %}
{%- endif %}

with models as (

    select
        int_models.model_id,
        int_models.tracked_list,
        int_models.precision_variant_of is not null as is_precision_variant,
        {{ is_t5gemma('int_models.model_id') }} as is_t5gemma,
        {{ is_format_repository('int_models.model_id') }} as is_format
    from {{ ref('int_models') }} as int_models
    where {{ in_widest_set('int_models') }}

),

members as (

    {% for model_set, condition in sets.items() %}
        select
            models.model_id,
            '{{ model_set }}' as model_set
        from models
        where {{ condition }}
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

model_months as (

    select
        month,
        model_id,
        region,
        downloads,
        downloads_cumulative,
        is_anomalous,
        is_expected,
        reference_downloads
    from {{ ref('int_listed_model_months') }}

),

totals as (

    select
        model_months.month,
        members.model_set,
        model_months.region,
        {{ next_month('model_months.month') }} <= {{ today() }} as is_closed,
        cast(sum(model_months.downloads) as {{ dbt.type_bigint() }}) as downloads,
        cast(
            sum(case when not model_months.is_anomalous then model_months.downloads end)
            as {{ dbt.type_bigint() }}
        ) as downloads_without_anomalies,
        -- at the end of the open month only the counters of models that are gone are known
        case
            when {{ next_month('model_months.month') }} <= {{ today() }}
                then cast(sum(model_months.downloads_cumulative) as {{ dbt.type_bigint() }})
        end as downloads_cumulative,
        cast(count(model_months.downloads) as {{ dbt.type_int() }}) as models_measured,
        cast(
            count(case when model_months.is_expected then 1 end) as {{ dbt.type_int() }}
        ) as models_expected,
        sum(
            case when model_months.downloads is not null then model_months.reference_downloads end
        ) as reference_measured,
        sum(
            case when model_months.is_expected then model_months.reference_downloads end
        ) as reference_expected
    from model_months
    inner join members
        on model_months.model_id = members.model_id
    group by model_months.month, members.model_set, model_months.region
    having
        count(case when model_months.is_expected then 1 end) > 0
        or count(model_months.downloads_cumulative) > 0

),

measures as (

    select
        totals.*,
        sum(totals.downloads) over (
            partition by totals.month, totals.model_set
        ) as month_downloads,
        sum(totals.downloads_cumulative) over (
            partition by totals.month, totals.model_set
        ) as month_cumulative
    from totals

),

built as (

    select
        month,
        model_set,
        region,
        downloads,
        cast(downloads as double) / nullif(month_downloads, 0) as share,
        downloads_cumulative,
        cast(downloads_cumulative as double) / nullif(month_cumulative, 0) as share_cumulative,
        models_measured,
        models_expected,
        cast(coalesce(reference_measured, 0) as double)
        / nullif(reference_expected, 0) as coverage,
        downloads_without_anomalies,
        case
            when downloads is not null then null
            when not is_closed then 'month_open'
            when models_expected = 0 then 'all_models_gone'
            else 'no_model_measured'
        end as null_reason
    from measures

),

-- the curves of models on no list are drawn only when they are asked for
not_built as (

    select
        month,
        'all' as model_set,
        region,
        cast(null as {{ dbt.type_bigint() }}) as downloads,
        cast(null as double) as share,
        cast(null as {{ dbt.type_bigint() }}) as downloads_cumulative,
        cast(null as double) as share_cumulative,
        cast(null as {{ dbt.type_int() }}) as models_measured,
        cast(null as {{ dbt.type_int() }}) as models_expected,
        cast(null as double) as coverage,
        cast(null as {{ dbt.type_bigint() }}) as downloads_without_anomalies,
        'set_not_built' as null_reason
    from totals
    where
        model_set = 'core_extra'
        and '{{ var("model_set") }}' <> 'all'

)

select * from built
union all
select * from not_built
