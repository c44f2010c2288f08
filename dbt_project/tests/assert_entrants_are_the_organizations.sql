-- The months of a window are those of downloads_by_organization_monthly, its running sum is theirs,
-- and new models have no more than all.
{{ config(meta={'dagster': {'ref': {'name': 'new_entrants_monthly'}}}) }}

with entrants as (

    select * from {{ ref('new_entrants_monthly') }}

),

organizations as (

    select
        entrant_windows.since,
        organizations.month,
        organizations.organization,
        organizations.downloads,
        organizations.null_reason,
        sum(organizations.downloads) over (
            partition by entrant_windows.since, organizations.organization
            order by organizations.month
            rows between unbounded preceding and current row
        ) as downloads_since
    from {{ ref('downloads_by_organization_monthly') }} as organizations
    inner join {{ ref('entrant_windows') }} as entrant_windows
        on organizations.month >= entrant_windows.since

)

select
    organizations.since,
    organizations.month,
    organizations.organization,
    organizations.downloads,
    entrants.downloads as downloads_of_entrant,
    organizations.downloads_since,
    entrants.downloads_since as downloads_since_of_entrant
from organizations
full outer join entrants
    on
        organizations.since = entrants.since
        and organizations.month = entrants.month
        and organizations.organization = entrants.organization
where
    organizations.month is null
    or entrants.month is null
    or coalesce(organizations.downloads, -1) <> coalesce(entrants.downloads, -1)
    or coalesce(organizations.null_reason, '') <> coalesce(entrants.null_reason, '')
    or (
        coalesce(organizations.null_reason, '') <> 'month_open'
        and coalesce(organizations.downloads_since, -1) <> coalesce(entrants.downloads_since, -1)
    )
    or entrants.downloads_new_models > entrants.downloads
