"""Sizes: who leads the largest models, and how large the models are that people download.

Belongs here: the report's download figures by size class. Does not belong here: totals by publisher
(``downloads``).
"""

from __future__ import annotations

from collections.abc import Sequence

from atom_dagster.report import charts, words
from atom_dagster.report.figure import Column, Drawing, Figure, Panel, Row, Style, Styler, newest, ranked
from atom_dagster.report.figures._shared import (
    CORE,
    FLAGS,
    MONTH,
    SIZE_ORDER,
    UNMEASURED,
    latest,
    leaders,
    no_months,
    told_month,
)

_LARGEST_COLUMNS = (
    MONTH,
    Column("organization", "Organization"),
    Column("downloads", "Downloads", "count"),
    Column("downloads_without_anomalies", "Without anomalies", "count"),
    Column("share_of_size", "Share of 250B+ in the month", "share"),
    Column("downloads_cumulative", "Cumulative downloads", "count"),
    Column("share_of_size_cumulative", "Share of 250B+ so far", "share"),
    Column("coverage", "Coverage", "share"),
    Column("size_coverage", "Coverage of 250B+", "share"),
    Column("mark", "Mark"),
    Column("null_reason", "Why missing"),
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
    return Drawing(panels, shown, marked=("share_of_size", "share_of_size_cumulative"))


def _tell_share_of_largest_size(rows: Sequence[Row]) -> str:
    last, said = told_month(rows, "share_of_size", "size_coverage")
    of = latest(rows, last, "organization")
    month = leaders(
        [(key, row["share_of_size"]) for key, row in of.items() if row["share_of_size"] is not None]
    )
    told = f"Of the downloads of models with 250 billion or more parameters, {said} gave {month}"
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

size_months as (
    select month, downloads is not null as is_measured, coverage from marts.downloads_by_size_monthly
    where size_bucket = '250B+'
),

-- the newest month covered to 95 %, else the newest that is measured at all
newest as (
    select month from size_months
    where is_measured
    order by coverage >= 0.95 desc, month desc
    limit 1
),

measured as (
    select * from largest
    where downloads is not null
),

shown as (
    select organization from measured
    where month = (select newest.month from newest)
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
    size_months.coverage as size_coverage,
{FLAGS.format(coverage="largest.coverage")},
    largest.null_reason
from largest
inner join shown using (organization)
left join size_months on largest.month = size_months.month
where largest.month between (select min(month) from measured) and (select max(month) from measured)
order by largest.month, largest.organization""",
    measure="share_of_size",
    draw=_draw_share_of_largest_size,
    tell=_tell_share_of_largest_size,
    gap=no_months,
    remarks=(
        UNMEASURED,
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
    Column("month_coverage", "Coverage of the whole month", "share"),
    Column("mark", "Mark"),
    Column("null_reason", "Why missing"),
)


def _size_styles(rows: Sequence[Row]) -> list[Style]:
    present = {row["size_bucket"] for row in rows}
    return [
        Style(key, "Unknown" if key == "unknown" else key, color, shape="square")
        for key, color in zip(SIZE_ORDER, charts.SIZE_COLORS, strict=True)
        if key in present
    ]


def _draw_size_mix(rows: Sequence[Row], styles: Styler) -> Drawing:
    del styles
    shown = _size_styles(rows)
    y = charts.measure("share", "share of the month's downloads", "share")
    return Drawing([Panel(charts.stacked(y, "size_bucket", shown, _SIZE_COLUMNS, mark="mark"))], shown)


def _tell_size_mix(rows: Sequence[Row]) -> str:
    last, said = told_month(rows, "share", "month_coverage")
    of = {row["size_bucket"]: row["share"] or 0 for row in rows if row["month"] == last}
    small = sum(of.get(key, 0) for key in ("<1B", "1-5B", "5-10B"))
    large = sum(of.get(key, 0) for key in ("100-250B", "250B+"))
    return (
        f"In {said} models below 10 billion parameters drew {words.percent(small)} of"
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
    sizes.month,
    sizes.size_bucket,
    sizes.share,
    sizes.downloads,
    sizes.downloads_without_anomalies,
    sizes.coverage,
    whole.coverage as month_coverage,
{FLAGS.format(coverage="sizes.coverage")},
    sizes.null_reason
from marts.downloads_by_size_monthly as sizes
left join marts.downloads_concentration_monthly as whole
    on sizes.month = whole.month and whole.unit = 'organization' and whole.measure = 'downloads'
where
    sizes.month between
    (select min(month) from marts.downloads_by_size_monthly where downloads is not null)
    and (select max(month) from marts.downloads_by_size_monthly where downloads is not null)
order by sizes.month, sizes.size_bucket""",
    measure="share",
    draw=_draw_size_mix,
    tell=_tell_size_mix,
    gap=no_months,
    remarks=(
        UNMEASURED.replace("in the line", "among the bars"),
        "Months whose classes are unequally covered shift the mix; the table gives each class's coverage."
        " A mark on top of a month holds for at least one of its classes.",
    ),
)
