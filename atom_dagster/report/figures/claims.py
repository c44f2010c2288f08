"""The report's claims beside what is measured here.

Belongs here: the figure of claims. Does not belong here: how a claim is measured or judged (the mart).
"""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from atom_dagster.report import charts, words
from atom_dagster.report.figure import Column, Drawing, Facts, Figure, Panel, Row, Style, Styler
from atom_dagster.report.figures._shared import CORE

_CLAIM_COLUMNS = (
    Column("claim_id", "Claim"),
    Column("statement", "Statement"),
    Column("verdict", "Verdict"),
    Column("published_value", "Published", "number"),
    Column("measured_value", "Measured here", "number"),
    Column("published_unit", "Unit"),
    Column("published_on", "Of"),
    Column("measured_month", "Measured for", "month"),
    Column("relative_difference", "Difference", "share"),
    Column("tolerance", "Tolerance", "number", is_secondary=True),
    Column("tolerance_unit", "Tolerance is", is_secondary=True),
    Column("tolerance_reason", "Why this tolerance"),
    Column("comparison", "Compared by", is_secondary=True),
    Column("expected_error", "Our own error", "share", is_secondary=True),
    Column("certainty", "Certainty of the source", is_secondary=True),
    Column("is_synthetic_agreement", "Agreement is synthetic", "flag", is_secondary=True),
    Column("note", "Note", is_secondary=True),
    Column("source", "Source", is_secondary=True),
)
_VERDICTS = (
    ("reproduced", "reproduced", charts.GREEN),
    ("differs", "different", charts.VERMILION),
    ("disputed", "disputed between sources", charts.PURPLE),
    ("not_measurable", "not measurable", charts.GREY),
)


def _draw_claims(rows: Sequence[Row], styles: Styler) -> Drawing:
    del styles
    drawn = [row for row in rows if row["relative_difference"] is not None and row["comparison"] == "value"]
    present = {row["verdict"] for row in drawn}
    shown = charts.points([Style(key, name, color) for key, name, color in _VERDICTS if key in present])
    if not shown:
        return Drawing([])
    # Near zero a hundredth matters, far from it only the direction.
    x = alt.X(
        field="relative_difference",
        type="quantitative",
        scale=alt.Scale(type="symlog", constant=0.01, nice=False, padding=16),
        axis=alt.Axis(
            title="measured ÷ published − 1",
            format=".0%",
            values=[-1, -0.3, -0.1, -0.03, 0, 0.03, 0.1, 0.3, 1, 3, 10],
        ),
    )
    y = alt.Y(field="named", type="nominal", sort=None, axis=alt.Axis(title=None))
    silent = {"is_synthetic_agreement", "tolerance_reason", "note", "source"}
    told = [column for column in _CLAIM_COLUMNS if column.name not in silent]
    chart = charts.dots(
        len(drawn),
        x,
        y,
        "verdict",
        shown,
        told,
        where=[("comparison", "value")],
        only="isValid(datum.relative_difference)",
        # The claim first: a long statement is cut at its end.
        named=("named", "datum.claim_id + ' ' + datum.statement"),
        rule=0,
    )
    return Drawing([Panel(chart)], shown)


def _tell_claims(rows: Sequence[Row]) -> str:
    counts = [(name, sum(row["verdict"] == key for row in rows)) for key, name, _ in _VERDICTS]
    told = (
        f"Of {len(rows)} claims: {words.listed([f'{number} {name}' for name, number in counts if number])}."
    )
    if any(row["is_synthetic_agreement"] for row in rows):
        told += (
            " This is the sample world, calibrated to the report's totals: agreement here proves the"
            " machinery, not the report."
        )
    return told


def _no_claims(facts: Facts) -> str:
    del facts
    return "No claim is recorded."


CLAIMS = Figure(
    id="claims",
    title="The report's claims",
    question="Does this warehouse measure what the report says?",
    definition=(
        "Each published number beside the same quantity measured here, with a verdict by rule: reproduced"
        " within its tolerance, differs, disputed where the sources contradict each other, or not measurable"
        " from what is held. The tolerance is the rounding of what was published where a number was, and"
        " wider where the claim leaves more open; the table gives each one's reason. Beside a difference"
        " stands the error to expect of our own measuring, by the gaps between readings; it is no part of the"
        " tolerance, so that a difference below it is told and proves nothing. The chart shows the relative"
        " difference of those that state a quantity, on a scale that stretches what lies near zero; months,"
        " orders and thresholds stand in the table."
    ),
    model_set=CORE,
    source="hub",
    columns=_CLAIM_COLUMNS,
    sql="""\
select
    claim_id,
    statement,
    verdict,
    published_value,
    measured_value,
    published_unit,
    published_on,
    measured_month,
    relative_difference,
    tolerance,
    tolerance_unit,
    tolerance_reason,
    comparison,
    expected_error,
    certainty,
    is_synthetic_agreement,
    note,
    source
from marts.claims
order by claim_id""",
    measure="verdict",
    draw=_draw_claims,
    tell=_tell_claims,
    gap=_no_claims,
    is_table_open=True,
)
