"""The Relative Adoption Metric: young models against their size class, and how far to trust the score.

Belongs here: scores, baselines, their sensitivity and their backtest. Does not belong here: downloads.
"""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from atom_dagster.report import charts, words
from atom_dagster.report.figure import Column, Drawing, Facts, Figure, Panel, Row, Styler
from atom_dagster.report.figures._shared import CORE, no_ram

_SCORE = (
    "A model's downloads in its first days after release, divided by those of the baseline of its size"
    " class at the same age."
)
_NEWEST_DAYS, _NEWEST_MODELS = 270, 25
_CHOSEN = (
    f"Of the models released in the last {_NEWEST_DAYS} days up to {_NEWEST_MODELS}: the most downloaded, at"
    " most three of an organization and without precision variants, newest first."
)
_NEWEST = f"""\
newest as (
    select
        scores.model_id,
        models.organization,
        models.release_date,
        max(scores.downloads_at_day) as downloads_at_day
    from marts.ram_scores as scores
    inner join marts.models as models using (model_id)
    cross join baseline
    where
        scores.baseline = baseline.baseline
        and scores.ram is not null
        and models.precision_variant_of is null
        and models.release_date
        > (select max(observed_on) from marts.observations) - interval {_NEWEST_DAYS} days
    group by scores.model_id, models.organization, models.release_date
    qualify
        row_number() over (
            partition by models.organization
            order by max(scores.downloads_at_day) desc, scores.model_id
        ) <= 3
    order by downloads_at_day desc, scores.model_id
    limit {_NEWEST_MODELS}
)"""
_FROZEN = """\
baseline as (
    select baseline from marts.ram_baselines
    where is_frozen and rule = 'nth' and downloads is not null
    group by baseline
    order by max(snapshot_on) desc, baseline
    limit 1
)"""

_NEWEST_COLUMNS = (
    Column("model_id", "Model"),
    Column("size_bucket", "Total parameters"),
    Column("release_date", "Released", "day"),
    Column("day", "Day after release", "number"),
    Column("ram", "RAM", "ratio"),
    Column("ram_low", "At least", "ratio"),
    Column("ram_high", "At most", "ratio"),
    Column("downloads_at_day", "Downloads up to that day", "count"),
    Column("baseline_downloads", "Baseline", "count"),
    Column("baseline", "Baseline's name"),
    Column("null_reason", "Why missing"),
)
# Orange below 1, blue above, light enough for dark text.
_AROUND_ONE = charts.steps(
    (0.25, "below 0.25", "#f0a35e"),
    (0.5, "0.25 to 0.5", "#f8c797"),
    (1, "0.5 to 1", "#fce6d0"),
    (2, "1 to 2", "#d6e7f4"),
    (4, "2 to 4", "#a3cbe8"),
    (4, "4 and above", "#6aabd8"),
)


def _draw_newest(rows: Sequence[Row], styles: Styler) -> Drawing:
    del styles
    x = alt.X(
        field="day",
        type="ordinal",
        axis=alt.Axis(title="days after release", orient="top", labelAngle=0),
    )
    y = charts.rows_axis("model_id")
    text = "format(datum.ram, datum.ram < 10 ? '.2f' : '.1f')"
    chart = charts.heat(
        len({row["model_id"] for row in rows}), x, y, "ram", _AROUND_ONE, _NEWEST_COLUMNS, text=text, step=24
    )
    return Drawing([Panel(chart)], [style for _, style in _AROUND_ONE])


def _tell_newest(rows: Sequence[Row]) -> str:
    last: dict[str, Row] = {}
    for row in rows:
        held = last.get(row["model_id"])
        if row["ram"] is not None and (held is None or row["day"] > held["day"]):
            last[row["model_id"]] = row
    above = sum(row["ram"] >= 1 for row in last.values())
    first = max(last.values(), key=lambda row: (row["ram"], row["model_id"]))
    return (
        f"Of {len(last)} young models, {above} stand at 1 or more on their latest milestone; highest is"
        f" {first['model_id']} with {first['ram']:.2f} on day {first['day']}."
    )


RAM_NEWEST = Figure(
    id="ram_newest",
    title="The newest models against their class",
    question="Which young models are on track to be among the ten most downloaded of their size?",
    definition=(
        f"{_SCORE} The baseline is the newest frozen one: the tenth-largest model of the class at that age,"
        " from readings up to its snapshot, so that 1 means on track to be among the ten most downloaded of"
        f" its size. {_CHOSEN} A score is given only if its upper bound is at most three times its lower one."
    ),
    model_set=CORE,
    source="hub",
    columns=_NEWEST_COLUMNS,
    sql=f"""\
with {_FROZEN},

{_NEWEST}

select
    scores.model_id,
    scores.size_bucket,
    newest.release_date,
    scores.day,
    scores.ram,
    scores.ram_low,
    scores.ram_high,
    scores.downloads_at_day,
    scores.baseline_downloads,
    scores.baseline,
    scores.null_reason
from marts.ram_scores as scores
inner join newest using (model_id)
inner join baseline using (baseline)
order by newest.release_date desc, scores.model_id, scores.day""",
    measure="ram",
    draw=_draw_newest,
    tell=_tell_newest,
    gap=no_ram,
)

_BASELINE_COLUMNS = (
    Column("model_id", "Model"),
    Column("size_bucket", "Total parameters"),
    Column("release_date", "Released", "day", is_secondary=True),
    Column("baseline", "Baseline"),
    Column("ram", "RAM on day 30", "ratio"),
    Column("ram_low", "At least", "ratio"),
    Column("ram_high", "At most", "ratio"),
    Column("downloads_at_day", "Downloads up to day 30", "count"),
    Column("baseline_downloads", "Baseline's downloads", "count"),
    Column("rule", "Baseline's rule"),
    Column("n", "Of how many", "number"),
    Column("snapshot_on", "Baseline's snapshot", "day"),
)


def _draw_by_baseline(rows: Sequence[Row], styles: Styler) -> Drawing:
    del styles
    names = {row["baseline"]: row["baseline"].replace("_", " ") for row in rows}
    shown = charts.points(charts.series(sorted(names.items())))
    x = charts.across("ram", "RAM on day 30", "ratio", is_log=True)
    y = charts.rows_axis("model_id")
    chart = charts.dots(
        len({row["model_id"] for row in rows}),
        x,
        y,
        "baseline",
        shown,
        _BASELINE_COLUMNS,
        bounds=("ram_low", "ram_high"),
        rule=1,
        step=34,
        offset=alt.YOffset(field="baseline", type="nominal", sort=[style.key for style in shown]),
    )
    return Drawing([Panel(chart)], shown)


def _place_at_one(row: Row) -> str:
    """What 1 stands for under a row's baseline: the median of ten lies between the fifth and the sixth."""
    return f"the top {row['n']}" if row["rule"] == "nth" else f"about the top {row['n'] // 2}"


def _tell_by_baseline(rows: Sequence[Row]) -> str:
    of: dict[str, list[Row]] = {}
    for row in rows:
        of.setdefault(row["baseline"], []).append(row)
    parts = [
        f"{sum(row['ram'] >= 1 for row in scored)} of {len(scored)} under {name} (on track for"
        f" {_place_at_one(scored[0])})"
        for name, scored in sorted(of.items())
    ]
    return f"On day 30, models at 1 or more: {words.listed(parts)}."


RAM_BY_BASELINE = Figure(
    id="ram_by_baseline",
    title="The same models under each baseline",
    question="How much does a score depend on the baseline?",
    definition=(
        f"{_SCORE} The report's first definition divides by the median of the class's top ten, so that 1"
        " means on track for about the five most downloaded of its size; the current one by its tenth, so"
        " that 1 means on track for the ten. A frozen baseline uses readings up to its snapshot only, the"
        " rolling one all. Scores under different baselines must not be mixed. The lines span each score's"
        " bounds. The models are those of the newest models against their class that have a score on day 30:"
        f" {_CHOSEN[0].lower()}{_CHOSEN[1:]}"
    ),
    model_set=CORE,
    source="hub",
    columns=_BASELINE_COLUMNS,
    sql=f"""\
with {_FROZEN},

{_NEWEST},

snapshots as (
    select baseline, rule, n, max(snapshot_on) as snapshot_on from marts.ram_baselines
    group by baseline, rule, n
)

select
    scores.model_id,
    scores.size_bucket,
    newest.release_date,
    scores.baseline,
    scores.ram,
    scores.ram_low,
    scores.ram_high,
    scores.downloads_at_day,
    scores.baseline_downloads,
    snapshots.rule,
    snapshots.n,
    snapshots.snapshot_on
from marts.ram_scores as scores
inner join newest using (model_id)
inner join snapshots using (baseline)
where scores.day = 30 and scores.ram is not null
order by newest.release_date desc, scores.model_id, scores.baseline""",
    measure="ram",
    draw=_draw_by_baseline,
    tell=_tell_by_baseline,
    gap=no_ram,
)

_SENSITIVITY_COLUMNS = (
    Column("variant", "Variant"),
    Column("day", "Day after release", "number"),
    Column("median_ratio", "Median ratio", "ratio"),
    Column("low_ratio", "Tenth percentile", "ratio"),
    Column("high_ratio", "Ninetieth percentile", "ratio"),
    Column("models", "Models", "count"),
    Column("models_crossing_one", "Cross 1", "count"),
    Column("models_crossing_surely", "Cross 1 with both bounds", "count"),
)
_VARIANTS = {
    "n5": "fifth instead of tenth",
    "n10": "tenth (the rule)",
    "n20": "twentieth instead of tenth",
    "merged_precision_variants": "precision variants merged",
    "without_t5gemma": "without T5Gemma",
}


def _draw_sensitivity(rows: Sequence[Row], styles: Styler) -> Drawing:
    del styles
    days = sorted({row["day"] for row in rows})
    present = {row["variant"] for row in rows}
    shown = charts.series([(key, name) for key, name in _VARIANTS.items() if key in present])
    panels = []
    for day in days:
        x = charts.across("median_ratio", "score ÷ score under the rule", "ratio", is_log=True)
        cases = "".join(f"datum.label === '{key}' ? '{name}' : " for key, name in _VARIANTS.items())
        y = alt.Y(
            field="variant",
            type="nominal",
            sort=list(_VARIANTS),
            axis=alt.Axis(title=None, labelExpr=f"{cases}datum.label"),
        )
        chart = charts.dots(
            len(present),
            x,
            y,
            "variant",
            shown,
            _SENSITIVITY_COLUMNS,
            where=[("day", day)],
            bounds=("low_ratio", "high_ratio"),
            rule=1,
            step=30,
        )
        panels.append(Panel(chart, f"Day {day}"))
    return Drawing(panels)


def _place(variant: str) -> int:
    """Where a variant stands; one nobody named comes last."""
    return list(_VARIANTS).index(variant) if variant in _VARIANTS else len(_VARIANTS)


def _tell_sensitivity(rows: Sequence[Row]) -> str:
    last = max(row["day"] for row in rows)
    parts = [
        f"{_VARIANTS.get(row['variant'], row['variant'])} {row['median_ratio']:.2f} times"
        for row in sorted(rows, key=lambda row: _place(row["variant"]))
        if row["day"] == last and row["variant"] != "n10" and row["median_ratio"] is not None
    ]
    return f"Against the rule, the median score on day {last} becomes: {words.listed(parts)}."


RAM_SENSITIVITY = Figure(
    id="ram_sensitivity",
    title="What if the rule were another?",
    question=("How does a score move when its class is measured at another place, or counted otherwise?"),
    definition=(
        "Each model's score under a variant, divided by its score under the current rule on the newest data"
        " (the tenth of its class). Points are medians over models, lines reach from the tenth to the"
        " ninetieth percentile; the table says how many models a variant carries across 1, and how many of"
        " them wherever in its bounds the score lies."
    ),
    model_set=CORE,
    source="hub",
    columns=_SENSITIVITY_COLUMNS,
    sql="""\
select
    variant,
    day,
    median(ratio) as median_ratio,
    quantile_cont(ratio, 0.1) as low_ratio,
    quantile_cont(ratio, 0.9) as high_ratio,
    count(ratio) as models,
    count(*) filter (where crosses_one) as models_crossing_one,
    count(*) filter (where crosses_one_surely) as models_crossing_surely
from marts.ram_sensitivity
where day in (30, 180)
group by variant, day
order by day, variant""",
    measure="median_ratio",
    draw=_draw_sensitivity,
    tell=_tell_sensitivity,
    gap=no_ram,
)

_BACKTEST_COLUMNS = (
    Column("baseline", "Baseline"),
    Column("sample", "Sample"),
    Column("early_day", "Score on day", "number"),
    Column("later_day", "Outcome on day", "number"),
    Column("ram_band", "Early score"),
    Column("hit_rate", "In the top ten later", "share"),
    Column("hit_rate_low", "At least (95 %)", "share"),
    Column("hit_rate_high", "At most (95 %)", "share"),
    Column("base_rate", "Of all scores", "share"),
    Column("models", "Models", "count"),
    Column("in_top10", "Of them in the top ten", "count"),
    Column("null_reason", "Why missing"),
)
_BANDS = {"<0.5": "below 0.5", "0.5-1": "from 0.5 to 1", "1-2": "from 1 to 2", "2+": "at 2 or more"}
_SAMPLES = {"out of sample": "models the baseline cannot have known", "in sample": "all models"}


def _draw_backtest(rows: Sequence[Row], styles: Styler) -> Drawing:
    del styles
    held = {(row["sample"], row["later_day"]) for row in rows if row["hit_rate"] is not None}
    shown = charts.series(
        [(name, name.replace("_", " ")) for name in sorted({row["baseline"] for row in rows})]
    )
    x = alt.X(
        field="ram_band",
        type="ordinal",
        sort=list(_BANDS),
        scale=alt.Scale(domain=list(_BANDS)),
        axis=alt.Axis(title="score on day 30", labelAngle=0),
    )
    panels = []
    for sample, told in _SAMPLES.items():
        for day in sorted(day for of, day in held if of == sample):
            y = charts.measure("hit_rate", "share in the top ten of the class", "share")
            chart = charts.lines(
                y,
                "baseline",
                shown,
                _BACKTEST_COLUMNS,
                x=x,
                where=[("later_day", day), ("sample", sample)],
                band=("hit_rate_low", "hit_rate_high"),
                height=260,
            )
            panels.append(Panel(chart, f"On day {day}, {told}"))
    return Drawing(panels, shown)


def _tell_backtest(rows: Sequence[Row]) -> str:
    held = [row for row in rows if row["hit_rate"] is not None]
    outside = [row for row in held if row["sample"] == "out of sample"]
    asked: dict[tuple[str, int], int] = {}
    for row in outside or held:
        key = (row["baseline"], row["later_day"])
        asked[key] = asked.get(key, 0) + row["models"]
    name, day = max(asked, key=lambda key: (asked[key], key))
    of = [row for row in outside or held if (row["baseline"], row["later_day"]) == (name, day)]
    parts = [
        f"{words.percent(row['hit_rate'])} of {words.models(row['models'])} {_BANDS[row['ram_band']]}"
        for row in of
    ]
    which = (
        "of the models it cannot have known"
        if outside
        else "of all models, those it was made from included (no other has reached a later age)"
    )
    return (
        f"Under {name}, {which}, in the top ten of their class on day {day}, by their score on day 30:"
        f" {words.listed(parts)}; whatever the score {words.percent(of[0]['base_rate'])}."
    )


RAM_BACKTEST = Figure(
    id="ram_backtest",
    title="Does an early score predict?",
    question="How many models with a given score after 30 days are in their class's top ten later?",
    definition=(
        "Of the models measured both 30 days and 90, 180 or 365 days after release, the share that is among"
        " the ten largest of its size class at the later age, by the early score; bands are Wilson"
        " intervals of 95 %. Out of sample are models released after a frozen baseline's snapshot, which it"
        " cannot have known; the panels of all models hold those that made the baseline, and are no"
        " forecast."
    ),
    model_set=CORE,
    source="hub",
    columns=_BACKTEST_COLUMNS,
    sql="""\
with backtest as (
    select
        *,
        max(models_out_of_sample) over (partition by baseline, later_day) as models_outside
    from marts.ram_backtest
    where early_day = 30 and size_bucket = 'all'
),

both_samples as (
    select
        baseline,
        'in sample' as sample,
        early_day,
        later_day,
        ram_band,
        hit_rate,
        hit_rate_low,
        hit_rate_high,
        base_rate,
        models,
        in_top10,
        null_reason
    from backtest
    union all
    select
        baseline,
        'out of sample' as sample,
        early_day,
        later_day,
        ram_band,
        hit_rate_out_of_sample as hit_rate,
        hit_rate_out_of_sample_low as hit_rate_low,
        hit_rate_out_of_sample_high as hit_rate_high,
        base_rate_out_of_sample as base_rate,
        models_out_of_sample as models,
        in_top10_out_of_sample as in_top10,
        case
            when null_reason is not null then null_reason
            when models_out_of_sample = 0 then 'no_models'
        end as null_reason
    from backtest
    where models_outside > 0
)

select * from both_samples
where ram_band <> 'all'
order by
    sample desc, later_day, baseline, array_position(['<0.5', '0.5-1', '1-2', '2+'], ram_band)""",
    measure="hit_rate",
    draw=_draw_backtest,
    tell=_tell_backtest,
    gap=lambda facts: no_ram(facts) if not facts.has_counters else _too_young(facts),
)


def _too_young(facts: Facts) -> str:
    del facts
    return "Too few models have both an early score and a known total at a later age."
