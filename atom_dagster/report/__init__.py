"""The report page: every figure of a published file on one self-contained page.

Belongs here: reading the facts and the figures' rows, and writing the file. Does not belong here: what the
figures are (``figures``), how they are drawn (``charts``), or the page's frame (``page``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Rendered:
    """What a page shows."""

    drawn: int
    """Number of figures with a chart."""
    empty: Mapping[str, str]
    """Why each of the other figures is empty, by its id; those with a fault among them."""
    faults: Mapping[str, str]
    """What went wrong in a figure that could not be made, by its id."""
    bytes: int


def render(database: Path, target: Path) -> Rendered:
    """Write the report page of a published file.

    The same file gives the same bytes. A figure that cannot be made is empty and says so: one fault does
    not withhold the others.

    Args:
        database: A published ``atom.duckdb``; only read.
        target: Where to write the page; folders are made.

    Raises:
        duckdb.CatalogException: a table is missing that tells what the file is.
    """
    # Charting libraries take a second to import, which nothing but a publication should wait for.
    from atom_dagster.report import page

    html, drawn, empty, faults = page.of(database)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(html, encoding="utf-8")
    return Rendered(drawn, empty, faults, target.stat().st_size)
