"""Marks, scales and tooltips the figures share, as Vega-Lite through Altair.

Belongs here: how months, keys, bounds and flags are drawn, and the one palette. Does not belong here:
what is drawn (``figures``) or fonts and backgrounds, which follow the reader's theme (``page.js``).

Charts read the named data ``rows``; the page supplies the figure's result under that name, with months as
UTC milliseconds. Widths are the container's. The names of parameters are fixed, so that the same data
give the same page: ``focus`` holds the key the reader picked, or an empty text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import altair as alt

from atom_dagster.report import marks
from atom_dagster.report.figure import Column, Style
from atom_dagster.report.words import REGIONS

# After Okabe and Ito's palette, told apart with any colour vision. Its yellow, sky blue and purple are too
# faint on white for a line (a contrast below 3), hence darker ones.
BLUE, VERMILION, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#c0699a"
AMBER, SKY, WINE, GREY, EDGE = "#a97f00", "#2d94c9", "#882255", "#7a7a7a", "#444444"
PALETTE = (VERMILION, BLUE, GREEN, PURPLE, AMBER, SKY, WINE, EDGE)
DARK = {
    BLUE: "#4ea8de",
    VERMILION: "#f0803c",
    GREEN: "#2bc49a",
    PURPLE: "#e29ac4",
    AMBER: "#e6b82e",
    SKY: "#9ad4f5",
    WINE: "#d4608f",
    GREY: "#a0a0a0",
    EDGE: "#e0e0e0",
    # Sizes run from light to dark on white, and from dark to light on black.
    "#cfe1f2": "#12406b",
    "#a6cbe8": "#1b5a94",
    "#74afd8": "#2a76b8",
    "#4490c2": "#4a94d0",
    "#2171a8": "#74b2e0",
    "#115288": "#a5cfee",
    "#08305c": "#d9ecfa",
}
"""What each colour becomes on a dark background."""

DASHES: tuple[tuple[int, ...], ...] = (
    (1, 0), (6, 3), (2, 2), (8, 3, 2, 3), (12, 3), (1, 4), (4, 2, 1, 2, 1, 2), (12, 3, 4, 3)
)  # fmt: skip
"""A second channel for the keys after the palette's last."""

REGION_COLORS = {"china": VERMILION, "us": BLUE, "eu": GREEN, "other": PURPLE, "unknown": GREY}
SIZE_COLORS = ("#cfe1f2", "#a6cbe8", "#74afd8", "#4490c2", "#2171a8", "#115288", "#08305c", GREY)
"""Light to dark by size, the last for an unknown size: told apart by their outlines, which are grey."""
OUTLINE: dict[str, Any] = {"stroke": GREY, "strokeWidth": 0.7}

ROWS = alt.NamedData("rows")
HEIGHT = 300
_FORMATS = {"count": ",.0f", "share": ".1%", "ratio": ",.2f", "number": ",.3~f"}
_CROSS = "M-.9,-.9L.9,.9M.9,-.9L-.9,.9"
_COUNT_LABEL = "replace(format(datum.value, '~s'), 'G', 'B')"


def focus() -> alt.Parameter:
    """The key the reader picked in the legend, or an empty text."""
    return alt.param(name="focus", value="")


def tooltip(columns: Sequence[Column]) -> list[alt.Tooltip]:
    """A line for each column, written as in the table."""
    lines = []
    for column in columns:
        if column.kind == "month":
            lines.append(
                alt.Tooltip(
                    field=column.name,
                    type="temporal",
                    timeUnit="utcyearmonth",
                    format="%Y-%m",
                    title=column.label,
                )
            )
        elif column.kind in _FORMATS:
            lines.append(
                alt.Tooltip(
                    field=column.name, type="quantitative", format=_FORMATS[column.kind], title=column.label
                )
            )
        else:
            lines.append(alt.Tooltip(field=column.name, type="nominal", title=column.label))
    return lines


def months(title: str | None = None, *, padding: int = 0) -> alt.X:
    """The horizontal axis of a monthly series."""
    return alt.X(
        field="month",
        type="temporal",
        timeUnit="utcyearmonth",
        scale=alt.Scale(type="utc", padding=padding),
        axis=alt.Axis(
            title=title,
            # The year in January, else the month; how many there are is the page's choice, by its width.
            labelExpr="utcFormat(datum.value, utcmonth(datum.value) === 0 ? '%Y' : '%b')",
            grid=False,
        ),
    )


def measure(name: str, title: str, kind: str, *, has_log: bool = False, zero: bool = True) -> alt.Y:
    """The vertical axis; ``has_log`` marks the scale the page's switch changes (the only explicit one)."""
    axis = (
        alt.Axis(title=title, labelExpr=_COUNT_LABEL, tickCount=5)
        if kind == "count"
        else alt.Axis(title=title, format=".0%" if kind == "share" else ",.3~g", tickCount=5)
    )
    scale = alt.Scale(type="linear", zero=zero) if has_log else alt.Scale(zero=zero)
    return alt.Y(field=name, type="quantitative", axis=axis, scale=scale)


def colors(key: str, styles: Sequence[Style], *, is_line: bool = False) -> alt.Color:
    """The colour of a key; its legend appears only in exported pictures, the page has its own."""
    return alt.Color(
        field=key,
        type="nominal",
        scale=_scale(styles),
        legend=legend(styles, is_line=is_line),
    )


def _scale(styles: Sequence[Style]) -> alt.Scale:
    return alt.Scale(domain=[style.key for style in styles], range=[style.color for style in styles])


def legend(styles: Sequence[Style], *, is_line: bool = False) -> alt.Legend:
    """A legend with the keys' names, and with their dashes where they are lines."""
    names = {style.key: style.label for style in styles if style.key != style.label}
    cases = "".join(f"datum.label === {_text(key)} ? {_text(name)} : " for key, name in names.items())
    look: dict[str, Any] = {"symbolType": "stroke", "symbolSize": 300} if is_line else {}
    return alt.Legend(
        title=None, orient="top", columns=6, labelLimit=160, labelExpr=f"{cases}datum.label", **look
    )


def _text(value: str) -> str:
    """A string literal of Vega's expression language."""
    return json.dumps(value)


def dashes(key: str, styles: Sequence[Style]) -> alt.StrokeDash:
    """The dash of a key, beside its colour."""
    return alt.StrokeDash(
        field=key,
        type="nominal",
        scale=alt.Scale(domain=[style.key for style in styles], range=[list(style.dash) for style in styles]),
        legend=legend(styles, is_line=True),
    )


def dimmed(key: str) -> Any:
    """Full opacity for the key in focus, little for the others."""
    return (
        alt.when(f"focus === '' || datum[{_text(key)}] === focus")
        .then(alt.value(1))
        .otherwise(alt.value(0.12))
    )


def chosen(chart: Any, where: Sequence[tuple[str, Any]]) -> Any:
    """The chart over the rows that have these values."""
    for field, value in where:
        chart = chart.transform_filter(alt.FieldEqualPredicate(field=field, equal=value))
    return chart


def _over(layers: Sequence[Any], height: int) -> alt.LayerChart:
    """The layers as one chart of this height, with the reader's focus."""
    chart: alt.LayerChart = alt.LayerChart(layer=list(layers)).add_params(focus())
    return chart.properties(height=height, width="container")


def _rule(at: float) -> Any:
    return alt.Chart(alt.InlineData(values=[{"at": at}])).mark_rule(strokeDash=[4, 4], color=GREY)


def lines(
    y: alt.Y,
    key: str,
    styles: Sequence[Style],
    columns: Sequence[Column],
    *,
    where: Sequence[tuple[str, Any]] = (),
    mark: str | None = None,
    without: str | None = None,
    x: alt.X | None = None,
    band: tuple[str, str] | None = None,
    rule: float | None = None,
    height: int = HEIGHT,
) -> alt.LayerChart:
    """A line for each key, over months unless ``x`` says otherwise.

    Args:
        y: The vertical axis.
        key: Column of the keys.
        styles: How each key looks; others are left out.
        columns: What the tooltip says.
        where: Column and value pairs a row must have.
        mark: Column that names the marks of a point (``marks``).
        without: Column of the value without anomalies; drawn as a cross where ``mark`` has ``anomaly``.
        x: Another horizontal axis.
        band: Columns of a lower and an upper bound.
        rule: A value across which a horizontal line is drawn.
        height: Pixels.
    """
    base = chosen(alt.Chart(ROWS), where)
    base = base.transform_filter(alt.FieldOneOfPredicate(field=key, oneOf=[style.key for style in styles]))
    base = base.encode(x=x or months(), color=colors(key, styles, is_line=True))
    layers: list[Any] = []
    if rule is not None:
        layers.append(_rule(rule).encode(y=alt.Y(field="at", type="quantitative")))
    if band is not None:
        layers.append(
            base.mark_area(opacity=0.15, line=False).encode(
                y=alt.Y(field=band[0], type="quantitative"), y2=alt.Y2(field=band[1])
            )
        )
    layers.append(
        base.mark_line(strokeWidth=2, strokeJoin="round").encode(
            y=y, strokeDash=dashes(key, styles), opacity=dimmed(key)
        )
    )
    if x is None:
        layers.append(_alone(base, str(y["field"]), key).encode(y=y, opacity=dimmed(key)))
    if without is not None:
        # Below the marks, and longer than they are: where both lie at one place, both are seen.
        layers.append(
            base.transform_filter(f"{marks.has(mark or '', 'anomaly')} && datum[{_text(without)}] > 0")
            .mark_point(shape=_CROSS, size=150, filled=False, strokeWidth=1.5, opacity=1)
            .encode(y=alt.Y(field=without, type="quantitative"), opacity=dimmed(key))
        )
    if mark is not None:
        layers.append(
            marks.symbols(base, mark).encode(
                y=y,
                opacity=dimmed(key),
                stroke=alt.Stroke(field=key, type="nominal", scale=_scale(styles), legend=None),
            )
        )
    # What the pointer finds: a line alone is too thin for it.
    layers.append(base.mark_circle(size=260, opacity=0.001).encode(y=y, tooltip=tooltip(columns)))
    return _over(layers, height)


def _alone(base: Any, name: str, key: str) -> Any:
    """Points for values whose months before and after have none: no line leads to them."""
    around = base.transform_window(
        before=f"lag({name})",
        after=f"lead({name})",
        groupby=[key],
        sort=[alt.SortField(field="month")],
    )
    alone = f"isValid(datum[{_text(name)}]) && !isValid(datum.before) && !isValid(datum.after)"
    return around.transform_filter(alone).mark_point(size=24, filled=True, opacity=1)


def stacked(
    y: alt.Y,
    key: str,
    styles: Sequence[Style],
    columns: Sequence[Column],
    *,
    mark: str | None = None,
    height: int = HEIGHT,
) -> alt.LayerChart:
    """Shares of a whole by month, the first key at the bottom; what the keys leave stays blank.

    ``mark`` is as in ``lines``; a month bears on top the marks of all its keys.
    """
    order = ", ".join(_text(style.key) for style in styles)
    layers: list[Any] = [
        alt.Chart(ROWS)
        .transform_filter(alt.FieldOneOfPredicate(field=key, oneOf=[style.key for style in styles]))
        .transform_calculate("place", f"indexof([{order}], datum[{_text(key)}])")
        .mark_bar(width=alt.RelativeBandSize(0.92), **OUTLINE)
        .encode(
            # A bar's middle, not its edge, lies at the month's label.
            x=months().bandPosition(0),
            y=y.stack("zero").scale(domain=[0, 1]),
            color=colors(key, styles),
            order=alt.Order(field="place", type="quantitative"),
            opacity=dimmed(key),
            tooltip=tooltip(columns),
        )
    ]
    if mark is not None:
        layers.append(
            marks.symbols(
                alt.Chart(ROWS).transform_filter(f"isValid(datum[{_text(str(y['field']))}])"),
                mark,
                once=["month"],
                stroke=EDGE,
            ).encode(x=months(), y=alt.Y(datum=1, type="quantitative"))
        )
    return _over(layers, height)


def rows_axis(name: str, title: str | None = None) -> alt.Y:
    """One line for each row, in the order of the rows; a model stands without its namespace."""
    return alt.Y(
        field=name,
        type="nominal",
        sort=None,
        axis=alt.Axis(title=title, labelExpr="split(datum.label, '/')[1] || datum.label", grid=False),
    )


def across(name: str, title: str, kind: str, *, is_log: bool = False) -> alt.X:
    """A horizontal measure."""
    scale = alt.Scale(type="log", nice=False, padding=12) if is_log else alt.Scale(zero=True)
    axis = (
        alt.Axis(title=title, labelExpr=_COUNT_LABEL, tickCount=5, labelOverlap=True)
        if kind == "count"
        else alt.Axis(title=title, format=".1~%" if kind == "share" else "~g", tickCount=5, labelOverlap=True)
    )
    return alt.X(field=name, type="quantitative", axis=axis, scale=scale)


def bars(
    lines: int,
    x: alt.X,
    y: alt.Y,
    key: str,
    styles: Sequence[Style],
    columns: Sequence[Column],
    *,
    where: Sequence[tuple[str, Any]] = (),
    mark: str | None = None,
    text: str | None = None,
) -> alt.LayerChart:
    """A horizontal bar for each row, stacked where several share one of the ``lines``.

    ``mark`` is as in ``lines``; the marks of all rows of a line stand at the end of its bar. ``text``, a
    column of counts, is written right of its bar.
    """
    base = chosen(alt.Chart(ROWS), where).encode(y=y)
    layers: list[Any] = [
        base.mark_bar().encode(x=x, color=colors(key, styles), opacity=dimmed(key), tooltip=tooltip(columns))
    ]
    if mark is not None:
        line = str(y["field"])
        whole = base.transform_joinaggregate(end=f"sum({x['field']})", groupby=[line])
        layers.append(
            marks.symbols(whole, mark, once=[line, "end"], stroke=EDGE).encode(
                x=alt.X(field="end", type="quantitative")
            )
        )
    if text is not None:
        said = f"replace(format(datum[{_text(text)}], '.3~s'), 'G', 'B')"
        # Left of a bar that points to the left are the rows' names.
        for holds, place in ((">= 0", x), ("< 0", alt.X(datum=0, type="quantitative"))):
            layers.append(
                base.transform_filter(f"datum[{_text(text)}] {holds}")
                .transform_calculate("said", said)
                .mark_text(align="left", dx=4, fontSize=11, color=GREY)
                .encode(x=place, text=alt.Text(field="said", type="nominal"), opacity=dimmed(key))
            )
    return _over(layers, 21 * lines)


def dots(
    lines: int,
    x: alt.X,
    y: alt.Y,
    key: str,
    styles: Sequence[Style],
    columns: Sequence[Column],
    *,
    where: Sequence[tuple[str, Any]] = (),
    only: str | None = None,
    named: tuple[str, str] | None = None,
    bounds: tuple[str, str] | None = None,
    rule: float | None = None,
    step: int = 22,
    offset: Any = alt.Undefined,
) -> alt.LayerChart:
    """A point for each row, with its bounds as a rule, on one of ``lines``; shapes tell keys apart too.

    Where ``y`` itself names the keys, ``styles`` that have no shape leave out the legend. Keys whose values
    may be equal need an ``offset`` (``alt.YOffset``) each, or one point hides another. ``only`` is a Vega
    expression a row must fulfil; ``named`` is a column to compute, and its expression.
    """
    has_legend = any(style.shape for style in styles)
    color = colors(key, styles) if has_legend else colors(key, styles).legend(None)
    base = chosen(alt.Chart(ROWS), where).encode(y=y, yOffset=offset)
    # A layer with data of its own takes no transform of the chart around it.
    if only is not None:
        base = base.transform_filter(only)
    if named is not None:
        base = base.transform_calculate(*named)
    layers: list[Any] = [] if rule is None else [_rule(rule).encode(x=alt.X(field="at", type="quantitative"))]
    if bounds is not None:
        layers.append(
            base.mark_rule(strokeWidth=2, opacity=0.5).encode(
                x=alt.X(field=bounds[0], type="quantitative"),
                x2=alt.X2(field=bounds[1]),
                color=color,
            )
        )
    layers.append(
        base.mark_point(size=80, filled=True).encode(
            x=x,
            color=color,
            shape=alt.Shape(
                field=key,
                type="nominal",
                scale=alt.Scale(
                    domain=[style.key for style in styles],
                    range=[style.shape or "circle" for style in styles],
                ),
                legend=legend(styles) if has_legend else None,
            ),
            opacity=dimmed(key),
            tooltip=tooltip(columns),
        )
    )
    return _over(layers, step * lines)


def heat(
    lines: int,
    x: alt.X,
    y: alt.Y,
    value: str,
    steps: Sequence[tuple[float | str, Style]],
    columns: Sequence[Column],
    *,
    text: str,
    step: int = 22,
) -> alt.LayerChart:
    """A cell for each pair, coloured by the step its value falls into and holding the number.

    Args:
        lines: How many different ``y`` there are.
        x: The columns.
        y: The lines.
        value: Column of the values; a cell without one stays blank.
        steps: Upper bounds (numbers, or Vega expressions over ``datum``), ascending and exclusive, with how
            each step looks: light enough for dark text in either theme. The last bound is not looked at.
        columns: What the tooltip says.
        text: Vega expression of what is written in a cell, over ``datum``.
        step: Pixels of a line.
    """
    styles = [style for _, style in steps]
    place = f"datum[{_text(value)}]"
    which = "".join(f"{place} < ({bound}) ? {_text(style.key)} : " for bound, style in steps[:-1])
    base = (
        alt.Chart(ROWS)
        .transform_filter(f"isValid({place})")
        .transform_calculate("step", f"{which}{_text(styles[-1].key)}")
        .transform_calculate("said", text)
        .encode(x=x, y=y)
    )
    layers: list[Any] = [
        base.mark_rect(**OUTLINE).encode(
            color=colors("step", styles), opacity=dimmed("step"), tooltip=tooltip(columns)
        ),
        base.mark_text(fontSize=11, color="#111111").encode(text=alt.Text(field="said", type="nominal")),
    ]
    return _over(layers, step * lines)


def steps(*parts: tuple[float | str, str, str]) -> list[tuple[float | str, Style]]:
    """Steps of ``heat``: upper bound, name and colour of each."""
    return [(bound, Style(name, name, color, shape="square")) for bound, name, color in parts]


def region_styles(keys: Sequence[str]) -> list[Style]:
    """Regions, in the order given."""
    return [Style(key, REGIONS.get(key, key), REGION_COLORS.get(key, GREY)) for key in keys]


SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")


def points(styles: Sequence[Style]) -> list[Style]:
    """The styles with a symbol each, by their place."""
    return [replace(style, shape=SHAPES[place % len(SHAPES)]) for place, style in enumerate(styles)]


def series(names: Sequence[tuple[str, str]]) -> list[Style]:
    """Styles of a figure's own series (key and name), by their place."""
    return [
        Style(key, name, PALETTE[place % len(PALETTE)], DASHES[place // len(PALETTE) % len(DASHES)])
        for place, (key, name) in enumerate(names)
    ]
