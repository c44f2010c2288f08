"""Who stands out: the largest models, new entrants, how concentrated downloads are, who passed whom.

Belongs here: the report's figures that rank. Does not belong here: totals by key (``downloads``).
"""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from atom_dagster.report import charts, marks, words
from atom_dagster.report.figure import Column, Drawing, Figure, Panel, Row, Styler, ranked
from atom_dagster.report.figures._shared import (
    CORE,
    FEW,
    MARK,
    MONTH,
    NEWEST,
    REGION_ORDER,
    UNMEASURED,
    no_months,
    told_month,
)
from atom_dagster.report.figures._spikes import UNTESTED

_TOP_COLUMNS = (
    Column("place", "Place", "number"),
    Column("model_id", "Model"),
    Column("organization", "Organization"),
    Column("region", "Region"),
    Column("size_bucket", "Total parameters"),
    MONTH,
    Column("downloads", "Downloads", "count"),
    Column("downloads_cumulative", "Cumulative downloads", "count"),
    Column("method", "Method", is_secondary=True),
    Column("month_coverage", "Coverage of the whole month", "share", is_secondary=True),
    Column("mark", "Mark"),
    Column("anomaly_reason", "Anomaly"),
)


def _draw_top_models(rows: Sequence[Row], styles: Styler) -> Drawing:
    present = {row["region"] for row in rows}
    shown = styles("region", [key for key in REGION_ORDER if key in present])
    x = charts.across("downloads", "downloads in the month", "count")
    chart = charts.bars(
        len(rows), x, charts.rows_axis("model_id"), "region", shown, _TOP_COLUMNS, mark="mark"
    )
    return Drawing([Panel(chart)], shown)


def _tell_top_models(rows: Sequence[Row]) -> str:
    first = rows[0]
    _, said = told_month(rows, "downloads", "month_coverage")
    by_region = sorted(
        {row["region"] for row in rows},
        key=lambda key: (-sum(row["region"] == key for row in rows), key),
    )
    parts = [f"{sum(row['region'] == key for row in rows)} from {words.region(key)}" for key in by_region]
    return (
        f"{first['model_id']} was the most downloaded model of {said}, with"
        f" {words.count(first['downloads'])} downloads; of the first {words.models(len(rows))},"
        f" {words.listed(parts)}.{_tell_untested(rows)}"
    )


def _tell_untested(rows: Sequence[Row]) -> str:
    """What the first place is worth where nobody can say whether it is a spike."""
    untested = [row["place"] for row in rows if "untested" in marks.of(row)]
    if 1 not in untested:
        return ""
    told = (
        " Whether the first place is a spike cannot be told, because fewer than three of the model's months"
        " around are measured"
    )
    others = len(untested) - 1
    return f"{told}; the same holds for {others} of the others." if others else f"{told}."


TOP_MODELS = Figure(
    id="top_models",
    title="The most downloaded models",
    question="Which models were downloaded most in the newest month?",
    definition=(
        "Downloads of each model in the newest closed month covered to 95 %, else in the newest that is"
        " measured; the first twenty. Official precision variants"
        " are models of their own, as in the registry's list. Where too few of a model's months are"
        " measured, nobody can say whether this one is a spike (see Anomalies)."
    ),
    model_set=CORE,
    source="hub",
    columns=_TOP_COLUMNS,
    sql=f"""\
with {NEWEST},

{UNTESTED}

select
    row_number() over (order by monthly.downloads desc, monthly.model_id) as place,
    monthly.model_id,
    models.organization,
    models.region,
    models.size_bucket,
    monthly.month,
    monthly.downloads,
    monthly.downloads_cumulative,
    monthly.method,
    newest.coverage as month_coverage,
    nullif(
        concat_ws(
            ', ',
            case when untested.model_id is not null then 'untested' end,
            case when monthly.is_anomalous then 'anomaly' end
        ),
        ''
    ) as mark,
    monthly.anomaly_reason
from marts.downloads_by_model_monthly as monthly
inner join newest using (month)
inner join marts.models as models using (model_id)
left join untested on monthly.model_id = untested.model_id and monthly.month = untested.month
where monthly.downloads is not null
order by place
limit 20""",
    measure="downloads",
    draw=_draw_top_models,
    tell=_tell_top_models,
    gap=no_months,
)

_ENTRANT_COLUMNS = (
    Column("since", "Window begins", "day"),
    MONTH,
    Column("organization", "Organization"),
    Column("region", "Region", is_secondary=True),
    Column("downloads", "Downloads", "count", is_secondary=True),
    Column("downloads_since", "Since the window began", "count"),
    Column("downloads_since_without_anomalies", "Of them without anomalies", "count"),
    Column("downloads_new_models_since", "Of them models released since", "count"),
    Column("downloads_before", "Cumulative before", "count", is_secondary=True),
    Column("coverage_since", "Coverage since the window began", "share"),
    Column("least_coverage", "Least coverage of those shown", "share"),
    Column("organizations", "Organizations", "count"),
    Column("organizations_unjudged", "Of them not known whether small before", "count"),
    Column("mark", "Mark"),
)


def _draw_new_entrants(rows: Sequence[Row], styles: Styler) -> Drawing:
    shown = styles("organization", ranked(rows, "organization", "downloads_since"))
    y = charts.measure("downloads_since", "downloads since the window began", "count", has_log=True)
    silent = {"least_coverage", "organizations", "organizations_unjudged"}
    told = [column for column in _ENTRANT_COLUMNS if column.name not in silent]
    return Drawing([Panel(charts.lines(y, "organization", shown, told, mark="mark"))], shown)


def _tell_new_entrants(rows: Sequence[Row]) -> str:
    last, said = told_month(rows, "downloads_since", "least_coverage")
    held = [row for row in rows if row["month"] == last and row["downloads_since"] is not None]
    if len(held) > 1:
        said = said.replace("(", "(of each at least ")
    first = sorted(held, key=lambda row: (-row["downloads_since"], row["organization"]))[:3]
    parts = [f"{row['organization']} {words.count(row['downloads_since'])}" for row in first]
    since, every, unjudged = (rows[0][name] for name in ("since", "organizations", "organizations_unjudged"))
    unknown = f"it is not known whether {unjudged} of {every} organizations"
    if 2 * unjudged > every:
        return (
            f"I{unknown[1:]} were small before {since}; of those that were, up to the end of {said}:"
            f" {words.listed(parts)}."
        )
    told = (
        f"Strongest of the organizations that were small before {since}, up to the end of {said}:"
        f" {words.listed(parts)}"
    )
    return f"{told}; {unknown} were." if unjudged else f"{told}."


NEW_ENTRANTS = Figure(
    id="new_entrants",
    title="New entrants",
    question="Which organizations that hardly counted before have gained downloads since?",
    definition=(
        "Downloads summed from August 2025 on, for organizations whose counters stood below the threshold"
        " for entrants at that time, all but one in twenty of them known; the eight largest. An organization"
        " whose counters of that time are not known is not shown: the table counts them, and says how much"
        " goes to models released since. new_entrants_monthly holds the window from July 2025 too."
    ),
    model_set=CORE,
    source="hub",
    columns=_ENTRANT_COLUMNS,
    sql=f"""\
with window_months as (
    select * from marts.new_entrants_monthly
    where organization <> 'unknown' and since = date '2025-08-01'
),

judged as (
    select
        count(distinct organization) as organizations,
        count(distinct organization) filter (where is_entrant is null) as organizations_unjudged
    from window_months
),

entrants as (
    select * from window_months
    where is_entrant
),

measured as (
    select * from entrants
    where downloads_since is not null and null_reason is null
),

newest as (
    select max(month) as month from measured
),

shown as (
    select measured.organization from measured
    inner join newest using (month)
    order by measured.downloads_since desc, measured.organization
    limit 8
),

flagged as (
    select distinct month, organization from marts.anomalies
)

select
    entrants.since,
    entrants.month,
    entrants.organization,
    entrants.region,
    entrants.downloads,
    entrants.downloads_since,
    entrants.downloads_since_without_anomalies,
    entrants.downloads_new_models_since,
    entrants.downloads_before,
    entrants.coverage_since,
    min(entrants.coverage_since) over (partition by entrants.month) as least_coverage,
    judged.organizations,
    judged.organizations_unjudged,
{MARK.format(coverage="entrants.coverage_since", anomaly="flagged.month is not null")}
from entrants
inner join shown using (organization)
left join flagged using (month, organization)
inner join newest on entrants.month <= newest.month
cross join judged
order by entrants.month, entrants.organization""",
    measure="downloads_since",
    draw=_draw_new_entrants,
    tell=_tell_new_entrants,
    gap=lambda facts: (
        no_months(facts)
        if not facts.has_counters
        else "No organization is known to be an entrant of the window."
    ),
    has_log=True,
)

_CONCENTRATION_COLUMNS = (
    MONTH,
    Column("unit", "Among"),
    Column("hhi", "Herfindahl-Hirschman index", "number"),
    Column("top1_share", "First", "share"),
    Column("top5_share", "First five", "share"),
    Column("top10_share", "First ten", "share"),
    Column("share_unattributed", "Not attributed", "share"),
    Column("keys", "Counted", "count"),
    Column("coverage", "Coverage", "share"),
    Column("mark", "Mark"),
    Column("null_reason", "Why missing"),
)
_UNITS = (
    ("organization", "Organizations"),
    ("model", "Models"),
    ("family", "Families"),
    ("country", "Countries"),
)


def _draw_concentration(rows: Sequence[Row], styles: Styler) -> Drawing:
    del styles
    present = {row["unit"] for row in rows}
    shown = charts.series([unit for unit in _UNITS if unit[0] in present])
    y = charts.measure("hhi", "HHI (1 = one takes all)", "ratio")
    panels = [
        Panel(
            charts.lines(y, "unit", shown, _CONCENTRATION_COLUMNS, mark="mark", height=240),
            "Herfindahl-Hirschman index",
        )
    ]
    for name, title in (("top1_share", "Share of the first"), ("top5_share", "Share of the first five")):
        y = charts.measure(name, "share of the month's downloads", "share")
        chart = charts.lines(y, "unit", shown, _CONCENTRATION_COLUMNS, mark="mark", height=240)
        panels.append(Panel(chart, title))
    y = charts.measure("top10_share", "share of the month's downloads", "share")
    chart = charts.lines(y, "unit", shown, _CONCENTRATION_COLUMNS, mark="mark", height=240)
    panels.append(Panel(chart, "Share of the first ten"))
    return Drawing(panels, shown)


def _tell_concentration(rows: Sequence[Row]) -> str:
    last, said = told_month(rows, "hhi", "coverage")
    of = {row["unit"]: row for row in rows if row["month"] == last and row["hhi"] is not None}
    row = of.get("organization") or next(iter(of.values()))
    return (
        f"In {said} the first {row['unit']} drew {words.percent(row['top1_share'])} of"
        f" downloads, the first five {words.percent(row['top5_share'])} and the first ten"
        f" {words.percent(row['top10_share'])}; the Herfindahl-Hirschman index stood at {row['hhi']:.2f}."
    )


CONCENTRATION = Figure(
    id="concentration",
    title="Concentration",
    question="How much of the ecosystem hangs on a few?",
    definition=(
        "The Herfindahl-Hirschman index is the sum of the squared shares of a month's downloads: 1 when one"
        " takes all, 1/n when n are equal. Beside it the shares of the first, the first five and the first"
        " ten."
    ),
    model_set=CORE,
    source="hub",
    columns=_CONCENTRATION_COLUMNS,
    sql=f"""\
with monthly as (
    select * from marts.downloads_concentration_monthly
    where measure = 'downloads'
)

select
    monthly.month,
    monthly.unit,
    monthly.hhi,
    monthly.top1_share,
    monthly.top5_share,
    monthly.top10_share,
    monthly.share_unattributed,
    monthly.keys,
    monthly.coverage,
{MARK.format(coverage="monthly.coverage", anomaly="monthly.has_anomalies")},
    monthly.null_reason
from monthly
where
    monthly.month between
    (select min(month) from monthly where hhi is not null)
    and (select max(month) from monthly where hhi is not null)
order by monthly.month, monthly.unit""",
    measure="hhi",
    draw=_draw_concentration,
    tell=_tell_concentration,
    gap=no_months,
    remarks=(
        UNMEASURED,
        "Months of unequal coverage are not comparable; the table gives each month's coverage.",
    ),
)

_CROSSOVER_COLUMNS = (
    Column("pair", "Who passed whom"),
    MONTH,
    Column("metric", "Metric"),
    Column("leader", "Passed", is_secondary=True),
    Column("trailer", "Was passed", is_secondary=True),
    Column("occurrence", "Time", "number", is_secondary=True),
    Column("leader_value", "Leader's value", "number"),
    Column("trailer_value", "Trailer's value", "number"),
    Column("previous_month", "Compared with", "month"),
    Column("coverage", "Coverage", "share"),
    Column("coverage_before", "Coverage before", "share"),
    Column("is_comparable", "Compares like with like", "flag"),
)
_METRICS = (
    ("downloads_cumulative_by_region", "cumulative downloads by region"),
    ("downloads_cumulative_by_organization", "cumulative downloads by organization"),
    ("downloads_cumulative_by_family", "cumulative downloads by family"),
    ("derivatives_share_by_region", "share of new derivatives by region"),
)


def _draw_crossovers(rows: Sequence[Row], styles: Styler) -> Drawing:
    del styles
    present = {row["metric"] for row in rows}
    shown = charts.points(charts.series([(key, name) for key, name in _METRICS if key in present]))
    x = charts.months(padding=12)
    axis = alt.Axis(title=None, labelLimit=200)
    y = alt.Y(field="pair", type="nominal", sort=None, axis=axis)
    return Drawing(
        [Panel(charts.dots(len({row["pair"] for row in rows}), x, y, "metric", shown, _CROSSOVER_COLUMNS))],
        shown,
    )


def _tell_crossovers(rows: Sequence[Row]) -> str:
    names = dict(_METRICS)
    sure = [row for row in rows if row["is_comparable"]]
    recent = sorted(sure, key=lambda row: (row["month"], row["pair"]), reverse=True)[:3]
    parts = [
        f"{row['pair']} in {words.month(row['month'])} ({names.get(row['metric'], row['metric'])})"
        for row in recent
    ]
    told = f"Of {len(rows)} crossings shown, {len(sure)} compare like with like"
    return f"{told}; the latest of them: {'; '.join(parts)}." if parts else f"{told}."


CROSSOVERS = Figure(
    id="crossovers",
    title="Crossings",
    question="Who passed whom, and when?",
    definition=(
        "The first month in which one key's value exceeds another's after having been below it; months in"
        " which either is unknown do not count. Shown are the six largest organizations and families and"
        " the three regions, in cumulative downloads and in regions' shares of new derivatives; the fifty"
        " latest. Like is compared with like when both months follow each other and downloads are covered to"
        f" 95 % in both, or shares are of {FEW} or more new derivatives with a known base and no longer"
        " provisional: only then is it sure that the values crossed, and not what was measured."
    ),
    model_set=CORE,
    source="hub",
    columns=_CROSSOVER_COLUMNS,
    sql="""\
with largest as (
    (
        select 'downloads_cumulative_by_organization' as metric, organization as name, null as label
        from marts.downloads_by_organization_monthly
        where downloads_cumulative is not null and organization <> 'unknown'
        qualify dense_rank() over (order by month desc) = 1
        order by downloads_cumulative desc, organization
        limit 6
    )
    union all
    (
        select 'downloads_cumulative_by_family' as metric, family as name, null as label
        from marts.downloads_by_family_monthly
        where downloads_cumulative is not null and family <> 'unknown'
        qualify dense_rank() over (order by month desc) = 1
        order by downloads_cumulative desc, family
        limit 6
    )
    union all
    select metrics.metric, regions.name, regions.label
    from
        (values ('downloads_cumulative_by_region'), ('derivatives_share_by_region')) as metrics (metric)
    cross join
        (values ('us', 'United States'), ('china', 'China'), ('eu', 'Europe')) as regions (name, label)
)

select
    coalesce(leader.label, leader.name) || ' passed ' || coalesce(trailer.label, trailer.name) as pair,
    crossovers.month,
    crossovers.metric,
    crossovers.leader,
    crossovers.trailer,
    crossovers.occurrence,
    crossovers.leader_value,
    crossovers.trailer_value,
    crossovers.previous_month,
    crossovers.coverage,
    crossovers.coverage_before,
    crossovers.is_comparable
from marts.crossovers as crossovers
inner join largest as leader on crossovers.metric = leader.metric and crossovers.leader = leader.name
inner join largest as trailer on crossovers.metric = trailer.metric and crossovers.trailer = trailer.name
where crossovers.metric <> 'derivatives_share_by_region' or crossovers.is_comparable
order by crossovers.month desc, pair, crossovers.metric
limit 50""",
    measure="leader_value",
    draw=_draw_crossovers,
    tell=_tell_crossovers,
    gap=lambda facts: (
        f"No two of the largest cross in a month in which enough is known of both ({facts.model_set})."
    ),
    remarks=(
        "A crossing is no more certain than the two values: the table gives both, and the smaller coverage.",
        "Of shares of new derivatives only crossings that compare like with like are shown.",
    ),
)
