"""Text that comes back from SQL and from a page's script as it went in."""

from __future__ import annotations

import json

import duckdb
import pytest

from atom_dagster.quoting import literal, quoted, script_json

AWKWARD = """it's "quoted"; \\ </script> <!-- & \u2028 模型"""


def test_sql_gives_back_what_was_quoted():
    with duckdb.connect() as connection:
        found = connection.execute(f"select {literal(AWKWARD)} as {quoted(AWKWARD)}")
        assert found.description[0][0] == AWKWARD  # type: ignore[index]
        assert found.fetchall() == [(AWKWARD,)]


def test_json_in_a_script_cannot_end_it():
    text = script_json({"said": AWKWARD})
    assert not set("<>&\u2028") & set(text)
    assert "模型" in text
    assert json.loads(text) == {"said": AWKWARD}


def test_json_in_a_script_holds_finite_numbers_only():
    with pytest.raises(ValueError, match="not JSON compliant"):
        script_json([float("nan")])
