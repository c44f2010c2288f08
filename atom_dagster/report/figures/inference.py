"""Inference: whose open models answer on OpenRouter.

Belongs here: token shares by publisher and by base. Does not belong here: downloads.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from atom_dagster.report import charts, words
from atom_dagster.report.figure import Column, Drawing, Facts, Figure, Panel, Row, Styler, newest
from atom_dagster.report.figures._shared import HEADLINE, MONTH, leaders

_SCOPE = "the ten open models with most tokens on OpenRouter in the month"
_COMPLETE = (
    "Days the source never served are neither filled nor scaled; hollow points mark months with fewer days."
    " The month that is still open is left out."
)
_COLUMNS = (
    MONTH,
    Column("region", "Region"),
    Column("share_publisher", "Share by publisher", "share"),
    Column("share", "Share by base", "share"),
    Column("tokens_publisher", "Tokens by publisher", "count"),
    Column("tokens", "Tokens by base", "count"),
    Column("days_present", "Days present", "number"),
    Column("days_in_month", "Days of the month", "number"),
    Column("mark", "Mark"),
)


def _no_tokens(facts: Facts) -> str:
    del facts
    return "No day of OpenRouter's rankings is held in this world."


def _draw_by_region(rows: Sequence[Row], styles: Styler) -> Drawing:
    present = {row["region"] for row in rows}
    shown = styles("region", [key for key in (*HEADLINE, "other", "unknown") if key in present])
    y = charts.measure("share_publisher", "share of the ten's tokens", "share")
    return Drawing([Panel(charts.lines(y, "region", shown, _COLUMNS, mark="mark"))], shown)


def _tell_by_region(rows: Sequence[Row]) -> str:
    last = newest(rows, "share_publisher")
    shares = [(words.region(row["region"]), row["share_publisher"]) for row in rows if row["month"] == last]
    whole = [share for share in shares if share[1]]
    peak = max(
        (row for row in rows if row["share_publisher"] is not None), key=lambda row: row["share_publisher"]
    )
    return (
        f"In {words.month(last)} the tokens of the ten most used open models went to publishers of these"
        f" regions: {leaders(whole)}. The largest share of any month is that of"
        f" {words.region(peak['region'])}, {words.percent(peak['share_publisher'])} in"
        f" {words.month(peak['month'])}."
    )


INFERENCE_BY_REGION = Figure(
    id="inference_by_region",
    title="Inference on open models by region",
    question="Whose open models do people pay to use?",
    definition=(
        "Tokens of the ten open models most used on OpenRouter in each month, divided by region of their"
        " publisher, as the report very probably does. A model's variants and dated versions are summed"
        " before the ten are chosen."
    ),
    model_set=_SCOPE,
    source="openrouter",
    columns=_COLUMNS,
    sql="""\
with monthly as (
    select * from marts.inference_by_region_monthly
    where
        scope = 'open_top10'
        and not (
            month = (select max(month) from marts.inference_by_region_monthly)
            and days_present < days_in_month
        )
),

-- a region without a model among the ten has no row: none of their tokens
months as (
    select month, any_value(days_present) as days_present, any_value(days_in_month) as days_in_month
    from monthly
    group by month
),

keys as (
    select distinct region from monthly
)

select
    months.month,
    keys.region,
    coalesce(monthly.share_publisher, 0) as share_publisher,
    coalesce(monthly.share, 0) as share,
    coalesce(monthly.tokens_publisher, 0) as tokens_publisher,
    coalesce(monthly.tokens, 0) as tokens,
    months.days_present,
    months.days_in_month,
    case when months.days_present < months.days_in_month then 'missing_days' end as mark
from months
cross join keys
left join monthly on months.month = monthly.month and keys.region = monthly.region
order by months.month, keys.region""",
    measure="share_publisher",
    draw=_draw_by_region,
    tell=_tell_by_region,
    gap=_no_tokens,
    remarks=(
        "Each provider counts tokens with its own tokenizer, so they are not strictly comparable.",
        _COMPLETE,
    ),
)

_RULE_COLUMNS = (
    MONTH,
    Column("region", "Region"),
    Column("rule", "Counted for"),
    Column("share", "Share", "share"),
    Column("share_low", "At least", "share"),
    Column("share_high", "At most", "share"),
    Column("mark", "Mark"),
)
_RULES = (
    ("publisher, ten", "publisher, ten most used"),
    ("base, ten", "base, ten most used"),
    ("base, all open", "base, all open models"),
)


def _draw_by_rule(rows: Sequence[Row], styles: Styler) -> Drawing:
    del styles
    shown = charts.series(_RULES)
    panels = []
    for region in HEADLINE:
        if any(row["region"] == region for row in rows):
            y = charts.measure("share", "share of tokens", "share")
            chart = charts.lines(
                y,
                "rule",
                shown,
                _RULE_COLUMNS,
                mark="mark",
                where=[("region", region)],
                band=("share_low", "share_high"),
                height=240,
            )
            panels.append(Panel(chart, words.REGIONS[region]))
    return Drawing(panels, shown)


def _tell_by_rule(rows: Sequence[Row]) -> str:
    china = [row for row in rows if row["region"] == "china" and row["share"] is not None]
    of: dict[date, dict[str, float]] = {}
    for row in china:
        of.setdefault(row["month"], {})[row["rule"]] = row["share"]
    both = {month: pair for month, pair in of.items() if {"publisher, ten", "base, ten"} <= pair.keys()}
    if not both:
        return "No month has China's share of the ten most used open models under both rules."
    widest = max(
        both, key=lambda month: (abs(both[month]["base, ten"] - both[month]["publisher, ten"]), month)
    )
    pair = both[widest]
    return (
        f"The rules differ most in {words.month(widest)}: China's share of the ten is"
        f" {words.percent(pair['publisher, ten'])} by publisher and {words.percent(pair['base, ten'])} by"
        " base."
    )


INFERENCE_BY_PUBLISHER_AND_BASE = Figure(
    id="inference_by_publisher_and_base",
    title="By publisher or by base?",
    question="How much does the share of tokens depend on the rule?",
    definition=(
        "The same tokens counted for the region of whoever publishes a model, and for that of the model it"
        " was made from; and over all open models instead of the ten. The band around the last is what"
        " models of unknown openness could change."
    ),
    model_set=f"{_SCOPE}, and all open models",
    source="openrouter",
    columns=_RULE_COLUMNS,
    sql="""\
with monthly as (
    select * from marts.inference_by_region_monthly
    where not (
        month = (select max(month) from marts.inference_by_region_monthly)
        and days_present < days_in_month
    )
),

shares as (
    select
        month,
        region,
        'publisher, ten' as rule,
        share_publisher as share,
        null as share_low,
        null as share_high
    from monthly
    where scope = 'open_top10'
    union all
    select month, region, 'base, ten' as rule, share, null as share_low, null as share_high
    from monthly
    where scope = 'open_top10'
    union all
    select month, region, 'base, all open' as rule, share, share_low, share_high
    from monthly
    where scope = 'open_all'
),

-- a region without a model in a scope has no row: none of its tokens
months as (
    select
        shares.month,
        shares.rule,
        case when bool_or(monthly.days_present < monthly.days_in_month) then 'missing_days' end as mark
    from shares
    inner join monthly using (month)
    group by shares.month, shares.rule
)

select
    months.month,
    regions.region,
    months.rule,
    coalesce(shares.share, 0) as share,
    shares.share_low,
    shares.share_high,
    months.mark
from months
cross join (values ('us'), ('china'), ('eu')) as regions (region)
left join shares
    on months.month = shares.month and months.rule = shares.rule and regions.region = shares.region
order by months.month, regions.region, months.rule""",
    measure="share",
    draw=_draw_by_rule,
    tell=_tell_by_rule,
    gap=_no_tokens,
    remarks=(_COMPLETE,),
)
