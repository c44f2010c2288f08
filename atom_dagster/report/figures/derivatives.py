"""Derivatives: on whose models others build.

Belongs here: new models by the region and family of what they derive from, and by the threshold of their
own downloads. Does not belong here: the countries of either (``countries``), or downloads.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from atom_dagster.report import charts, words
from atom_dagster.report.figure import Column, Drawing, Facts, Figure, Panel, Row, Styler, newest
from atom_dagster.report.figures._shared import DELETED, FEW, HEADLINE, MONTH, leaders

_RULE = (
    "New models on the Hub that name another as their base, by the month of their creation, once the"
    " largest number of downloads ever read of them exceeds 5. A model counts for the nearest reviewed"
    " organization up its line of bases; one with several bases is split evenly. Shares are of those whose"
    " base has a known region."
)
# A key without a new derivative in a month has no row there: it is none of those counted, hence 0 of them.
_MONTHS = """\
months as (
    select
        cast(calendar.month as date) as month,
        count(monthly.month) > 0 as has_any,
        count(monthly.share) > 0 as has_known,
        -- shares of an unknown family are of fewer than are counted for it: the least quotient is the whole
        coalesce(round(min(monthly.new_derivatives / nullif(monthly.share, 0)), 2), 0) as known,
        coalesce(bool_or(monthly.is_provisional), false) as is_provisional
    from (
        select unnest(generate_series(min(month), max(month), interval 1 month)) as month from monthly
    ) as calendar
    left join monthly on calendar.month = monthly.month
    group by calendar.month
)"""
_MARK = f"""\
    nullif(
        concat_ws(
            ', ',
            case when months.known < {FEW} then 'few' end,
            case when months.is_provisional then 'provisional' end
        ),
        ''
    ) as mark"""
_EVERYONE = "{everyone}"
_PROVISIONAL = (
    f"Fewer than {FEW} new derivatives with a known base are too few to compare: such months are marked, and"
    " left out of the sentence. A month is provisional until its models have been read again 30 days after"
    " it ended: the latest may still pass the threshold. The month that is still open is left out."
)


def no_children(facts: Facts) -> str:
    """Why no derivative is counted."""
    del facts
    return "No reading of this world names a model that derives from another and has more than 5 downloads."


def _enough(rows: Sequence[Row]) -> list[Row]:
    """The rows with a share of enough derivatives to speak of."""
    return [row for row in rows if row["share"] is not None and row["known"] >= FEW]


def _last_final(rows: Sequence[Row]) -> date | None:
    """The newest month that is no longer provisional; the newest of all where every month is."""
    final = [row for row in rows if not row["is_provisional"]]
    return newest(final, "share") or newest(rows, "share")


def _too_few(rows: Sequence[Row]) -> str:
    """What is told where no month has enough derivatives: how many there are."""
    most = max(
        (row for row in rows if row["share"] is not None), key=lambda row: (row["known"], row["month"])
    )
    return (
        f"No month has {FEW} new derivatives with a known base, so no share is told; the most are the"
        f" {words.count(most['known'])} of {words.month(most['month'])}."
    )


_REGION_COLUMNS = (
    MONTH,
    Column("region", "Region of the base"),
    Column("share", "Share", "share"),
    Column("new_derivatives", "New derivatives", "number"),
    Column("share_all", "Share of all, unknown included", "share"),
    Column("known", "New derivatives with a known base", "number"),
    Column("is_provisional", "Provisional", "flag"),
    Column("mark", "Mark"),
)


def _draw_by_region(rows: Sequence[Row], styles: Styler) -> Drawing:
    present = {row["region"] for row in rows if row["share"] is not None}
    shown = styles("region", [key for key in (*HEADLINE, "other") if key in present])
    y = charts.measure("share", "share of new derivatives", "share")
    return Drawing([Panel(charts.lines(y, "region", shown, _REGION_COLUMNS, mark="mark"))], shown)


def _tell_by_region(rows: Sequence[Row]) -> str:
    held = _enough(rows)
    if not held:
        return _too_few(rows)
    last, first = _last_final(held), min(row["month"] for row in held)
    now, began = ([row for row in held if row["month"] == month] for month in (last, first))
    told = (
        f"Of the {words.count(now[0]['known'])} new derivatives of {words.month(last)} with a known base,"
        f" these regions' models were the base: {_regions(now)}"
    )
    if first != last:
        told += f"; of the {words.count(began[0]['known'])} of {words.month(first)}: {_regions(began)}"
    return f"{told}."


def _regions(rows: Sequence[Row]) -> str:
    return leaders([(words.region(row["region"]), row["share"]) for row in rows])


DERIVATIVES_BY_REGION = Figure(
    id="derivatives_by_region",
    title="New derivatives by region of their base",
    question="On which region's models do others build?",
    definition=_RULE,
    model_set=_EVERYONE,
    source="hub",
    columns=_REGION_COLUMNS,
    sql=f"""\
with monthly as (
    select * from marts.derivatives_by_region_monthly
    where
        relation = 'all' and min_downloads = 5 and not community_only
        and month + interval 1 month <= (select max(observed_on) from marts.observations)
),

{_MONTHS},

keys as (
    select distinct region from monthly
)

select
    months.month,
    keys.region,
    case when keys.region <> 'unknown' and months.has_known then coalesce(monthly.share, 0) end as share,
    coalesce(monthly.new_derivatives, 0) as new_derivatives,
    case when months.has_any then coalesce(monthly.share_all, 0) end as share_all,
    months.known,
    months.is_provisional,
{_MARK}
from months
cross join keys
left join monthly on months.month = monthly.month and keys.region = monthly.region
order by months.month, keys.region""",
    measure="share",
    draw=_draw_by_region,
    tell=_tell_by_region,
    gap=no_children,
    remarks=(DELETED, _PROVISIONAL),
)

_FAMILY_COLUMNS = (
    MONTH,
    Column("family", "Family of the base"),
    Column("share", "Share", "share"),
    Column("new_derivatives", "New derivatives", "number"),
    Column("known", "New derivatives with a known base", "number"),
    Column("is_provisional", "Provisional", "flag"),
    Column("mark", "Mark"),
)


def _draw_by_family(rows: Sequence[Row], styles: Styler) -> Drawing:
    total = {row["family"]: 0.0 for row in rows}
    for row in rows:
        total[row["family"]] += row["new_derivatives"] or 0
    shown = styles("family", sorted(total, key=lambda key: (-total[key], key)))
    y = charts.measure("share", "share of new derivatives", "share")
    return Drawing([Panel(charts.lines(y, "family", shown, _FAMILY_COLUMNS, mark="mark"))], shown)


def _tell_by_family(rows: Sequence[Row]) -> str:
    held = _enough(rows)
    if not held:
        return _too_few(rows)
    last = _last_final(held)
    now = [row for row in held if row["month"] == last]
    told = (
        f"Most built on by the {words.count(now[0]['known'])} new derivatives of {words.month(last)} with a"
        f" known base: {leaders([(row['family'], row['share']) for row in now])}."
    )
    if len({row["month"] for row in held}) > 1:
        peak = max(held, key=lambda row: row["share"])
        told += (
            f" The largest share of any month is {peak['family']}'s {words.percent(peak['share'])} of the"
            f" {words.count(peak['known'])} of {words.month(peak['month'])}."
        )
    return told


DERIVATIVES_BY_FAMILY = Figure(
    id="derivatives_by_family",
    title="New derivatives by family of their base",
    question="On which families of models do others build?",
    definition=f"{_RULE} The eight families with most derivatives over the whole series.",
    model_set=_EVERYONE,
    source="hub",
    columns=_FAMILY_COLUMNS,
    sql=f"""\
with monthly as (
    select * from marts.derivatives_by_family_monthly
    where
        relation = 'all' and min_downloads = 5 and not community_only
        and month + interval 1 month <= (select max(observed_on) from marts.observations)
),

{_MONTHS},

keys as (
    select family from monthly
    where share is not null and family <> 'unknown'
    group by family
    order by sum(new_derivatives) desc, family
    limit 8
)

select
    months.month,
    keys.family,
    case when months.has_known then coalesce(monthly.share, 0) end as share,
    coalesce(monthly.new_derivatives, 0) as new_derivatives,
    months.known,
    months.is_provisional,
{_MARK}
from months
cross join keys
left join monthly on months.month = monthly.month and keys.family = monthly.family
order by months.month, keys.family""",
    measure="share",
    draw=_draw_by_family,
    tell=_tell_by_family,
    gap=no_children,
    remarks=(DELETED, _PROVISIONAL),
)

_THRESHOLD_COLUMNS = (
    MONTH,
    Column("region", "Region of the base"),
    Column("threshold", "Downloads above"),
    Column("share", "Share", "share"),
    Column("new_derivatives", "New derivatives", "number"),
    Column("known", "New derivatives with a known base", "number"),
    Column("is_provisional", "Provisional", "flag"),
    Column("mark", "Mark"),
)


def _draw_by_threshold(rows: Sequence[Row], styles: Styler) -> Drawing:
    del styles
    shown = charts.series([("5", "more than 5 (the report's)"), ("0", "more than 0"), ("50", "more than 50")])
    panels = []
    for region in HEADLINE:
        if any(row["region"] == region for row in rows):
            y = charts.measure("share", "share of new derivatives", "share")
            chart = charts.lines(
                y, "threshold", shown, _THRESHOLD_COLUMNS, mark="mark", where=[("region", region)], height=240
            )
            panels.append(Panel(chart, words.REGIONS[region]))
    return Drawing(panels, shown)


def _tell_by_threshold(rows: Sequence[Row]) -> str:
    held = _enough([row for row in rows if row["threshold"] == "5"])
    if not held:
        return _too_few(rows)
    last = _last_final(held)
    of = {(row["region"], row["threshold"]): row for row in _enough(rows) if row["month"] == last}
    limits = [limit for limit in ("0", "5", "50") if any(key[1] == limit for key in of)]
    counts = {key[1]: words.count(row["known"]) for key, row in of.items()}
    parts = []
    for region in HEADLINE:
        shares = [of[region, limit]["share"] for limit in limits if (region, limit) in of]
        if len(shares) == len(limits):
            parts.append(f"{words.region(region)} {words.listed([words.percent(share) for share in shares])}")
    return (
        f"Shares of {words.month(last)} with more than {words.listed(limits)} downloads"
        f" ({words.listed([counts[limit] for limit in limits])} derivatives with a known base):"
        f" {'; '.join(parts)}."
    )


DERIVATIVES_BY_THRESHOLD = Figure(
    id="derivatives_by_threshold",
    title="Does the threshold decide?",
    question="How much do the derivative shares depend on the rule of more than 5 downloads?",
    definition=f"{_RULE} Here also for more than 0 and more than 50 downloads.",
    model_set=_EVERYONE,
    source="hub",
    columns=_THRESHOLD_COLUMNS,
    sql=f"""\
with monthly as (
    select * from marts.derivatives_by_region_monthly
    where
        relation = 'all' and not community_only
        and month + interval 1 month <= (select max(observed_on) from marts.observations)
),

{_MONTHS},

keys as (
    select regions.region, limits.min_downloads
    from (values ('us'), ('china'), ('eu')) as regions (region)
    cross join (select distinct min_downloads from monthly) as limits
),

known as (
    select
        month,
        min_downloads,
        round(min(new_derivatives / nullif(share, 0)), 2) as derivatives
    from monthly
    where share is not null
    group by month, min_downloads
)

select
    months.month,
    keys.region,
    cast(keys.min_downloads as varchar) as threshold,
    case when known.month is not null then coalesce(monthly.share, 0) end as share,
    coalesce(monthly.new_derivatives, 0) as new_derivatives,
    coalesce(known.derivatives, 0) as known,
    months.is_provisional,
{_MARK.replace("months.known", "coalesce(known.derivatives, 0)")}
from months
cross join keys
left join known on months.month = known.month and keys.min_downloads = known.min_downloads
left join monthly
    on
        months.month = monthly.month
        and keys.region = monthly.region
        and keys.min_downloads = monthly.min_downloads
order by months.month, keys.region, keys.min_downloads""",
    measure="share",
    draw=_draw_by_threshold,
    tell=_tell_by_threshold,
    gap=no_children,
    remarks=(DELETED, _PROVISIONAL),
)
