"""What the report marks and warns of: coverage beside anomalies, spikes nobody can tell, rules that fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from atom_dagster import report
from atom_dagster.report import marks, page, palette
from atom_dagster.report.figures import FIGURES
from tests.unit import _published

BY_ID = {figure.id: figure for figure in FIGURES}
RING, DIAMOND, SQUARE, TRIANGLE, CROSS = "○", "◇", "□", "△", "✕"

Change = Callable[[str], duckdb.DuckDBPyConnection]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _published.write(tmp_path_factory.mktemp("published") / "atom.duckdb")


@pytest.fixture
def changed(database: Path, tmp_path: Path):
    """The file as statements change it."""
    opened = []

    def change(statements: str) -> duckdb.DuckDBPyConnection:
        copy = tmp_path / f"changed-{len(opened)}.duckdb"
        copy.write_bytes(database.read_bytes())
        connection = duckdb.connect(str(copy))
        opened.append(connection)
        for statement in statements.split(";"):
            connection.execute(statement)
        return connection

    yield change
    for connection in opened:
        connection.close()


def _shown(connection: duckdb.DuckDBPyConnection, figure_id: str) -> dict[str, Any]:
    facts, styles = page.facts_of(connection), palette.of(connection).styles
    return page.shown(connection, BY_ID[figure_id], facts, styles)


def _signs(connection: duckdb.DuckDBPyConnection, figure_id: str) -> list[str]:
    return [sign for sign, _ in _shown(connection, figure_id)["marks"]]


def _rows(connection: duckdb.DuckDBPyConnection, figure_id: str) -> list[dict[str, Any]]:
    return page.rows_of(connection, BY_ID[figure_id])


def _mark_layers(shown: dict[str, Any]) -> list[dict[str, Any]]:
    """The layers that draw a symbol for each mark."""
    specs = [panel["spec"] for panel in json.loads(shown["data"])["panels"]]
    return [layer for spec in specs for layer in spec["layer"] if "flatten" in str(layer.get("transform"))]


UNCOVERED = {
    "cumulative_by_region": "update marts.downloads_by_region_monthly set coverage_cumulative = 0.6",
    "monthly_by_organization": "update marts.downloads_by_organization_monthly set coverage = 0.6",
    "share_of_largest_size": (
        "update marts.downloads_by_organization_size_monthly set coverage = 0.6,"
        " downloads_without_anomalies = downloads - 5 where organization = 'Qwen'"
    ),
    "size_mix": "update marts.downloads_by_size_monthly set coverage = 0.6",
    "concentration": "update marts.downloads_concentration_monthly set coverage = 0.6",
    "new_entrants": (
        "update marts.new_entrants_monthly set coverage_since = 0.6;"
        " update marts.anomalies set organization = 'Meta'"
    ),
    "model_sets": (
        "update marts.downloads_by_model_set_monthly set coverage = 0.6,"
        " downloads_without_anomalies = downloads - 5 where region = 'china'"
    ),
}


@pytest.mark.parametrize("figure_id", UNCOVERED)
def test_a_months_coverage_is_marked_beside_its_anomaly(figure_id: str, changed: Change):
    connection = changed(UNCOVERED[figure_id])
    both = [row for row in _rows(connection, figure_id) if row["mark"] == "low_coverage, anomaly"]
    assert both
    shown = _shown(connection, figure_id)
    assert [sign for sign, _ in shown["marks"]][:2] == [RING, DIAMOND]
    for layer in _mark_layers(shown):
        # The ring is drawn first and is the larger: the diamond lies inside it.
        names = layer["encoding"]["size"]["scale"]["domain"]
        sizes = dict(zip(names, layer["encoding"]["size"]["scale"]["range"], strict=True))
        assert layer["encoding"]["size"]["scale"]["type"] == "ordinal"
        assert sizes["low_coverage"] > 2 * sizes["anomaly"]
        assert names.index("low_coverage") < names.index("anomaly")
    assert len(_mark_layers(shown)) == len(shown["panels"])


@pytest.mark.parametrize(
    ("figure_id", "key"),
    [
        ("derivatives_by_region", "region"),
        ("derivatives_by_family", "family"),
        ("derivatives_by_threshold", "region"),
    ],
)
def test_a_provisional_month_of_few_derivatives_is_both(figure_id: str, key: str, changed: Change):
    few = f"update marts.derivatives_by_{key}_monthly set new_derivatives = new_derivatives / 10"
    connection = changed(few)
    assert "few, provisional" in {row["mark"] for row in _rows(connection, figure_id)}
    assert _signs(connection, figure_id) == [SQUARE, TRIANGLE]


def test_the_key_lists_what_is_drawn_and_no_more(changed: Change):
    connection = changed(
        "update marts.downloads_by_size_monthly set downloads = null, share = null, coverage = 0.5,"
        " downloads_without_anomalies = null"
        " where month = '2025-03-01'"
    )
    # A month without a value has no bar to bear its mark.
    assert "low_coverage" in {row["mark"] for row in _rows(connection, "size_mix") if row["share"] is None}
    assert _signs(connection, "size_mix") == [DIAMOND]
    # In one of two panels it has.
    so_far = changed(
        "update marts.downloads_by_organization_size_monthly set share_of_size = null, coverage = 0.5"
        " where month = '2025-03-01'"
    )
    assert _signs(so_far, "share_of_largest_size") == [RING]


def test_a_cross_is_in_the_key_where_one_is_drawn(changed: Change):
    assert _signs(changed("select 1"), "monthly_by_organization") == [DIAMOND, CROSS]
    # Less than half is left of the flagged month, while other months have a value without anomalies.
    mostly = (
        "update marts.downloads_by_organization_monthly set downloads_without_anomalies = 0.4 * downloads"
        " where organization = 'Qwen' and month = '2025-08-01'"
    )
    connection = changed(mostly)
    rows = _rows(connection, "monthly_by_organization")
    assert any(row["drawn_without"] is not None for row in rows)
    assert _signs(connection, "monthly_by_organization") == [DIAMOND]
    linked = changed("update marts.downloads_by_organization_monthly set coverage = 0.6")
    assert _signs(linked, "monthly_by_organization") == [RING, DIAMOND]
    assert "there the table alone gives" in " ".join(_shown(linked, "monthly_by_organization")["remarks"])


def test_a_stacked_month_bears_its_marks_once_and_only_where_it_has_a_bar(changed: Change):
    shown = _shown(changed("select 1"), "size_mix")
    [layer] = _mark_layers(shown)
    assert layer["transform"][0] == {"filter": 'isValid(datum["share"])'}
    [once] = [step for step in layer["transform"] if "aggregate" in step]
    assert once["groupby"] == ["month", "mark_name"]


def test_a_stacked_bars_middle_lies_at_its_months_label(changed: Change):
    data = json.loads(_shown(changed("select 1"), "size_mix")["data"])
    [bars] = [layer for layer in data["panels"][0]["spec"]["layer"] if layer["mark"]["type"] == "bar"]
    assert bars["encoding"]["x"]["bandPosition"] == 0
    [layer] = _mark_layers(_shown(changed("select 1"), "size_mix"))
    assert "bandPosition" not in layer["encoding"]["x"]


def test_a_marked_bar_of_several_parts_bears_the_mark_at_its_end(changed: Change):
    connection = changed(UNCOVERED["model_sets"])
    for layer, measure in zip(
        _mark_layers(_shown(connection, "model_sets")), ("downloads", "downloads_cumulative"), strict=True
    ):
        [total] = [step for step in layer["transform"] if "joinaggregate" in step]
        assert total["joinaggregate"] == [{"op": "sum", "field": measure, "as": "end"}]
        assert layer["encoding"]["x"]["field"] == "end"


def test_every_mark_is_told_apart_and_explained():
    assert len({mark.name for mark in marks.MARKS}) == len(marks.MARKS)
    places = [mark.is_outer for mark in marks.MARKS]
    assert places == sorted(places, reverse=True), "outer marks are drawn first"
    inner = [mark.symbol for mark in marks.MARKS if not mark.is_outer]
    assert len(set(inner)) == len(inner)


# --- spikes that cannot be told ---------------------------------------------------------------------

# Every model measured in October to December alone, released long before.
THIN = (
    "update marts.downloads_by_model_monthly set downloads = null where month < '2025-10-01';"
    " update marts.models set release_date = date '2024-01-01'"
)


def test_the_spike_rule_is_printed_whole(changed: Change):
    told = _shown(changed("select 1"), "anomalies")["definition"]
    for part in (
        "100,000 downloads or more",
        "more than five times the median",
        "other measured months",
        "at least three",
        "more than 90 days after",
    ):
        assert part in told
    assert "adoption, crossings and claims bear none" in told


def test_what_could_not_be_tested_for_a_spike_is_counted(changed: Change):
    connection = changed(THIN)
    rows = [row for row in _rows(connection, "anomalies") if row["anomaly_reason"] == "untested"]
    # Each of the three months has two others beside it; all four models are large enough.
    assert [(row["month"].month, row["models"]) for row in rows] == [(12, 4), (11, 4), (10, 4)]
    assert all(row["downloads"] == row["month_downloads"] for row in rows)
    told = _shown(connection, "anomalies")["sentence"]
    assert "12 models' months of 100,000 downloads or more could not be tested for a spike" in told
    assert "in December 2025 they hold 100.0% of the downloads" in told
    # They are no kind of anomaly that the chart draws.
    legend = json.loads(_shown(connection, "anomalies")["data"])["legend"]
    assert "untested" not in {style["key"] for style in legend}


@pytest.mark.parametrize(
    ("statement", "models"),
    [
        # Three months around it are measured.
        ("update marts.downloads_by_model_monthly set downloads = 1e6 where month = '2025-09-01'", 0),
        # Four months before: too far away.
        ("update marts.downloads_by_model_monthly set downloads = 1e6 where month = '2025-08-01'", 4),
        # 91 and 90 days before the month begins: no longer young, and still young.
        ("update marts.models set release_date = date '2025-09-01'", 4),
        ("update marts.models set release_date = date '2025-09-02'", 0),
        ("update marts.models set release_date = null", 4),
        ("update marts.downloads_by_model_monthly set downloads = 100000 where month = '2025-12-01'", 4),
        ("update marts.downloads_by_model_monthly set downloads = 99999 where month = '2025-12-01'", 0),
    ],
)
def test_a_month_is_untested_by_the_rule_of_spikes(statement: str, models: int, changed: Change):
    rows = _rows(changed(f"{THIN}; {statement}"), "anomalies")
    [december] = [
        row["models"] for row in rows if row["anomaly_reason"] == "untested" and row["month"].month == 12
    ]
    assert december == models


def test_where_every_month_could_be_tested_it_is_said(changed: Change):
    assert "could be tested." in _shown(changed("select 1"), "anomalies")["sentence"]


def test_a_first_place_that_could_not_be_tested_is_no_headline_alone(changed: Change):
    shown = _shown(changed(THIN), "top_models")
    assert "Whether the first place is a spike cannot be told" in shown["sentence"]
    assert "the same holds for 3 of the others" in shown["sentence"]
    assert ("▽", "too few months are measured around it to tell a spike") in shown["marks"]
    assert "spike" not in _shown(changed("select 1"), "top_models")["sentence"]
    # Only the first place is the headline.
    second = changed(
        f"{THIN}; update marts.downloads_by_model_monthly set downloads = 1e6"
        " where month < '2025-10-01' and model_id like 'Qwen%'"
    )
    assert "spike" not in _shown(second, "top_models")["sentence"]
    assert _signs(second, "top_models") == ["▽"]


# --- the head of the page -----------------------------------------------------------------------------


def _html(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> str:
    [(name,)] = connection.execute("select path from duckdb_databases() where not internal").fetchall()
    connection.close()
    report.render(Path(name), tmp_path / "index.html")
    return (tmp_path / "index.html").read_text(encoding="utf-8")


def test_a_rule_that_fails_is_said_not_to_hold(changed: Change):
    [(name, told)] = page.facts_of(changed("select 1")).warnings
    assert name == "fresh"
    assert told == (
        "Does not hold: The newest month is held (1 violation: month 2026-01-01, newest_day 2025-12-31)"
    )
    [(_, told)] = page.facts_of(changed("update meta.checks set violations = 1200, examples = ''")).warnings
    assert told == "Does not hold: The newest month is held (1,200 violations)"


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("select 1", "tokens up to 2026-01-01"),
        # Whatever the day the answer was given on.
        ("update meta.pulls set as_of = '2026-08-22'", "tokens up to 2026-01-01"),
        # Asked for less than was held before, and for more than the source had.
        ("update meta.pulls set scope = '2025-01-01_2026-03-31'", "up to 2026-01-31 at the latest (1 days"),
        (
            "update marts.inference_by_region_monthly set days_present = 31;"
            " update meta.pulls set scope = '2025-01-01_2026-03-31'",
            "tokens up to 2026-01-31",
        ),
    ],
)
def test_tokens_are_held_up_to_the_last_day_that_came(statement: str, told: str, changed: Change):
    assert told in page.facts_of(changed(statement)).cut_off["openrouter"]


def test_the_last_day_of_tokens_stands_beside_their_citation(changed: Change):
    facts = page.facts_of(changed("update meta.build set world = 'recorded:x', is_synthetic = false"))
    assert facts.cut_off["openrouter"].startswith("OpenRouter tokens up to 2026-01-01. Source: OpenRouter")
    assert "as of 2026-01-02T00:10:00Z" in facts.cut_off["openrouter"]


def test_a_caveat_links_to_the_figure_it_names(changed: Change, tmp_path: Path):
    text = _html(changed("update meta.build set world = 'recorded:x', is_synthetic = false"), tmp_path)
    assert "and that they are held up to 2026-01-01." in text
    [banner] = [line for line in text.splitlines() if 'class="selection"' in line]
    assert 'read <a href="#coverage">Coverage</a> before you compare' in banner
    assert "`" not in banner


def test_a_caveat_is_never_markup():
    assert page._linked("<b> `claims` `<i>`") == (
        '&lt;b&gt; <a href="#claims">The report&#39;s claims</a> &lt;i&gt;'
    )


# --- the claims' table and chart ------------------------------------------------------------------------


def test_a_claims_verdict_stands_beside_its_statement_with_the_reason_of_its_tolerance(changed: Change):
    figure = BY_ID["claims"]
    names = [column.name for column in figure.columns]
    assert names[:3] == ["claim_id", "statement", "verdict"]
    labels = {column.name: column.label for column in figure.columns}
    assert labels["is_synthetic_agreement"] == "Agreement is synthetic"
    assert {row["tolerance_reason"] for row in _rows(changed("select 1"), "claims")} == {"rounding"}
    assert "which is the rounding" not in figure.definition


def test_a_claims_label_begins_with_its_id(changed: Change):
    data = json.loads(_shown(changed("select 1"), "claims")["data"])
    [dots] = [layer for layer in data["panels"][0]["spec"]["layer"] if layer["mark"]["type"] == "point"]
    named = dots["encoding"]["y"]["field"]
    assert {"calculate": "datum.claim_id + ' ' + datum.statement", "as": named} in dots["transform"]


def test_paper_goes_without_columns_that_a_figure_can_spare(changed: Change):
    spared = {
        figure.id: {column.name for column in figure.columns if column.is_secondary} for figure in FIGURES
    }
    assert "note" in spared["claims"]
    for figure in FIGURES:
        assert not {*figure.keys, figure.measure} & spared[figure.id], figure.id
    columns = json.loads(_shown(changed("select 1"), "claims")["data"])["columns"]
    assert {column["name"] for column in columns if column["is_secondary"]} == spared["claims"]
