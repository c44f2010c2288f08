"""Rows as a table, CSV or JSON on stdout.

Belongs here: the forms every command that answers with rows offers. Does not belong here: a command.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from typing import Any

import click
from rich.table import Table

from atom_dagster.commands.face import Terminal, out

FORMS = ("table", "csv", "json")


def write_rows(names: Sequence[str], rows: Sequence[Sequence[Any]], form: str) -> None:
    """Write rows in one of ``FORMS``."""
    if form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)
        sys.stdout.flush()
    elif form == "json":
        click.echo(json.dumps([dict(zip(names, row, strict=True)) for row in rows], default=str, indent=2))
    else:
        table = Table(*names, box=None, header_style="bold")
        for row in rows:
            table.add_row(*("NULL" if value is None else str(value) for value in row))
        console = out if out.is_terminal else Terminal(width=10_000, highlight=False)
        console.print(table)
