{#- definitions 3.2: the 30-day window that stands for a month, read at the month's end. It lies between two
    readings at most max_gap_days apart; else it is the nearest one within window_reach_days, of two equally near
    the later.

    edge_windows: relation or CTE as window_at gives it, asked at the ends of months.

    Result: model_id, next_month,
      first_used_on, last_used_on         the readings it was taken from, NULL without one
      window_30d                          downloads of the 30 days (DOUBLE), NULL when none stands for the month
      gap_days                            days between the two readings, or from the nearest one to the month's end -#}
{% macro standing_windows(edge_windows) -%}
    select
        model_id,
        asked_on as next_month,
        case
            when gap_days <= {{ var('max_gap_days') }} then previous_on
            when nearest_distance <= {{ var('window_reach_days') }} then nearest_on
        end as first_used_on,
        case
            when gap_days <= {{ var('max_gap_days') }} then following_on
            when nearest_distance <= {{ var('window_reach_days') }} then nearest_on
        end as last_used_on,
        case
            when gap_days <= {{ var('max_gap_days') }} then window_30d
            when nearest_distance <= {{ var('window_reach_days') }} then nearest_30d
        end as window_30d,
        case
            when gap_days <= {{ var('max_gap_days') }} then gap_days
            when nearest_distance <= {{ var('window_reach_days') }} then nearest_distance
        end as gap_days
    from (
        select
            distances.*,
            case
                when distances.is_previous_nearer then distances.previous_on
                else distances.following_on
            end as nearest_on,
            case
                when distances.is_previous_nearer then distances.previous_30d
                else distances.following_30d
            end as nearest_30d,
            case
                when distances.is_previous_nearer then distances.previous_distance
                else distances.following_distance
            end as nearest_distance
        from (
            select
                edge_windows.*,
                {{ days_between('edge_windows.previous_on', 'edge_windows.asked_on') }}
                    as previous_distance,
                {{ days_between('edge_windows.asked_on', 'edge_windows.following_on') }}
                    as following_distance,
                edge_windows.following_on is null
                or coalesce(
                    {{ days_between('edge_windows.previous_on', 'edge_windows.asked_on') }}
                    < {{ days_between('edge_windows.asked_on', 'edge_windows.following_on') }},
                    false
                ) as is_previous_nearer
            from {{ edge_windows }} as edge_windows
        ) as distances
    ) as nearest_windows
{%- endmacro %}
