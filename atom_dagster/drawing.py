"""How status, verification and pruning look: as text, and on a terminal.

Belongs here: columns, marks, words, wrapping. Does not belong here: what is so (``status``,
``verify``, ``retention``), or Dagster's metadata (``assets.status``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from rich.console import Console
from rich.table import Table
from rich.text import Text

from atom_dagster.partitions import day_spans, spans
from atom_dagster.retention import Pruned
from atom_dagster.sources.openrouter import FIRST_DAY
from atom_dagster.status import SCOPES, Cell, Status, without_month
from atom_dagster.verify import Verification

LEGEND = {
    "●": "whole",
    "◐": "held with gaps",
    "◌": "not read, bridged by its neighbours",
    "○": "nothing held",
    "✗": "failed",
    "·": "cannot be observed",
}
_MARKS = {"complete": "●", "partial": "◐", "bridged": "◌", "empty": "○", "not_observable": "·"}
_STYLES = {"●": "green", "◐": "yellow", "◌": "", "○": "yellow", "✗": "red", "·": "dim"}

WIDE = 120
"""Terminal columns from which the table shows rows and attempts too."""


@dataclass(frozen=True)
class Column:
    """A column of the matrix: of which source, how it is headed, what it shows."""

    scope: str
    heading: tuple[str, str]
    show: Callable[[Cell], str]
    is_right: bool = True
    is_wide: bool = False
    """Whether only a wide terminal has room for it."""


def mark(cell: Cell) -> str:
    """One character for how a month stands."""
    return "✗" if cell.attempt == "failed" else _MARKS[cell.state]


def _days(cell: Cell) -> str:
    if not cell.days:
        return mark(cell)
    return f"{mark(cell)} {cell.days}" + (f"/{cell.days_expected}" if cell.days_expected else "")


def _sources(cell: Cell) -> str:
    return ", ".join(source.source.partition("_")[2] for source in cell.sources)


def _newest(cell: Cell) -> str:
    return f"{cell.newest_on:%m-%d}" if cell.newest_on else ""


def _attempted(cell: Cell) -> str:
    return f"{cell.attempted_at:%Y-%m-%d}" if cell.attempted_at else ""


def _number(value: int) -> str:
    return f"{value:,}" if value else ""


COLUMNS: tuple[Column, ...] = tuple(
    column
    for scope, name in SCOPES.items()
    for column in (
        Column(scope, (name, "days"), _days, is_right=False),
        Column(scope, ("", "models"), lambda cell: _number(cell.models)),
        Column(scope, ("", "rows"), lambda cell: _number(cell.rows), is_wide=True),
        # OpenRouter's are two forms of one thing; the Hub's tell who kept the past.
        Column(scope, ("", "from"), _sources, is_right=False, is_wide=scope != "hub"),
        Column(scope, ("", "newest"), _newest, is_right=False),
        Column(scope, ("", "asked"), _attempted, is_right=False, is_wide=True),
    )
    # A day of OpenRouter has some fifty rows, always.
    if (scope, column.heading[1]) != ("openrouter", "rows")
)


def matrix(status: Status, columns: Sequence[Column]) -> Iterator[list[str]]:
    """A row of text for each month: the month, then the columns."""
    by_month: dict[date, dict[str, Cell]] = {}
    for cell in status.cells:
        by_month.setdefault(cell.month, {})[cell.scope] = cell
    for month, cells in by_month.items():
        yield [f"{month:%Y-%m}", *(column.show(cells[column.scope]) for column in columns)]


@dataclass(frozen=True)
class Remark:
    """A sentence about some months of one source; ``months`` are sorted."""

    scope: str
    months: list[date]
    text: str


def remarks(status: Status) -> list[Remark]:
    """What is wrong or missing, in words: faults, failures, gaps, missing days, months nobody can observe."""
    found = [Remark(scope, [], f"failed at the last attempt: {why}") for scope, why in status.faults.items()]
    texts: dict[tuple[str, str], list[date]] = {}
    for scope in SCOPES:
        for cell in status.of(scope):
            for text in _remarks_on(cell):
                texts.setdefault((scope, text), []).append(cell.month)
    return found + [Remark(scope, months, text) for (scope, text), months in texts.items()]


def _remarks_on(cell: Cell) -> Iterator[str]:
    if cell.attempt == "failed":
        yield f"failed on {cell.attempted_at:%Y-%m-%d}: {without_month(cell.reason or '', cell.month)}"
    if cell.attempt == "committed" and cell.reason:
        yield f"loaded on {cell.attempted_at:%Y-%m-%d}, but: {without_month(cell.reason, cell.month)}"
    for gap in cell.gaps:
        yield f"no reading for {gap.days} days, {gap.after} to {gap.before}"
    if cell.missing_at_source:
        yield f"missing at the source: {day_spans(cell.missing_at_source)}"
    if cell.not_held and cell.days:
        yield f"not held: {day_spans(cell.not_held)}"
    if cell.state == "bridged":
        yield "not read, but close enough before and after"
    if cell.state == "not_observable":
        begins = f"OpenRouter's series begins on {FIRST_DAY}"
        yield f"cannot be observed: {without_month(cell.reason or begins, cell.month)}"
    if cell.state == "empty" and cell.attempt is None:
        yield "not asked for yet"


def draw(status: Status, console: Console) -> None:
    """Print the whole picture; every line but the commands fits the console's width."""
    if not status.is_loaded:
        console.print("Nothing is loaded yet.")
    columns = [column for column in COLUMNS if console.width >= WIDE or not column.is_wide]
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("\nmonth", no_wrap=True)
    for column in columns:
        table.add_column(
            "\n".join(column.heading),
            justify="right" if column.is_right else "left",
            # Several archives may have filled a month.
            no_wrap=column.show is not _sources,
            max_width=20 if column.show is _sources else None,
        )
    for row in matrix(status, columns):
        table.add_row(*(Text(text, style=_STYLES.get(text[:1], "")) for text in row))
    console.print(table)
    marks = {mark(cell) for cell in status.cells}
    console.print(", ".join(f"{sign} {word}" for sign, word in LEGEND.items() if sign in marks), style="dim")
    _draw_remarks(status, console)
    _draw_facts(status, console)
    _draw_commands(status, console)


def _draw_remarks(status: Status, console: Console) -> None:
    found = remarks(status)
    if not found:
        return
    console.print("\n[bold]What is missing[/]")
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(max_width=max(18, console.width // 4))
    grid.add_column(ratio=1)
    for remark in found:
        months = spans(remark.months) or "every month"
        grid.add_row(SCOPES[remark.scope], Text(months), Text(remark.text))
    console.print(grid)


def _draw_facts(status: Status, console: Console) -> None:
    console.print()
    newest = status.newest_on()
    if newest:
        console.print("newest: " + ", ".join(f"{source} {day}" for source, day in sorted(newest.items())))
    for vintage in status.vintages:
        held = "1 vintage" if vintage.held == 1 else f"{vintage.held} vintages"
        console.print(f"{vintage.name}: {held}, newest as of {vintage.newest_as_of:%Y-%m-%d %H:%M} UTC")
    console.print(
        f"months complete: {status.months_complete}, holes: {status.holes},"
        f" quarantined rows: {status.quarantined}"
    )
    build = status.published
    if build is None:
        console.print("published: nothing yet")
    else:
        synthetic = " · synthetic" if build["is_synthetic"] else ""
        then = f" · as of {build['as_of']}" if build.get("as_of") else ""
        console.print(f"published: {build['build_id']} at {build['built_at']}{synthetic}{then}")


def _draw_commands(status: Status, console: Console) -> None:
    if not status.commands:
        console.print("Nothing to run: no hole is known that somebody could fill.")
        return
    console.print("\n[bold]To fill the holes[/]")
    for command in status.commands:
        # Not wrapped, so that it can be copied.
        console.print(Text(command.command), soft_wrap=True)
        grid = Table.grid()
        grid.add_column(width=4)
        grid.add_column(ratio=1)
        grid.add_row("", Text(command.why, style="dim"))
        console.print(grid)


def verified(found: Verification) -> Iterator[str]:
    """A line for each finding, and the sum."""
    for finding in found.findings:
        yield f"{finding.kind:7}  {finding.text}"
    outcome = f"{len(found.damaged)} damaged" if found.damaged else "all good"
    yield f"{found.pulls} pulls, {size(found.bytes)}: {outcome}."


def pruned(found: Pruned) -> Iterator[str]:
    """A line for each thing that goes or stays, the sum, and what follows."""
    verb = "removed" if found.is_applied else "would go"
    for item in found.gone:
        yield f"{verb:8}  {item.name}  {size(item.bytes)}  {item.kind}: {item.why}"
    for item in found.kept:
        yield f"{'stays':8}  {item.name}  {size(item.bytes)}  {item.kind}, but {item.why}"
    yield f"{len(found.gone)} {verb}, {size(sum(item.bytes for item in found.gone))}."
    if found.gone and not found.is_applied:
        yield "Nothing was removed; --apply removes."
    elif any(item.kind != "draft" for item in found.gone):
        yield "The next `atom run` takes the rows of removed pulls out of the warehouse."


def size(count: float) -> str:
    """Bytes for people."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB"):
        count /= 1000
        if count < 1000:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:.1f} GB"
