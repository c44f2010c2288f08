"""Exports: a build's tables for those who do not use DuckDB, and what describes them.

Belongs here: CSV, the data dictionary (``datapackage``), the dataset card (``card``); all of it read from
the build's own folder, so that they can say nothing that the published tables do not. Does not belong
here: the tables, DuckDB's file and Parquet (``assets.publish``), or where a build is sent (``hub_dataset``).
"""

from __future__ import annotations

import json
from pathlib import Path

import duckdb

from atom_dagster.exports.card import card, licence_text
from atom_dagster.exports.contents import Contents, Table, read
from atom_dagster.exports.datapackage import datapackage
from atom_dagster.quoting import literal, quoted

__all__ = ["SPREADSHEET_ROWS", "write"]

SPREADSHEET_ROWS = 1_048_575
"""Rows below its header that a spreadsheet opens. The CSV of a larger table is compressed by Zstandard, which
takes a fifth of gzip's time: whoever reads that one has a tool for it (frictionless has none)."""


def write(folder: Path) -> None:
    """Write ``csv/``, ``datapackage.json`` and ``README.md`` into a build's folder.

    Args:
        folder: A build that holds ``atom.duckdb`` and ``parquet/`` already; what else there is (a report,
            docs) is linked.
    """
    with duckdb.connect(str(folder / "atom.duckdb"), read_only=True) as connection:
        contents = read(connection)
        (folder / "csv").mkdir(exist_ok=True)
        files = {table.name: _write_csv(connection, folder / "csv", table) for table in contents.tables}
    _write_descriptions(folder, contents, files)


def _write_csv(connection: duckdb.DuckDBPyConnection, folder: Path, table: Table) -> Path:
    """One table as UTF-8 CSV with a header, in the order it lies in, which is total; NULL is empty."""
    columns = ", ".join(
        f"to_json({quoted(column.name)}) as {quoted(column.name)}"
        if column.is_nested
        else quoted(column.name)
        for column in table.columns
    )
    is_large = table.rows > SPREADSHEET_ROWS
    file = folder / f"{table.name}.csv{'.zst' if is_large else ''}"
    connection.execute(
        f"copy (select {columns} from marts.{quoted(table.name)}) to {literal(file)}"
        f" (format csv, header, compression {'zstd' if is_large else 'none'},"
        " dateformat '%Y-%m-%d', timestampformat '%Y-%m-%dT%H:%M:%SZ')"
    )
    return file


def _write_descriptions(folder: Path, contents: Contents, files: dict[str, Path]) -> None:
    described = datapackage(folder, contents, files)
    (folder / "datapackage.json").write_text(json.dumps(described, indent=2, ensure_ascii=False) + "\n")
    (folder / "README.md").write_text(card(folder, contents, files))
    if not contents.is_synthetic:
        (folder / "LICENSE.md").write_text(licence_text(contents))
