{#- Reads curves at dates (definitions 2): one row for each row of `asks`, outside the points NULL.

    points: relation or CTE with the keys and the columns of int_curve_points; unique in (keys, point_on).
    asks:   relation or CTE with the keys and asked_on, distinct.
    keys:   columns that name a curve; the default is model_id.

    Result: keys, asked_on,
      cumulative, cumulative_clean        C and C* there (DOUBLE)
      gap_days                            days between the two points used, 0 on a point, NULL outside
      low_on, high_on                     the two points used; low_on is also given after the last point
      low_kind, high_kind                 how they came about
      cumulative_low                      C at low_on
      clean_low, clean_high               C* at the two points: hard bounds
      breaks                              unknown falls up to low_on; C* compares only within one number
      is_in_break                         an unknown fall lies between the two points: C, C* and high are NULL
      uses_window_chain                   a point of kind window_chain was used
      uses_hub_fault                      a point that rests on a reading of a Hub fault was used -#}
{% macro curve_at(points, asks, keys=['model_id']) -%}
    select
        {% for key in keys %}bracketed.{{ key }},
        {% endfor %}bracketed.asked_on,
        case
            when bracketed.gap_days = 0 then bracketed.cumulative_low
            when not bracketed.is_in_break
                then bracketed.cumulative_low
                    + (bracketed.cumulative_high - bracketed.cumulative_low)
                    * bracketed.days_in / bracketed.gap_days
        end as cumulative,
        case
            when bracketed.gap_days = 0 then bracketed.clean_low
            when not bracketed.is_in_break
                then bracketed.clean_low
                    + (bracketed.clean_high - bracketed.clean_low)
                    * bracketed.days_in / bracketed.gap_days
        end as cumulative_clean,
        bracketed.gap_days,
        bracketed.low_on,
        bracketed.high_on,
        bracketed.low_kind,
        bracketed.high_kind,
        bracketed.cumulative_low,
        bracketed.clean_low,
        case when not bracketed.is_in_break then bracketed.clean_high end as clean_high,
        bracketed.breaks,
        bracketed.is_in_break,
        coalesce(bracketed.high_on is not null and (
            bracketed.low_kind = 'window_chain' or bracketed.high_kind = 'window_chain'
        ), false) as uses_window_chain,
        coalesce(bracketed.high_on is not null and (
            bracketed.low_is_hub_fault or bracketed.high_is_hub_fault
        ), false) as uses_hub_fault
    from (
        select
            {% for key in keys %}asked.{{ key }},
            {% endfor %}asked.asked_on,
            point.point_on as low_on,
            point.cumulative as cumulative_low,
            point.cumulative_clean as clean_low,
            point.kind as low_kind,
            coalesce(point.is_hub_fault, false) as low_is_hub_fault,
            coalesce(point.breaks, 0) as breaks,
            case when point.point_on = asked.asked_on then point.point_on else point.next_on end as high_on,
            -- before a step the curve ends where the counter would have stood without it
            case
                when point.point_on = asked.asked_on then point.cumulative
                else coalesce(point.next_before, point.next_cumulative)
            end as cumulative_high,
            case
                when point.point_on = asked.asked_on then point.cumulative_clean else point.next_clean
            end as clean_high,
            case when point.point_on = asked.asked_on then point.kind else point.next_kind end as high_kind,
            point.point_on <> asked.asked_on
            and coalesce(point.next_is_hub_fault, false) as high_is_hub_fault,
            coalesce(
                point.point_on <> asked.asked_on
                and point.next_on is not null
                and coalesce(point.next_breaks, 0) <> coalesce(point.breaks, 0),
                false
            ) as is_in_break,
            case
                when point.point_on = asked.asked_on then 0
                else {{ days_between('point.point_on', 'point.next_on') }}
            end as gap_days,
            {{ days_between('point.point_on', 'asked.asked_on') }} as days_in
        from {{ asks }} as asked
        {{ asof_left_join(
            '(' ~ with_next(points, keys, 'point_on', {
                'cumulative': 'next_cumulative', 'cumulative_before': 'next_before',
                'cumulative_clean': 'next_clean', 'kind': 'next_kind', 'breaks': 'next_breaks',
                'is_hub_fault': 'next_is_hub_fault'
            }) ~ ')',
            'point', keys, 'asked', 'asked_on', 'point_on'
        ) }}
    ) as bracketed
{%- endmacro %}


{#- Reads 30-day windows at dates: W* of definitions 2, and what lies around the date.

    windows: relation or CTE with the key, observed_on, downloads_30d (never NULL); unique in (key, observed_on).
    asks:    relation or CTE with the key and asked_on, distinct.
    key:     column that names a model.

    Result: key, asked_on,
      window_30d                          W* there (DOUBLE), NULL outside the readings
      gap_days                            days between the two readings used, 0 on one, NULL outside
      previous_on, previous_30d           the reading at or before the date
      following_on, following_30d         the reading at or after it -#}
{% macro window_at(windows, asks, key='model_id') -%}
    select
        bracketed.{{ key }},
        bracketed.asked_on,
        case
            when bracketed.gap_days = 0 then cast(bracketed.previous_30d as double)
            else bracketed.previous_30d
                + cast(bracketed.following_30d - bracketed.previous_30d as double)
                * bracketed.days_in / bracketed.gap_days
        end as window_30d,
        bracketed.gap_days,
        bracketed.previous_on,
        bracketed.previous_30d,
        bracketed.following_on,
        bracketed.following_30d
    from (
        select
            asked.{{ key }},
            asked.asked_on,
            reading.observed_on as previous_on,
            reading.downloads_30d as previous_30d,
            case
                when reading.observed_on is null then opening.first_on
                when reading.observed_on = asked.asked_on then reading.observed_on
                else reading.next_on
            end as following_on,
            case
                when reading.observed_on is null then opening.first_30d
                when reading.observed_on = asked.asked_on then reading.downloads_30d
                else reading.next_30d
            end as following_30d,
            case
                when reading.observed_on = asked.asked_on then 0
                else {{ days_between('reading.observed_on', 'reading.next_on') }}
            end as gap_days,
            {{ days_between('reading.observed_on', 'asked.asked_on') }} as days_in
        from {{ asks }} as asked
        {{ asof_left_join(
            '(' ~ with_next(windows, [key], 'observed_on', {'downloads_30d': 'next_30d'}) ~ ')',
            'reading', [key], 'asked', 'asked_on', 'observed_on'
        ) }}
        left join (
            select
                ranked.{{ key }},
                ranked.observed_on as first_on,
                ranked.downloads_30d as first_30d
            from (
                select
                    {{ key }},
                    observed_on,
                    downloads_30d,
                    row_number() over (partition by {{ key }} order by observed_on) as nth
                from {{ windows }}
            ) as ranked
            where ranked.nth = 1
        ) as opening
            on asked.{{ key }} = opening.{{ key }}
    ) as bracketed
{%- endmacro %}


{#- A select of `series` with `next_on` and, for each column named, its value at `next_on`. -#}
{% macro with_next(series, keys, at, columns) -%}
    select
        {% for key in keys %}{{ key }},
        {% endfor %}{{ at }},
        {% for column, next_column in columns.items() %}{{ column }},
        lead({{ column }}) over (partition by {{ keys | join(', ') }} order by {{ at }}) as {{ next_column }},
        {% endfor %}lead({{ at }}) over (partition by {{ keys | join(', ') }} order by {{ at }}) as next_on
    from {{ series }}
{%- endmacro %}
