"""The data dictionary: ``datapackage.json`` after the Data Package standard, version 2.0.

Belongs here: how contents are written as a descriptor. Does not belong here: what they are
(``contents``).

A table is one resource, its CSV. The standard has no word for a second file that says the same, and
tools take a Parquet file listed as a resource for one more table: so it stands in the resource's own
property ``alternatives``, where standard-keeping tools pass it by.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from atom_dagster.exports.contents import Column, Contents, Source, Table, one_line

PROFILES = "https://datapackage.org/profiles/2.0"

_TYPES = {
    "VARCHAR": "string",
    "BIGINT": "integer",
    "INTEGER": "integer",
    "DOUBLE": "number",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "TIMESTAMP": "datetime",
}


def datapackage(folder: Path, contents: Contents, files: Mapping[str, Path]) -> dict[str, Any]:
    """The descriptor of a build.

    Args:
        folder: The build, which holds ``parquet/`` and the CSV files.
        contents: What it holds.
        files: Each table's CSV file.

    Raises:
        TypeError: a column has a type that has no name here.
    """
    build = contents.build
    as_of = {"as_of": build["as_of"]} if build["as_of"] else {}
    return {
        "$schema": f"{PROFILES}/datapackage.json",
        "name": f"atom-{str(build['world']).partition(':')[0]}",
        "title": contents.title,
        "description": _description(contents),
        "version": f"{build['atom_version']}+{build['build_id']}",
        "created": build["built_at"],
        "keywords": ["open language models", "downloads", "derivatives", "inference"],
        "world": build["world"],
        "is_synthetic": contents.is_synthetic,
        "build_id": build["build_id"],
        **as_of,
        **({"attribution": contents.attribution} if contents.attribution else {}),
        "licenses": [
            {"name": one.name, "title": one.title, **({"path": one.path} if one.path else {})}
            for one in contents.licences
        ],
        "sources": [_source(source, is_synthetic=contents.is_synthetic) for source in contents.sources],
        "resources": [_resource(folder, table, files[table.name]) for table in contents.tables],
    }


def _description(contents: Contents) -> str:
    if contents.is_synthetic:
        return (
            "Synthetic: every number is simulated and none was measured. It shows the machinery of a"
            " measurement of the open-language-model ecosystem."
        )
    return (
        "Downloads on the Hugging Face Hub, derived models and tokens on OpenRouter of open language models,"
        " by organization, country, region, size and family."
    )


def _source(source: Source, *, is_synthetic: bool) -> dict[str, Any]:
    """A source; a simulated one has no address, for nothing was asked there."""
    origin = source.origin
    path = {"path": origin.path} if origin.path else {}
    return {
        "title": f"{origin.title} (simulated)" if is_synthetic else origin.title,
        **({} if is_synthetic else {**path, "license": origin.licence.name}),
        "name": source.name,
        **({"last_day": source.last_day.isoformat()} if source.last_day else {}),
        "as_of": f"{source.as_of.isoformat(timespec='seconds')}Z",
        "pulls": source.pulls,
    }


def _resource(folder: Path, table: Table, file: Path) -> dict[str, Any]:
    parquet = folder / "parquet" / f"{table.name}.parquet"
    return {
        "$schema": f"{PROFILES}/dataresource.json",
        "name": table.name,
        "type": "table",
        "path": str(file.relative_to(folder)),
        "title": table.name.replace("_", " "),
        "description": table.description,
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        **({"compression": "zst"} if file.suffix == ".zst" else {}),
        **_measured(file),
        "rows": table.rows,
        "dialect": {"delimiter": ",", "lineTerminator": "\n", "quoteChar": '"', "doubleQuote": True},
        "schema": {
            "$schema": f"{PROFILES}/tableschema.json",
            "fields": [_field(column) for column in table.columns],
            "missingValues": [""],
            "primaryKey": list(table.key),
        },
        "alternatives": [
            {
                "path": str(parquet.relative_to(folder)),
                "format": "parquet",
                "mediatype": "application/vnd.apache.parquet",
                **_measured(parquet),
            }
        ],
    }


def _field(column: Column) -> dict[str, Any]:
    kind = "array" if column.is_nested else _TYPES.get(column.type)
    if kind is None:
        raise TypeError(f"Column {column.name} is {column.type}, which the data dictionary has no type for.")
    return {
        "name": column.name,
        "type": kind,
        **({"format": "default"} if kind in {"date", "datetime"} else {}),
        **({"trueValues": ["true"], "falseValues": ["false"]} if kind == "boolean" else {}),
        "description": one_line(column.description),
        **({"unit": column.unit} if column.unit else {}),
        "constraints": {"required": column.is_required},
    }


def _measured(file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"bytes": file.stat().st_size, "hash": f"sha256:{digest}"}
