"""What the marts are computed from, as digests: what is loaded, the code, the seeds, the vars.

Belongs here: telling whether standing marts, or a published build, are those of the present inputs.
Does not belong here: building (``assets.dbt``) or publishing (``assets.publish``).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import duckdb

from atom_dagster.settings import DBT_PROJECT, Settings

DBT_TARGET = DBT_PROJECT / "target"
_DBT_SOURCES = ("*.sql", "*.yml", "*.csv")


@dataclass(frozen=True)
class BuiltFrom:
    """What the standing marts were built from, all of them and with every dbt test passed."""

    digest: str
    vars: str


def project_digest() -> str:
    """A digest of every file of the dbt project: models, seeds, macros, tests, configuration."""
    digest = hashlib.sha256()
    for pattern in _DBT_SOURCES:
        for file in sorted(DBT_PROJECT.rglob(pattern)):
            if DBT_TARGET not in file.parents:
                digest.update(str(file.relative_to(DBT_PROJECT)).encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()


def code_digest() -> str:
    """A digest of the package's code and of the dbt project."""
    package = Path(__file__).parent
    digest = hashlib.sha256(project_digest().encode())
    for file in sorted(package.rglob("*.py")):
        digest.update(str(file.relative_to(package)).encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def build_vars(settings: Settings) -> str:
    """The dbt vars that come from outside the project, as JSON: the day the clock shows."""
    return json.dumps({"today": settings.today().isoformat()}, sort_keys=True)


def digest(connection: duckdb.DuckDBPyConnection) -> str:
    """A digest of what is loaded and of the code and seeds; the vars stand beside it."""
    result = hashlib.sha256(code_digest().encode())
    try:
        loads = connection.execute("select * from raw.loads order by all").fetchall()
    except duckdb.CatalogException:
        loads = []
    result.update(repr(loads).encode())
    return result.hexdigest()


def of_marts(connection: duckdb.DuckDBPyConnection) -> BuiltFrom | None:
    """What the standing marts were built from; None while they are being built or are not whole."""
    try:
        row = connection.execute("select digest, vars from raw.marts_built_from").fetchone()
    except duckdb.CatalogException:
        return None
    return BuiltFrom(*row) if row else None


def note(connection: duckdb.DuckDBPyConnection, built_from: BuiltFrom | None) -> None:
    """Note what the marts were built from; None before they are touched."""
    connection.execute(
        "create or replace table raw.marts_built_from (digest varchar not null, vars varchar not null)"
    )
    connection.execute(
        "comment on table raw.marts_built_from is"
        " 'What the standing marts were built whole from; empty while they are not whole.'"
    )
    if built_from is not None:
        connection.execute(
            "insert into raw.marts_built_from values (?, ?)", [built_from.digest, built_from.vars]
        )
