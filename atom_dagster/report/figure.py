"""What a figure is: its question, its SQL, how it is drawn and how it is told.

Belongs here: the types every figure is made of. Does not belong here: the figures (``figures``), marks
and scales (``charts``), or the page (``page``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

import altair as alt

Row = Mapping[str, Any]
Kind = Literal["text", "link", "month", "day", "count", "share", "ratio", "number", "flag"]
"""How a column is written. ``share`` is 0-1 and written in percent; ``ratio`` has two decimals."""


@dataclass(frozen=True)
class Column:
    """A column of a figure's result, in the order of its SQL."""

    name: str
    label: str
    kind: Kind = "text"
    is_secondary: bool = False
    """Whether paper, which does not scroll, goes without it."""


@dataclass(frozen=True)
class Style:
    """How one key (a region, an organization, a series) looks wherever it appears."""

    key: str
    label: str
    color: str
    """A colour of ``charts.DARK``'s left side; the page swaps it in dark mode."""
    dash: tuple[int, ...] = (1, 0)
    shape: str | None = None
    """The symbol of a key that is drawn as points; None: as lines or bars."""


@dataclass(frozen=True)
class Panel:
    """One chart of a figure; a figure with several names each."""

    chart: alt.Chart | alt.LayerChart
    title: str | None = None


@dataclass(frozen=True)
class Drawing:
    """A figure's panels, and its keys as the legend shows them (none: the charts need no legend)."""

    panels: Sequence[Panel]
    legend: Sequence[Style] = ()
    marked: Sequence[str] = ()
    """Columns of the values that bear marks; none: ``Figure.measure`` alone."""


@dataclass(frozen=True)
class Facts:
    """What every figure says of the build it shows."""

    world: str
    is_synthetic: bool
    build_id: str
    built_at: str
    as_of: str | None
    versions: Mapping[str, str]
    model_set: str
    """The models the download aggregates and RAM cover, in words."""
    everyone: str
    """The models the derivatives cover, in words."""
    cut_off: Mapping[str, str]
    """Newest data by ``Figure.source``, in words; a source that is missing has no entry."""
    tokens: str | None
    """Up to which day tokens are held, in words; None without any."""
    has_counters: bool
    """Whether any reading holds an all-time counter; without one nothing cumulative can be known."""
    attribution: str | None
    """How a source wants its numbers to be cited; None without it, and where they are simulated."""
    caveat: str | None
    """What the reader must know of this world's data before any number; None without it."""
    licences: Sequence[str]
    """Each source with its terms; none where everything is simulated."""
    rules: int
    warnings: Sequence[tuple[str, str]]
    """Name of every rule that does not hold, and what is wrong, in words."""


Styler = Callable[[str, Sequence[str]], Sequence[Style]]
"""Styles of keys, in the order given; the first argument is the sort of key (region, organization …)."""


@dataclass(frozen=True)
class Figure:
    """One figure of the report.

    ``sql`` runs over the published file and is shown as it stands; it orders its rows totally, and limits
    them so that 120 months stay small. A figure is empty when ``measure`` is NULL in every row.
    """

    id: str
    title: str
    question: str
    """What the figure answers, as a question of one sentence."""
    definition: str
    """How its numbers are computed, for a reader who knows nothing of this project."""
    model_set: str
    """Which models it covers; ``{core}`` stands for ``Facts.model_set``, ``{everyone}`` for its own."""
    source: Literal["hub", "openrouter"]
    columns: Sequence[Column]
    sql: str
    measure: str
    draw: Callable[[Sequence[Row], Styler], Drawing]
    tell: Callable[[Sequence[Row]], str]
    """A sentence or two with the numbers a reader would take from the chart."""
    gap: Callable[[Facts], str]
    """Why the figure is empty, in one sentence."""
    remarks: Sequence[str] = field(default=())
    """Caveats that hold whatever the data are."""
    has_log: bool = False
    """Whether the reader may switch the vertical axis between linear and logarithmic."""
    is_table_open: bool = False
    """Whether the table is shown at once, because it is the figure's substance."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that name a row of the table: the first that hold no measure, two at most."""
        places = [column.kind in {"text", "month", "day"} for column in self.columns]
        first = places.index(True)
        end = places.index(False, first)
        return tuple(column.name for column in self.columns[first : min(end, first + 2)])

    @property
    def marts(self) -> tuple[str, ...]:
        """The tables of ``marts`` its SQL reads, sorted."""
        return tuple(sorted(set(re.findall(r"\bmarts\.(\w+)", self.sql))))


def newest(rows: Sequence[Row], measure: str, *, by: str = "month") -> date | None:
    """The last month (or other ``by``) in which a row has the measure."""
    held: list[date] = [row[by] for row in rows if row[measure] is not None]
    return max(held, default=None)


def ranked(rows: Sequence[Row], key: str, measure: str) -> list[str]:
    """Keys by the measure's value in its newest month, largest first; keys without one come last, by name."""
    last = newest(rows, measure)
    value = {row[key]: row[measure] for row in rows if row["month"] == last and row[measure] is not None}
    return sorted({row[key] for row in rows}, key=lambda name: (-value.get(name, -1), name))
