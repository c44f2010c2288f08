"""What may be said of a point besides its value, how it is drawn, and how the page explains it.

Belongs here: the kinds of marks, their signs and symbols. Does not belong here: which row has one (the
figures' SQL) or where it stands (``charts``).

A row's marks stand in one column as texts joined by ``SEPARATOR``. What tells how much lies behind a point
is an outer mark; what happened in its month is an inner one, drawn inside it: neither hides the other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from atom_dagster.report.figure import Row

SEPARATOR = ", "
FEW = 30
"""New derivatives with a known base below which a month's shares are not compared in words."""


@dataclass(frozen=True)
class Mark:
    """A kind of mark."""

    name: str
    """As the figures' SQL has it."""
    sign: str
    """Its symbol as a character, for the key beside the chart."""
    meaning: str
    symbol: str
    """Vega's name of the symbol."""
    is_outer: bool = False


# Outer before inner: symbols are drawn in this order.
MARKS = (
    Mark("low_coverage", "○", "less than 95 % of what was expected is measured", "circle", is_outer=True),
    Mark("missing_days", "○", "a month of which the source never served every day", "circle", is_outer=True),
    Mark("few", "□", f"fewer than {FEW} new derivatives with a known base", "square", is_outer=True),
    Mark("provisional", "△", "provisional", "triangle-up"),
    Mark("untested", "▽", "too few months are measured around it to tell a spike", "triangle-down"),
    Mark(
        "anomaly",
        "◇",
        "a month with a spike, a fault of the Hub or a counter that fell (see Anomalies)",
        "diamond",
    ),
)
_OUTER, _INNER = 170, 50


def of(row: Row) -> list[str]:
    """The names of a row's marks."""
    found = row.get("mark")
    return str(found).split(SEPARATOR) if found else []


def has(column: str, name: str) -> str:
    """Vega expression: whether a row has the mark."""
    return f"indexof(split(datum[{json.dumps(column)}], {json.dumps(SEPARATOR)}), {json.dumps(name)}) >= 0"


def symbols(base: Any, column: str, *, once: Sequence[str] = (), **look: Any) -> Any:
    """A symbol for each mark of a row, to be placed by the caller.

    Args:
        base: The chart of the rows.
        column: The column of marks.
        once: Columns of which each combination bears each mark once, however many rows have it.
        look: What the symbols look like besides.
    """
    order = json.dumps([mark.name for mark in MARKS])
    chart = base.transform_filter(f"isValid(datum[{json.dumps(column)}])")
    chart = chart.transform_calculate(
        "mark_name", f"split(datum[{json.dumps(column)}], {json.dumps(SEPARATOR)})"
    ).transform_flatten(["mark_name"])
    if once:
        chart = chart.transform_aggregate(mark_rows="count()", groupby=[*once, "mark_name"])
    chart = chart.transform_calculate("mark_place", f"indexof({order}, datum.mark_name)")
    names = [mark.name for mark in MARKS]
    return chart.mark_point(filled=True, fill="white", strokeWidth=1.5, opacity=1, **look).encode(
        shape=alt.Shape(
            field="mark_name",
            type="nominal",
            scale=alt.Scale(domain=names, range=[mark.symbol for mark in MARKS]),
            legend=None,
        ),
        size=alt.Size(
            field="mark_name",
            type="nominal",
            # A point scale, which Vega-Lite would take, knows no range of its own for each.
            scale=alt.Scale(
                type="ordinal",
                domain=names,
                range=[_OUTER if mark.is_outer else _INNER for mark in MARKS],
            ),
            legend=None,
        ),
        order=alt.Order(field="mark_place", type="quantitative"),
    )


def explained(rows: Iterable[Row], measures: Sequence[str]) -> list[tuple[str, str]]:
    """Sign and meaning of every mark that is drawn: those of rows with one of the measures."""
    drawn = [row for row in rows if any(row[measure] is not None for measure in measures)]
    present = {name for row in drawn for name in of(row)}
    found = [(mark.sign, mark.meaning) for mark in MARKS if mark.name in present]
    if any("anomaly" in of(row) and (row.get("drawn_without") or 0) > 0 for row in drawn):
        found.append(("✕", "the same month without the flagged models, where at least half is left"))
    return found
