"""Downloads: totals by region and organization.

Belongs here: the report's download figures by publisher. Does not belong here: sizes (``sizes``), figures
that rank (``leaders``), or switches, coverage and anomalies (``trust``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from atom_dagster.report import charts, words
from atom_dagster.report.figure import Column, Drawing, Figure, Panel, Row, Styler, newest, ranked
from atom_dagster.report.figures._shared import (
    CORE,
    COVERED,
    FLAGS,
    LINKED,
    MONTH,
    NEWEST,
    NO_COUNTER,
    REGION_ORDER,
    UNMEASURED,
    latest,
    no_counters,
    no_months,
    told_month,
)

_CUMULATIVE = (
    "The Hub's all-time counter at the end of each month, read or interpolated between readings at most 120"
    " days apart, and summed over the models; models deleted since keep their last value."
)
_MONTHLY = (
    "Downloads between the first and the last instant of the month, from the all-time counter where it is"
    " known and from 30-day windows near the month's end otherwise, summed over the models that could be"
    " measured."
)


def _last_led(rows: Sequence[Row], key: str, measure: str) -> tuple[str, date]:
    """Who leads in the newest month with the measure (there is one), and since when without a break."""
    led: list[tuple[date, str]] = []
    for month in sorted({row["month"] for row in rows}):
        held = [row for row in rows if row["month"] == month and row[measure] is not None]
        if held:
            led.append((month, max(held, key=lambda row: row[measure])[key]))
    first, leader = led[-1]
    for month, name in reversed(led):
        if name != leader:
            break
        first = month
    return leader, first


# --- cumulative by region -----------------------------------------------------------------------

_REGION_COLUMNS = (
    MONTH,
    Column("region", "Region"),
    Column("downloads_cumulative", "Cumulative downloads", "count"),
    Column("share_cumulative", "Share", "share"),
    Column("coverage_cumulative", "Coverage of models", "share"),
    Column("mark", "Mark"),
)


def _draw_cumulative_by_region(rows: Sequence[Row], styles: Styler) -> Drawing:
    present = {row["region"] for row in rows}
    shown = styles("region", [key for key in REGION_ORDER if key in present])
    y = charts.measure("downloads_cumulative", "cumulative downloads", "count", has_log=True)
    return Drawing([Panel(charts.lines(y, "region", shown, _REGION_COLUMNS, mark="mark"))], shown)


def _tell_cumulative_by_region(rows: Sequence[Row]) -> str:
    last = newest(rows, "downloads_cumulative")
    of = latest(rows, last, "region")
    parts = [
        f"{words.REGIONS[key]} {words.count(of[key]['downloads_cumulative'])}"
        for key in ("china", "us", "eu")
        if key in of and of[key]["downloads_cumulative"] is not None
    ]
    told = f"Cumulative downloads at the end of {words.month(last)}: {words.listed(parts)}."
    leader, since = _last_led(rows, "region", "downloads_cumulative")
    return f"{told} {words.REGIONS.get(leader, leader)} has led since {words.month(since)}."


CUMULATIVE_BY_REGION = Figure(
    id="cumulative_by_region",
    title="Cumulative downloads by region",
    question="Whose open models have been downloaded most so far, by the region of their publisher?",
    definition=f"{_CUMULATIVE} The region is that of the organization that publishes the model.",
    model_set=CORE,
    source="hub",
    columns=_REGION_COLUMNS,
    sql=f"""\
select
    month,
    region,
    downloads_cumulative,
    share_cumulative,
    coverage_cumulative,
{FLAGS.format(coverage="coverage_cumulative")}
from marts.downloads_by_region_monthly
where
    month between
    (select min(month) from marts.downloads_by_region_monthly where downloads_cumulative is not null)
    and (select max(month) from marts.downloads_by_region_monthly where downloads_cumulative is not null)
order by month, region""",
    measure="downloads_cumulative",
    draw=_draw_cumulative_by_region,
    tell=_tell_cumulative_by_region,
    gap=no_counters,
    remarks=(
        "A counter starts when the Hub does, so early months hold downloads from before the series begins.",
        NO_COUNTER,
    ),
    has_log=True,
)

# --- by organization ----------------------------------------------------------------------------

_ORGANIZATION_CUMULATIVE_COLUMNS = (
    MONTH,
    Column("organization", "Organization"),
    Column("downloads_cumulative", "Cumulative downloads", "count"),
    Column("share_cumulative", "Share of all", "share"),
    Column("coverage_cumulative", "Coverage of models", "share"),
    Column("mark", "Mark"),
)


def _draw_cumulative_by_organization(rows: Sequence[Row], styles: Styler) -> Drawing:
    shown = styles("organization", ranked(rows, "organization", "downloads_cumulative"))
    y = charts.measure("downloads_cumulative", "cumulative downloads", "count", has_log=True)
    chart = charts.lines(y, "organization", shown, _ORGANIZATION_CUMULATIVE_COLUMNS, mark="mark", height=340)
    return Drawing([Panel(chart)], shown)


def _tell_cumulative_by_organization(rows: Sequence[Row]) -> str:
    last = newest(rows, "downloads_cumulative")
    of = latest(rows, last, "organization")
    first = [key for key in ranked(rows, "organization", "downloads_cumulative") if key in of][:3]
    parts = [
        f"{key} {words.count(of[key]['downloads_cumulative'])} ({words.percent(of[key]['share_cumulative'])})"
        for key in first
    ]
    return f"Most downloaded up to the end of {words.month(last)}: {words.listed(parts)}."


CUMULATIVE_BY_ORGANIZATION = Figure(
    id="cumulative_by_organization",
    title="Cumulative downloads by organization",
    question="Which organizations' open models have been downloaded most so far?",
    definition=(f"{_CUMULATIVE} An organization is the lab, with all its Hub namespaces. The ten largest."),
    model_set=CORE,
    source="hub",
    columns=_ORGANIZATION_CUMULATIVE_COLUMNS,
    sql=f"""\
with measured as (
    select * from marts.downloads_by_organization_monthly
    where downloads_cumulative is not null
),

shown as (
    select organization from measured
    where month = (select max(month) from measured) and organization <> 'unknown'
    order by downloads_cumulative desc, organization
    limit 10
)

select
    month,
    organization,
    downloads_cumulative,
    share_cumulative,
    coverage_cumulative,
{FLAGS.format(coverage="coverage_cumulative")}
from marts.downloads_by_organization_monthly
inner join shown using (organization)
where month between (select min(month) from measured) and (select max(month) from measured)
order by month, organization""",
    measure="downloads_cumulative",
    draw=_draw_cumulative_by_organization,
    tell=_tell_cumulative_by_organization,
    gap=no_counters,
    remarks=(NO_COUNTER,),
    has_log=True,
)

_ORGANIZATION_COLUMNS = (
    MONTH,
    Column("organization", "Organization"),
    Column("drawn", "Drawn", "count"),
    Column("downloads", "Downloads", "count"),
    Column("downloads_linked", "Linked downloads", "count"),
    Column("downloads_without_anomalies", "Without anomalies", "count"),
    Column("drawn_without", "Drawn without anomalies", "count"),
    Column("coverage", "Coverage", "share"),
    Column("month_coverage", "Coverage of the whole month", "share"),
    Column("is_linked", "Line is linked", "flag"),
    Column("mark", "Mark"),
    Column("null_reason", "Why missing"),
)


def _draw_monthly_by_organization(rows: Sequence[Row], styles: Styler) -> Drawing:
    shown = styles("organization", ranked(rows, "organization", "drawn"))
    y = charts.measure("drawn", "downloads in the month", "count", has_log=True)
    silent = {"drawn_without", "month_coverage", "null_reason"}
    told = [column for column in _ORGANIZATION_COLUMNS if column.name not in silent]
    chart = charts.lines(y, "organization", shown, told, mark="mark", without="drawn_without", height=340)
    return Drawing([Panel(chart)], shown)


def _tell_monthly_by_organization(rows: Sequence[Row]) -> str:
    last, said = told_month(rows, "drawn", "month_coverage")
    of_month = latest(rows, last, "organization")
    of = {key: row["drawn"] for key, row in of_month.items() if row["drawn"] is not None}
    order = sorted(of, key=lambda key: (-of[key], key))
    first, rest = order[0], order[1:9]
    kind = "linked downloads" if of_month[first]["is_linked"] else "downloads"
    told = f"In {said} {first} had {words.count(of[first])} {kind}"
    if rest:
        told += _against(of_month[first], [of_month[key] for key in rest])
    linked = sorted({row["organization"] for row in rows if row["is_linked"]})
    if linked:
        told += f". Drawn as linked downloads, because a month is covered below 95 %: {words.listed(linked)}"
    return f"{told}."


def _against(first: Row, rest: Sequence[Row]) -> str:
    """How the first compares with the rest together; linked downloads do not add up over organizations."""
    measured = [row for row in rest if row["downloads"] is not None]
    if first["downloads"] is None or not measured:
        return ""
    together = sum(row["downloads"] for row in measured)
    relation = "more than" if first["downloads"] > together else "against"
    every = [first, *measured]
    told = f" of the next {len(measured)} together"
    if first["is_linked"]:
        told = (
            f"; measured are {words.count(first['downloads'])}, {relation} the {words.count(together)}{told}"
        )
    else:
        kind = " measured" if any(row["is_linked"] for row in measured) else ""
        told = f", {relation} the {words.count(together)}{kind}{told}"
    least = min(row["coverage"] or 0 for row in every)
    return (
        f"{told} (of each at least {words.percent(least)} of what was expected)" if least < COVERED else told
    )


MONTHLY_BY_ORGANIZATION = Figure(
    id="monthly_by_organization",
    title="Monthly downloads by organization",
    question="Who is being downloaded now, and by how much does the first lead the rest?",
    definition=f"{_MONTHLY} The nine largest organizations of the newest month covered to 95 %. {LINKED}",
    model_set=CORE,
    source="hub",
    columns=_ORGANIZATION_COLUMNS,
    sql=f"""\
with {NEWEST},

measured as (
    select * from marts.downloads_by_organization_monthly
    where downloads is not null
),

shown as (
    select organization from measured
    where month = (select newest.month from newest) and organization <> 'unknown'
    order by downloads desc, organization
    limit 9
),

series as (
    select
        *,
        coalesce(
            min(coverage) filter (where downloads is not null) over (partition by organization) < 0.95,
            false
        ) as is_linked
    from marts.downloads_by_organization_monthly
    inner join shown using (organization)
    where month between (select min(month) from measured) and (select max(month) from measured)
)

select
    series.month,
    organization,
    case when is_linked then downloads_linked else downloads end as drawn,
    downloads,
    downloads_linked,
    downloads_without_anomalies,
    -- a fault of the Hub touches nearly every model: what little is left says nothing
    case
        when not is_linked and downloads_without_anomalies >= 0.5 * downloads then downloads_without_anomalies
    end as drawn_without,
    series.coverage,
    whole.coverage as month_coverage,
    is_linked,
{FLAGS.format(coverage="series.coverage")},
    series.null_reason
from series
left join marts.downloads_concentration_monthly as whole
    on series.month = whole.month and whole.unit = 'organization' and whole.measure = 'downloads'
order by series.month, organization""",
    measure="drawn",
    draw=_draw_monthly_by_organization,
    tell=_tell_monthly_by_organization,
    gap=no_months,
    remarks=(
        UNMEASURED,
        "How a linked line would run without the flagged models is not known: there the table alone gives the"
        " month's measured downloads without them.",
    ),
    has_log=True,
)
