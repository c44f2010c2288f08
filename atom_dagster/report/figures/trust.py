"""How far to trust it: coverage, anomalies and switches.

Belongs here: figures about the measurement itself. Does not belong here: what is measured, or what the
report says of it (``claims``).
"""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from atom_dagster.report import charts, words
from atom_dagster.report.figure import Column, Drawing, Figure, Panel, Row, Styler, newest
from atom_dagster.report.figures._shared import (
    CORE,
    FLAGS,
    MONTH,
    NEWEST,
    REGION_ORDER,
    no_months,
    told_month,
)
from atom_dagster.report.figures._spikes import RULE, UNTESTED

_COVERAGE_COLUMNS = (
    MONTH,
    Column("region", "Region"),
    Column("coverage", "Coverage by downloads", "share"),
    Column("coverage_cumulative", "Coverage of counters", "share"),
    Column("models_measured", "Models measured", "count"),
    Column("models_expected", "Models expected", "count"),
    Column("null_reason", "Why missing"),
)


def _draw_coverage(rows: Sequence[Row], styles: Styler) -> Drawing:
    present = {row["region"] for row in rows}
    shown = styles("region", [key for key in REGION_ORDER if key in present])
    panels = []
    for name, title in (("coverage", "Of the month's downloads"), ("coverage_cumulative", "Of the counters")):
        y = charts.measure(name, "share measured", "share")
        panels.append(
            Panel(charts.lines(y, "region", shown, _COVERAGE_COLUMNS, rule=0.95, height=220), title)
        )
    return Drawing(panels, shown)


def _tell_coverage(rows: Sequence[Row]) -> str:
    closed = [row for row in rows if row["null_reason"] != "month_open"]
    months = sorted({row["month"] for row in closed})
    full = [
        month
        for month in months
        if all(
            (row["coverage"] or 0) >= 0.95
            for row in closed
            if row["month"] == month and row["models_expected"]
        )
    ]
    if not full:
        return f"None of {len(months)} closed months is covered to 95 % in every region."
    return (
        f"{len(full)} of {len(months)} closed months are covered to 95 % in every region, the newest"
        f" {words.month(full[-1])}."
    )


COVERAGE = Figure(
    id="coverage",
    title="Coverage",
    question="How much of what should have been measured was measured?",
    definition=(
        "The share of expected downloads that was measured, where a model that is missing stands with its"
        " nearest measured month; and the share of models whose all-time counter is known. The line lies at"
        " 95 %."
    ),
    model_set=CORE,
    source="hub",
    columns=_COVERAGE_COLUMNS,
    sql="""\
select
    month,
    region,
    coverage,
    coverage_cumulative,
    models_measured,
    models_expected,
    null_reason
from marts.downloads_by_region_monthly
where null_reason is distinct from 'month_open'
order by month, region""",
    measure="coverage",
    draw=_draw_coverage,
    tell=_tell_coverage,
    gap=no_months,
)

_ANOMALY_COLUMNS = (
    Column("label", "What and when"),
    MONTH,
    Column("model_id", "Model", is_secondary=True),
    Column("organization", "Organization", is_secondary=True),
    Column("region", "Region", is_secondary=True),
    Column("anomaly_reason", "What"),
    Column("models", "Models", "count"),
    Column("downloads", "Downloads", "count"),
    Column("typical_downloads", "Typical", "count"),
    Column("excess_downloads", "Excess", "count", is_secondary=True),
    Column("ratio", "Downloads against typical", "ratio"),
    Column("month_downloads", "All downloads of the month", "count"),
    Column("month_without", "Without anomalies", "count"),
    Column("month_coverage", "Coverage of the whole month", "share", is_secondary=True),
    Column("known_cause", "Known cause"),
    Column("known_cause_url", "Source", "link", is_secondary=True),
)
_REASONS = (
    ("spike", "spike"),
    ("reset", "counter began anew"),
    ("correction", "counter was corrected"),
    ("hub_fault", "fault of the Hub, all models"),
)
_UNTESTED = "untested"


def _draw_anomalies(rows: Sequence[Row], styles: Styler) -> Drawing:
    del styles
    known = dict(_REASONS)
    present = {row["anomaly_reason"] for row in rows} - {_UNTESTED}
    names = [*_REASONS, *((key, key.replace("_", " ")) for key in sorted(present - known.keys()))]
    shown = charts.points(charts.series([(key, name) for key, name in names if key in present]))
    drawn = [row for row in rows if row["ratio"]]
    if not drawn:
        return Drawing([])
    x = charts.across("ratio", "downloads ÷ what is typical", "ratio", is_log=True)
    # The month first: a long name is cut at its end.
    month_first = "replace(datum.label, regexp('^(?:.*/)?(.*), ([0-9]{4}-[0-9]{2})$'), '$2 $1')"
    y = alt.Y(
        field="label", type="nominal", sort=None, axis=alt.Axis(title=None, labelExpr=month_first, grid=False)
    )
    chart = charts.dots(
        len(drawn), x, y, "anomaly_reason", shown, _ANOMALY_COLUMNS, only="datum.ratio > 0", rule=1
    )
    return Drawing([Panel(chart)], shown)


def _tell_anomalies(rows: Sequence[Row]) -> str:
    single = [row for row in rows if row["anomaly_reason"] not in {"hub_fault", _UNTESTED}]
    faults = [row for row in rows if row["anomaly_reason"] == "hub_fault"]
    parts = []
    if single:
        first = single[0]
        parts.append(
            f"Of single models' months the first is {first['model_id']} in {words.month(first['month'])}"
            f" ({first['anomaly_reason'].replace('_', ' ')}): {words.count(first['downloads'])} downloads"
            f" against a typical {words.count(first['typical_downloads'])}."
        )
    if faults:
        months = words.listed(
            [f"{words.month(row['month'])} ({words.models(row['models'])})" for row in faults]
        )
        parts.append(f"A fault of the Hub touches {months}.")
    untested = [row for row in rows if row["anomaly_reason"] == _UNTESTED]
    if untested:
        parts.append(_told_untested(untested))
    return " ".join(parts)


def _told_untested(rows: Sequence[Row]) -> str:
    """How much no rule could judge, from the rows of months in which that is so and the newest one's."""
    number = sum(row["models"] for row in rows)
    if not number:
        return "Every month that a spike could be in could be tested."
    month, said = told_month(rows, "month_downloads", "month_coverage")
    [newest_row] = [row for row in rows if row["month"] == month]
    share = newest_row["downloads"] / newest_row["month_downloads"] if newest_row["month_downloads"] else None
    return (
        f"{number:,} models' months of 100,000 downloads or more could not be tested for a spike, because"
        f" fewer than three of the months around them are measured; in {said} they hold"
        f" {words.percent(share)} of the downloads."
    )


ANOMALIES = Figure(
    id="anomalies",
    title="Anomalies",
    question="Which months of which models should not be taken at face value?",
    definition=(
        f"A model's month is flagged when it is a spike ({RULE}), when its counter fell, or when a fault of"
        " the Hub touches it. Typical is the"
        " median of the model's other months within three to both sides. First the ten largest spikes,"
        " then the ten largest of each kind of fall; a fault of the Hub is one row a month, over all models"
        " it touches. The table gives the month's total with and without all flagged months, and what is"
        " known of the cause. Last come the months in which models could not be tested, because fewer than"
        " three of the months around are measured. A flagged month bears a diamond in every figure of"
        " downloads; adoption, crossings and claims bear none."
    ),
    model_set=CORE,
    source="hub",
    columns=_ANOMALY_COLUMNS,
    sql=f"""\
with {NEWEST},

months as (
    select
        month,
        cast(sum(downloads) as bigint) as month_downloads,
        cast(sum(downloads_without_anomalies) as bigint) as month_without
    from marts.downloads_by_region_monthly
    group by month
),

single as (
    select
        model_id || ', ' || strftime(month, '%Y-%m') as label,
        month,
        model_id,
        organization,
        region,
        anomaly_reason,
        1 as models,
        downloads,
        typical_downloads,
        excess_downloads,
        ratio,
        known_cause,
        known_cause_url
    from marts.anomalies
    where anomaly_reason <> 'hub_fault' and excess_downloads is not null
    qualify
        row_number() over (
            partition by anomaly_reason
            order by abs(excess_downloads) desc, month, model_id
        ) <= 10
),

faults as (
    select
        'Fault of the Hub, ' || strftime(month, '%Y-%m') as label,
        month,
        null as model_id,
        null as organization,
        null as region,
        anomaly_reason,
        max(fault_models) as models,
        cast(sum(downloads) as bigint) as downloads,
        cast(sum(cast(typical_downloads * 2 as bigint)) as double) / 2 as typical_downloads,
        cast(sum(cast(excess_downloads * 2 as bigint)) as double) / 2 as excess_downloads,
        cast(sum(downloads) as double)
        / nullif(cast(sum(cast(typical_downloads * 2 as bigint)) as double) / 2, 0) as ratio,
        max(known_cause) as known_cause,
        max(known_cause_url) as known_cause_url
    from marts.anomalies
    where anomaly_reason = 'hub_fault' and excess_downloads is not null
    group by month, anomaly_reason
),

{UNTESTED},

-- the months in which something could not be tested, and the newest in any case
unjudged as (
    select
        'Not tested for a spike, ' || strftime(month, '%Y-%m') as label,
        month,
        null as model_id,
        null as organization,
        null as region,
        'untested' as anomaly_reason,
        count(untested.model_id) as models,
        coalesce(cast(sum(untested.downloads) as bigint), 0) as downloads,
        null as typical_downloads,
        null as excess_downloads,
        null as ratio,
        null as known_cause,
        null as known_cause_url
    from (select month from newest union select month from untested) as shown
    left join untested using (month)
    group by month
),

found as (
    select * from single
    union all
    select * from faults
    union all
    select * from unjudged
)

select
    found.label,
    found.month,
    found.model_id,
    found.organization,
    found.region,
    found.anomaly_reason,
    found.models,
    found.downloads,
    found.typical_downloads,
    found.excess_downloads,
    found.ratio,
    months.month_downloads,
    months.month_without,
    whole.coverage as month_coverage,
    found.known_cause,
    found.known_cause_url
from found
left join months using (month)
left join marts.downloads_concentration_monthly as whole
    on found.month = whole.month and whole.unit = 'organization' and whole.measure = 'downloads'
order by
    array_position(['spike', 'reset', 'correction', 'hub_fault', 'untested'], found.anomaly_reason),
    abs(found.excess_downloads) desc,
    found.month desc,
    found.label""",
    measure="ratio",
    draw=_draw_anomalies,
    tell=_tell_anomalies,
    gap=lambda facts: (
        "No flagged month has enough measured neighbours to compare it with."
        if facts.has_counters
        else no_months(facts)
    ),
    remarks=(
        "In a fault of the Hub downloads and what is typical are summed over the models that have both.",
    ),
)

_SET_COLUMNS = (
    Column("model_set", "Model set"),
    Column("region", "Region"),
    MONTH,
    Column("downloads", "Downloads", "count"),
    Column("downloads_without_anomalies", "Without anomalies", "count"),
    Column("downloads_cumulative", "Cumulative downloads", "count"),
    Column("share_of_core", "Total against core", "share"),
    Column("models_measured", "Models measured", "count", is_secondary=True),
    Column("coverage", "Coverage", "share"),
    Column("month_coverage", "Coverage of the whole month", "share", is_secondary=True),
    Column("mark", "Mark"),
    Column("null_reason", "Why missing"),
)
_SETS = {
    "core": "core (charted list)",
    "core_without_t5gemma": "core without T5Gemma",
    "core_without_formats": "core without GGUF, ONNX …",
    "core_without_precision_variants": "core without FP8, BF16 …",
    "core_extra": "core and extra list",
    "all": "every model read",
}


def _draw_model_sets(rows: Sequence[Row], styles: Styler) -> Drawing:
    present = {row["region"] for row in rows}
    shown = styles("region", [key for key in REGION_ORDER if key in present])
    cases = "".join(f"datum.label === '{key}' ? '{name}' : " for key, name in _SETS.items())
    y = alt.Y(
        field="model_set",
        type="nominal",
        sort=list(_SETS),
        axis=alt.Axis(title=None, labelExpr=f"{cases}datum.label"),
    )
    lines = len({row["model_set"] for row in rows})
    panels = []
    for name, title in (
        ("downloads", "Downloads in the month"),
        ("downloads_cumulative", "Cumulative downloads"),
    ):
        if newest(rows, name) is not None:
            x = charts.across(name, title.lower(), "count")
            chart = charts.bars(lines, x, y, "region", shown, _SET_COLUMNS, mark="mark")
            panels.append(Panel(chart, title))
    return Drawing(panels, shown, marked=("downloads", "downloads_cumulative"))


def _tell_model_sets(rows: Sequence[Row]) -> str:
    of = {row["model_set"]: row["share_of_core"] for row in rows if row["share_of_core"] is not None}
    parts = [
        f"{_SETS.get(key, key)} {words.percent(of[key])}" for key in _SETS if key in of and key != "core"
    ]
    _, said = told_month([row for row in rows if row["model_set"] == "core"], "downloads", "month_coverage")
    told = f"Against the core list's downloads of {said}: {words.listed(parts)}."
    missing = sorted({row["model_set"] for row in rows} - of.keys())
    if missing:
        names = words.listed([_SETS.get(key, key) for key in missing])
        told += f" Not built here: {names} (the variable model_set decides which curves a build computes)."
    return told


MODEL_SETS = Figure(
    id="model_sets",
    title="Which models are counted",
    question="How much do the totals depend on the list of models?",
    definition=(
        "The newest closed month covered to 95 %, else the newest that is measured, under every disputed"
        " reading of the registry: its charted list as it stands, without the T5Gemma models its own rule"
        " excludes, without the file formats its rule excludes, without official precision variants; with"
        " its second list; and over every model ever read."
    ),
    model_set="six sets side by side",
    source="hub",
    columns=_SET_COLUMNS,
    sql=f"""\
with {NEWEST},

sets as (
    select sets.* from marts.downloads_by_model_set_monthly as sets
    inner join newest on sets.month = newest.month
),

totals as (
    select model_set, cast(sum(downloads) as bigint) as total from sets
    group by model_set
)

select
    sets.model_set,
    sets.region,
    sets.month,
    sets.downloads,
    sets.downloads_without_anomalies,
    sets.downloads_cumulative,
    totals.total
    / nullif((select core.total from totals as core where core.model_set = 'core'), 0) as share_of_core,
    sets.models_measured,
    sets.coverage,
    newest.coverage as month_coverage,
{FLAGS.format(coverage="sets.coverage")},
    sets.null_reason
from sets
inner join totals using (model_set)
cross join newest
order by sets.model_set, sets.region""",
    measure="downloads",
    draw=_draw_model_sets,
    tell=_tell_model_sets,
    gap=no_months,
    remarks=(
        "The sets overlap; they are alternatives, not parts of a whole. A mark at the end of a bar holds for"
        " at least one of its regions.",
    ),
)
