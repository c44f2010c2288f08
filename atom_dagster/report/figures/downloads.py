"""Downloads: totals by region, organization and size, the largest models, new entrants, concentration.

Belongs here: the report's download figures. Does not belong here: switches, coverage and anomalies
(``trust``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from atom_dagster.report import charts, words
from atom_dagster.report.figure import Column, Drawing, Figure, Panel, Row, Style, Styler, newest, ranked
from atom_dagster.report.figures._shared import (
    CORE,
    LINKED,
    MONTH,
    REGION_ORDER,
    SIZE_ORDER,
    UNMEASURED,
    latest,
    leaders,
    no_counters,
    no_months,
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
_FLAGS = """\
    case
        when downloads_without_anomalies is distinct from downloads then 'anomaly'
        when {coverage} < 0.95 then 'low_coverage'
    end as mark"""


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
{_FLAGS.format(coverage="coverage_cumulative")}
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
        UNMEASURED,
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
{_FLAGS.format(coverage="coverage_cumulative")}
from marts.downloads_by_organization_monthly
inner join shown using (organization)
where month between (select min(month) from measured) and (select max(month) from measured)
order by month, organization""",
    measure="downloads_cumulative",
    draw=_draw_cumulative_by_organization,
    tell=_tell_cumulative_by_organization,
    gap=no_counters,
    remarks=(UNMEASURED,),
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
    Column("is_linked", "Line is linked", "flag"),
    Column("mark", "Mark"),
    Column("null_reason", "Why missing"),
)


def _draw_monthly_by_organization(rows: Sequence[Row], styles: Styler) -> Drawing:
    shown = styles("organization", ranked(rows, "organization", "drawn"))
    y = charts.measure("drawn", "downloads in the month", "count", has_log=True)
    told = [column for column in _ORGANIZATION_COLUMNS if column.name not in {"drawn_without", "null_reason"}]
    chart = charts.lines(y, "organization", shown, told, mark="mark", without="drawn_without", height=340)
    return Drawing([Panel(chart)], shown)


def _tell_monthly_by_organization(rows: Sequence[Row]) -> str:
    last = newest(rows, "downloads")
    newest_rows = latest(rows, last, "organization")
    of = {key: row["downloads"] for key, row in newest_rows.items() if row["downloads"] is not None}
    order = sorted(of, key=lambda key: (-of[key], key))
    first, rest = order[0], order[1:9]
    told = f"In {words.month(last)} {first} had {words.count(of[first])} downloads"
    if rest:
        together = sum(of[key] for key in rest)
        relation = "more than" if of[first] > together else "against"
        told += f", {relation} the {words.count(together)} of the next {len(rest)} together"
    linked = sorted({row["organization"] for row in rows if row["is_linked"]})
    if linked:
        told += f". Drawn as linked downloads, because a month is covered below 95 %: {words.listed(linked)}"
    return f"{told}."


MONTHLY_BY_ORGANIZATION = Figure(
    id="monthly_by_organization",
    title="Monthly downloads by organization",
    question="Who is being downloaded now, and by how much does the first lead the rest?",
    definition=f"{_MONTHLY} The nine largest organizations of the newest month. {LINKED}",
    model_set=CORE,
    source="hub",
    columns=_ORGANIZATION_COLUMNS,
    sql=f"""\
with measured as (
    select * from marts.downloads_by_organization_monthly
    where downloads is not null
),

shown as (
    select organization from measured
    where month = (select max(month) from measured) and organization <> 'unknown'
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
    month,
    organization,
    case when is_linked then downloads_linked else downloads end as drawn,
    downloads,
    downloads_linked,
    downloads_without_anomalies,
    -- a fault of the Hub touches nearly every model: what little is left says nothing
    case
        when not is_linked and downloads_without_anomalies >= 0.5 * downloads then downloads_without_anomalies
    end as drawn_without,
    coverage,
    is_linked,
{_FLAGS.format(coverage="coverage")},
    null_reason
from series
order by month, organization""",
    measure="drawn",
    draw=_draw_monthly_by_organization,
    tell=_tell_monthly_by_organization,
    gap=no_months,
    remarks=(UNMEASURED,),
    has_log=True,
)

# --- sizes --------------------------------------------------------------------------------------

_LARGEST_COLUMNS = (
    MONTH,
    Column("organization", "Organization"),
    Column("downloads", "Downloads", "count"),
    Column("downloads_without_anomalies", "Without anomalies", "count"),
    Column("share_of_size", "Share of 250B+ in the month", "share"),
    Column("downloads_cumulative", "Cumulative downloads", "count"),
    Column("share_of_size_cumulative", "Share of 250B+ so far", "share"),
    Column("coverage", "Coverage", "share"),
    Column("mark", "Mark"),
)


def _draw_share_of_largest_size(rows: Sequence[Row], styles: Styler) -> Drawing:
    shown = styles("organization", ranked(rows, "organization", "share_of_size"))
    panels = []
    for name, title in (
        ("share_of_size", "Share of the month"),
        ("share_of_size_cumulative", "Share so far"),
    ):
        if newest(rows, name) is not None:
            y = charts.measure(name, "share of 250B+ downloads", "share")
            panels.append(
                Panel(
                    charts.lines(y, "organization", shown, _LARGEST_COLUMNS, mark="mark", height=260), title
                )
            )
    return Drawing(panels, shown)


def _tell_share_of_largest_size(rows: Sequence[Row]) -> str:
    last = newest(rows, "share_of_size")
    of = latest(rows, last, "organization")
    month = leaders(
        [(key, row["share_of_size"]) for key, row in of.items() if row["share_of_size"] is not None]
    )
    told = f"Of the downloads of models with 250 billion or more parameters, {words.month(last)} gave {month}"
    so_far = [
        (key, row["share_of_size_cumulative"])
        for key, row in of.items()
        if row["share_of_size_cumulative"] is not None
    ]
    return f"{told}; of all so far: {leaders(so_far)}." if so_far else f"{told}."


SHARE_OF_LARGEST_SIZE = Figure(
    id="share_of_largest_size",
    title="Who leads the largest models",
    question="Whose models with 250 billion or more parameters are downloaded?",
    definition=(
        "Each organization's share of the downloads of models with at least 250 billion total parameters"
        " (of a mixture of experts all its experts count), in the month and cumulative; the six largest."
    ),
    model_set=CORE,
    source="hub",
    columns=_LARGEST_COLUMNS,
    sql=f"""\
with largest as (
    select * from marts.downloads_by_organization_size_monthly
    where size_bucket = '250B+'
),

measured as (
    select * from largest
    where downloads is not null
),

shown as (
    select organization from measured
    where month = (select max(month) from measured)
    order by downloads desc, organization
    limit 6
)

select
    largest.month,
    largest.organization,
    largest.downloads,
    largest.downloads_without_anomalies,
    largest.share_of_size,
    largest.downloads_cumulative,
    largest.share_of_size_cumulative,
    largest.coverage,
{_FLAGS.format(coverage="coverage")}
from largest
inner join shown using (organization)
where largest.month between (select min(month) from measured) and (select max(month) from measured)
order by largest.month, largest.organization""",
    measure="share_of_size",
    draw=_draw_share_of_largest_size,
    tell=_tell_share_of_largest_size,
    gap=no_months,
    remarks=(
        "The report's 47 % for DeepSeek does not say whether it is monthly or cumulative; what is known of"
        " both is drawn.",
    ),
)

_SIZE_COLUMNS = (
    MONTH,
    Column("size_bucket", "Total parameters"),
    Column("share", "Share", "share"),
    Column("downloads", "Downloads", "count"),
    Column("downloads_without_anomalies", "Without anomalies", "count"),
    Column("coverage", "Coverage", "share"),
    Column("mark", "Mark"),
)


def _size_styles(rows: Sequence[Row]) -> list[Style]:
    present = {row["size_bucket"] for row in rows}
    return [
        Style(key, "Unknown" if key == "unknown" else key, color)
        for key, color in zip(SIZE_ORDER, charts.SIZE_COLORS, strict=True)
        if key in present
    ]


def _draw_size_mix(rows: Sequence[Row], styles: Styler) -> Drawing:
    del styles
    shown = _size_styles(rows)
    y = charts.measure("share", "share of the month's downloads", "share")
    return Drawing([Panel(charts.stacked(y, "size_bucket", shown, _SIZE_COLUMNS, mark="mark"))], shown)


def _tell_size_mix(rows: Sequence[Row]) -> str:
    last = newest(rows, "share")
    of = {row["size_bucket"]: row["share"] or 0 for row in rows if row["month"] == last}
    small = sum(of.get(key, 0) for key in ("<1B", "1-5B", "5-10B"))
    large = sum(of.get(key, 0) for key in ("100-250B", "250B+"))
    return (
        f"In {words.month(last)} models below 10 billion parameters drew {words.percent(small)} of"
        f" downloads, those of 100 billion or more {words.percent(large)}."
    )


SIZE_MIX = Figure(
    id="size_mix",
    title="The size mix",
    question="How large are the models that people download?",
    definition=(
        "Each size class's share of the month's downloads, by total parameters; a model whose size is not"
        " known counts as unknown. (The report labels the class of 5 to 10 billion “7-9B”.)"
    ),
    model_set=CORE,
    source="hub",
    columns=_SIZE_COLUMNS,
    sql=f"""\
select
    month,
    size_bucket,
    share,
    downloads,
    downloads_without_anomalies,
    coverage,
{_FLAGS.format(coverage="coverage")}
from marts.downloads_by_size_monthly
where
    month between
    (select min(month) from marts.downloads_by_size_monthly where downloads is not null)
    and (select max(month) from marts.downloads_by_size_monthly where downloads is not null)
order by month, size_bucket""",
    measure="share",
    draw=_draw_size_mix,
    tell=_tell_size_mix,
    gap=no_months,
    remarks=(
        "Months whose classes are unequally covered shift the mix; the table gives each month's coverage.",
    ),
)
