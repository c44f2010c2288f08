"""The asset that shows how things stand: the matrix of months and dated sources as a table in the UI.

Belongs here: drawing a ``Status`` in Markdown. Does not belong here: finding it out (``status``).
"""

from collections.abc import Iterator, Sequence
from datetime import date

import dagster as dg

from atom_dagster import status as survey
from atom_dagster.drawing import COLUMNS, LEGEND, mark, matrix, remarks
from atom_dagster.partitions import spans
from atom_dagster.pool import WRITER_POOL
from atom_dagster.preview import markdown_table
from atom_dagster.resources import Home

_READS = (
    "hf_models",
    "openrouter_tokens",
    "openrouter_models",
    "tracked_models",
)


@dg.asset(
    key=["published", "status"],
    deps=[dg.AssetKey(["raw", table]) for table in _READS],
    group_name="published",
    kinds={"duckdb"},
    owners=["team:atom"],
    pool=WRITER_POOL,
    # Last in its run, after publication; not downstream of it, since a build that is refused is when
    # one looks here.
    op_tags={"dagster/priority": "-1"},
    description=(
        "How things stand: for each month and dated source what is held, from where, what is missing and"
        " why, and the commands that fill it. The same as `atom status`."
    ),
)
def status(context: dg.AssetExecutionContext, home: Home) -> dg.MaterializeResult:
    """Look at the warehouse, and draw what was seen."""
    found = survey.survey(home.settings, on_wait=lambda who: context.log.info(f"Waiting for {who}."))
    for command in found.commands:
        context.log.info(f"{command.command} would fill {command.why}.")
    return dg.MaterializeResult(metadata=_metadata(found))


def _metadata(found: survey.Status) -> dict[str, dg.MetadataValue]:
    return {
        "matrix": dg.MetadataValue.md(_matrix(found)),
        "remarks": dg.MetadataValue.md(_remarks(found)),
        "to run": dg.MetadataValue.md(_commands(found)),
        "months complete": dg.MetadataValue.int(found.months_complete),
        "holes": dg.MetadataValue.int(found.holes),
        "quarantined rows": dg.MetadataValue.int(found.quarantined),
        **{
            f"newest in {source}": dg.MetadataValue.text(str(day))
            for source, day in sorted(found.newest_on().items())
        },
        # A day as text is not plotted; its age is.
        **{
            f"age of {source} (days)": dg.MetadataValue.int(_age(found, day))
            for source, day in sorted(found.newest_on().items())
        },
        **{
            f"newest {vintage.name}": dg.MetadataValue.text(f"{vintage.newest_as_of:%Y-%m-%d %H:%M} UTC")
            for vintage in found.vintages
        },
    }


def _age(found: survey.Status, day: date) -> int:
    return (found.today - day).days


def _matrix(found: survey.Status) -> str:
    names = ["month", *(" ".join(filter(None, column.heading)) for column in COLUMNS)]
    marks = dict.fromkeys(mark(cell) for cell in found.cells)
    legend = ", ".join(f"{sign} {LEGEND[sign]}" for sign in LEGEND if sign in marks)
    # Newest first: the months one looks for.
    return f"{legend}\n\n{_table(names, reversed(list(matrix(found, COLUMNS))))}"


def _remarks(found: survey.Status) -> str:
    rows = [(survey.SCOPES[remark.scope], spans(remark.months), remark.text) for remark in remarks(found)]
    return _table(["source", "months", "remark"], rows) if rows else "Nothing is missing."


def _commands(found: survey.Status) -> str:
    lines = [f"* `{command.command}`: {command.why}" for command in found.commands]
    return "\n".join(lines) or "Nothing: no hole is known that somebody could fill."


def _table(names: Sequence[str], rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> str:
    """A Markdown table whose cells are not cut, unlike a preview's."""
    head = markdown_table(names, [])
    cells = (" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows)
    return "\n".join([head, *(f"| {line} |" for line in cells)])


ASSETS = [status]
