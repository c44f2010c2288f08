"""The raw tables as dbt documents them are those of ``sources.tables``, word for word."""

from __future__ import annotations

from pathlib import Path

import yaml

from atom_dagster.settings import DBT_PROJECT
from atom_dagster.sources.tables import TABLES

SOURCES = Path(DBT_PROJECT) / "models" / "staging" / "_raw__sources.yml"


def test_sources_are_the_raw_tables() -> None:
    (raw,) = yaml.safe_load(SOURCES.read_text())["sources"]
    documented = {
        table["name"]: (
            table["description"],
            table["config"]["meta"]["dagster"]["asset_key"],
            {column["name"]: column["description"] for column in table["columns"]},
        )
        for table in raw["tables"]
    }
    expected = {
        name: (
            table.comment,
            ["raw", name],
            {column: facts.comment for column, facts in table.columns.items()},
        )
        for name, table in TABLES.items()
    }
    assert documented == expected
