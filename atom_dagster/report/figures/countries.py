"""Who builds on whom: derivatives by the country of their publisher and that of their base.

Belongs here: figures of pairs of countries. Does not belong here: what others build on whatever their own
country is (``derivatives``).
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import altair as alt

from atom_dagster.report import charts, words
from atom_dagster.report.figure import Column, Drawing, Figure, Panel, Row, Styler
from atom_dagster.report.figures._shared import DELETED, FEW
from atom_dagster.report.figures.derivatives import no_children

_COLUMNS = (
    Column("country", "Publisher of the derivative"),
    Column("base_country", "Publisher of the base"),
    Column("new_derivatives", "New derivatives", "number"),
    Column("of_country", "All of the country", "number"),
    Column("share_of_country", "Share of the country's derivatives", "share"),
    Column("is_few", f"Country has fewer than {FEW}", "flag"),
    Column("first_month", "From", "day"),
    Column("last_month", "To", "day"),
    Column("known", "Between known countries", "number"),
    Column("at_home", "Of them within one country", "number"),
)
# A share is below 2, which stands for any share at all.
_SHADES = charts.steps(
    ("datum.is_few ? 2 : 0", f"number where n is below {FEW}", "#e2e2e2"),
    (0.02, "below 2%", "#f3f7fb"),
    (0.1, "2 to 10%", "#dbe8f4"),
    (0.25, "10 to 25%", "#bdd7ec"),
    (0.5, "25 to 50%", "#93c1e2"),
    (0.5, "50% and above", "#6aabd8"),
)
_CELL = "datum.is_few ? format(datum.new_derivatives, ',.3~r') : format(datum.share_of_country, '.0%')"


def _by_size(rows: Sequence[Row], key: str) -> list[str]:
    """Countries by their derivatives, most first."""
    total: dict[str, float] = {}
    for row in rows:
        total[row[key]] = total.get(row[key], 0) + row["new_derivatives"]
    return sorted(total, key=lambda name: (-total[name], name))


def _number(derivatives: float) -> str:
    """A child of several bases counts as a part of one for each."""
    return f"{round(derivatives, 1):,.10g}"


def _draw(rows: Sequence[Row], styles: Styler) -> Drawing:
    del styles
    x = alt.X(
        field="base_country",
        type="nominal",
        sort=_by_size(rows, "base_country"),
        axis=alt.Axis(title="made from a model published in", orient="top", labelAngle=0, labelOverlap=True),
    )
    counts = json.dumps({row["country"]: _number(row["of_country"]) for row in rows})
    y = alt.Y(
        field="country",
        type="nominal",
        sort=_by_size(rows, "country"),
        axis=alt.Axis(
            title="derivative published in",
            labelExpr=f"datum.label + ' (n = ' + ({counts})[datum.value] + ')'",
        ),
    )
    lines = len({row["country"] for row in rows})
    told = [column for column in _COLUMNS if column.name not in {"known", "at_home"}]
    chart = charts.heat(lines, x, y, "share_of_country", _SHADES, told, text=_CELL, step=24)
    return Drawing([Panel(chart)], [style for _, style in _SHADES])


def _tell(rows: Sequence[Row]) -> str:
    held = [row for row in rows if "unknown" not in (row["country"], row["base_country"])]
    span = f"from {words.month(rows[0]['first_month'])} to {words.month(rows[0]['last_month'])}"
    if not held:
        return f"Of the derivatives created {span} no pair of countries is known."
    first = max(held, key=lambda row: (row["new_derivatives"], row["country"], row["base_country"]))
    known, at_home = (rows[0][name] for name in ("known", "at_home"))
    told = (
        f"Of the derivatives created {span}, {_number(known)} have both countries known. Most frequent"
        f" among them is {first['country']} building on {first['base_country']}"
        f" ({_number(first['new_derivatives'])})"
    )
    if known < FEW:
        return f"{told}; they are too few for shares."
    return f"{told}; {words.percent(at_home / known)} of the {_number(known)} stay at home."


DERIVATIVES_BY_COUNTRY_PAIR = Figure(
    id="derivatives_by_country_pair",
    title="Who builds on whom",
    question="Publishers of which country build on models of which other country?",
    definition=(
        "New models on the Hub that name another as their base, once the largest number of downloads ever"
        " read of them exceeds 5, over the newest twelve closed months: the country of who publishes them,"
        " against that of the nearest reviewed organization up their line of bases. The ten countries that"
        " publish most and the ten most built on; each row adds to one over all bases, and n is what it"
        " shares out. Most people who publish derivatives name no country: they stand as unknown."
    ),
    model_set="{everyone}",
    source="hub",
    columns=_COLUMNS,
    sql=f"""\
with newest as (
    select max(month) as month from marts.derivatives_by_country_pair_monthly
    where month + interval 1 month <= (select max(observed_on) from marts.observations)
),

pairs as (
    select
        pairs.country,
        pairs.base_country,
        -- a sum of thirds is not exactly a whole
        round(sum(pairs.new_derivatives), 6) as new_derivatives
    from marts.derivatives_by_country_pair_monthly as pairs
    cross join newest
    where
        pairs.relation = 'all'
        and pairs.min_downloads = 5
        and pairs.month > newest.month - interval 12 months
        and pairs.month <= newest.month
    group by pairs.country, pairs.base_country
),

span as (
    select
        greatest(min(pairs.month), cast(max(newest.month) - interval 11 months as date)) as first_month,
        max(newest.month) as last_month
    from marts.derivatives_by_country_pair_monthly as pairs
    cross join newest
),

known as (
    select
        coalesce(round(sum(new_derivatives), 6), 0) as known,
        coalesce(round(sum(new_derivatives) filter (where country = base_country), 6), 0) as at_home
    from pairs
    where country <> 'unknown' and base_country <> 'unknown'
),

totals as (
    select country, round(sum(new_derivatives), 6) as total from pairs
    group by country
    order by total desc, country
    limit 10
),

bases as (
    select base_country from pairs
    group by base_country
    order by sum(new_derivatives) desc, base_country
    limit 10
)

select
    pairs.country,
    pairs.base_country,
    pairs.new_derivatives,
    totals.total as of_country,
    pairs.new_derivatives / nullif(totals.total, 0) as share_of_country,
    totals.total < {FEW} as is_few,
    span.first_month,
    span.last_month,
    known.known,
    known.at_home
from pairs
inner join totals using (country)
inner join bases using (base_country)
cross join span
cross join known
order by totals.total desc, pairs.country, pairs.new_derivatives desc, pairs.base_country""",
    measure="share_of_country",
    draw=_draw,
    tell=_tell,
    gap=no_children,
    remarks=(
        DELETED,
        f"Fewer than {FEW} new derivatives are too few for shares: the row of such a country gives numbers.",
    ),
)
