"""The documentation of the dbt project as one page that opens from disk.

Belongs here: putting dbt's own page together, as ``dbt docs generate --static`` does. Does not belong
here: any description (the dbt project's yml files).

dbt's command would parse the project once more and ask the warehouse for its columns, some seconds and
the writer's lock. What it writes into its page is at hand: the manifest of the build, and the catalogue
of a connection that is open.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb

from atom_dagster.quoting import script_json

_CATALOGUE_VERSION = "https://schemas.getdbt.com/dbt/catalog/v1.json"
_PATHS = ("build_path", "compiled_path", "root_path")
_SLOTS = ("MANIFEST.JSON INLINE DATA", "CATALOG.JSON INLINE DATA")
# dbt's page asks for addresses before it fills them in, two for each icon; and for its own icon's.
_UNFILLED = (
    ('xlink:href="{{', 'ng-attr-href="{{'),
    ("${require('./assets/favicons/favicon.ico')}", "data:,"),
)


def write(target: Path, manifest: Mapping[str, Any], connection: duckdb.DuckDBPyConnection) -> None:
    """Write the page.

    Args:
        target: The HTML file; its folder is made.
        manifest: dbt's, of the build that made the tables (with compiled SQL) or of a parse (without).
        connection: To the warehouse, whose tables have the types.

    Raises:
        RuntimeError: dbt's page has no place for the data, so it is another version's.
    """
    page = (files("dbt.task.docs") / "index.html").read_text(encoding="utf-8")
    for slot, data in zip(_SLOTS, (_portable(manifest), _catalogue(manifest, connection)), strict=True):
        if page.count(f'"{slot}"') != 1:
            raise RuntimeError(f"dbt {version('dbt-core')} has a page without a place for {slot}.")
        page = page.replace(f'"{slot}"', script_json(data))
    for asked, instead in _UNFILLED:
        page = page.replace(asked, instead)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page, encoding="utf-8")


def _portable(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest without the paths of the machine that built it."""
    nodes = {
        name: {**node, **{path: None for path in _PATHS if path in node}}
        for name, node in manifest["nodes"].items()
    }
    return {**manifest, "nodes": nodes}


def _catalogue(manifest: Mapping[str, Any], connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """The page's ``catalog.json``: the relations that stand in the database, with their columns' types."""
    columns: dict[tuple[str, str], dict[str, Any]] = {}
    for schema, table, name, index, kind, comment in connection.execute(
        "select schema_name, table_name, column_name, column_index, data_type, comment"
        " from duckdb_columns() where database_name = current_database() order by all"
    ).fetchall():
        column = {"type": kind, "index": index, "name": name, "comment": comment}
        columns.setdefault((schema, table), {})[name] = column
    entries: dict[str, dict[str, Any]] = {}
    for group in ("nodes", "sources"):
        entries[group] = {}
        for unique_id, node in manifest[group].items():
            at = (node["schema"], node.get("identifier") or node.get("alias") or node["name"])
            if node["resource_type"] == "test" or at not in columns:
                continue
            kind = str(node["config"].get("materialized", "table"))
            entries[group][unique_id] = {
                "metadata": {
                    "type": "VIEW" if kind == "view" else "BASE TABLE",
                    "schema": at[0],
                    "name": at[1],
                    "database": node["database"],
                    "comment": node["description"],
                    "owner": None,
                },
                "columns": columns[at],
                "stats": {},
                "unique_id": unique_id,
            }
    metadata = {
        name: manifest["metadata"].get(name) for name in ("dbt_version", "generated_at", "invocation_id")
    }
    return {"metadata": {"dbt_schema_version": _CATALOGUE_VERSION, **metadata, "env": {}}, **entries}
