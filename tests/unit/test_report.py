"""The report page and its figures, over a small file of their own."""

from __future__ import annotations

import json
import re
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import duckdb
import pytest
import yaml

from atom_dagster import report
from atom_dagster.report import charts, page, palette, words
from atom_dagster.report.figure import Column, Figure
from atom_dagster.report.figures import FIGURES, OURS, THE_REPORTS
from atom_dagster.settings import DBT_PROJECT
from tests.unit import _published

BY_ID = {figure.id: figure for figure in FIGURES}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _published.write(tmp_path_factory.mktemp("published") / "atom.duckdb")


@pytest.fixture(scope="module")
def html(database: Path) -> str:
    target = database.parent / "report" / "index.html"
    report.render(database, target)
    return target.read_text(encoding="utf-8")


@pytest.fixture
def shown(database: Path):
    connection = duckdb.connect(str(database), read_only=True)
    facts, styles = page.facts_of(connection), palette.of(connection).styles

    def show(figure: Figure) -> dict:
        return page.shown(connection, figure, facts, styles)

    yield show
    connection.close()


class _Elements(HTMLParser):
    """Every start tag, with the text that follows a script's."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text: list[str] = []
        self._in_script = False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._in_script = tag == "script"
        if self._in_script:
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._in_script = False

    def handle_data(self, data):
        if self._in_script:
            self.scripts[-1] += data
        else:
            self.text.append(data)


def test_the_figures_are_those_of_the_contract_in_its_order():
    assert [figure.id for figure in THE_REPORTS] == [
        "cumulative_by_region",
        "cumulative_by_organization",
        "monthly_by_organization",
        "share_of_largest_size",
        "size_mix",
        "top_models",
        "new_entrants",
        "derivatives_by_region",
        "derivatives_by_family",
        "inference_by_region",
        "ram_newest",
        "ram_by_baseline",
        "concentration",
        "crossovers",
    ]
    assert [figure.id for figure in OURS] == [
        "coverage",
        "anomalies",
        "derivatives_by_threshold",
        "derivatives_by_country_pair",
        "inference_by_publisher_and_base",
        "ram_sensitivity",
        "ram_backtest",
        "model_sets",
        "claims",
    ]


def test_every_figure_has_an_exposure_that_names_the_marts_it_reads():
    declared = yaml.safe_load((DBT_PROJECT / "models" / "exposures.yml").read_text())["exposures"]
    reads = {
        exposure["name"]: sorted(re.search(r"ref\('(\w+)'\)", node)[1] for node in exposure["depends_on"])
        for exposure in declared
        if exposure["name"].startswith("report_")
    }
    assert reads == {f"report_{figure.id}": list(figure.marts) for figure in FIGURES}


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.id)
def test_a_figure_is_drawn_told_and_explained(figure: Figure, shown):
    found = shown(figure)
    assert found["gap"] == ""
    assert found["panels"]
    assert found["rows"] > 0
    for text in (
        found["sentence"],
        found["question"],
        found["definition"],
        found["model_set"],
        found["cut_off"],
    ):
        assert len(text) > 10
    assert "None" not in found["sentence"]
    assert "{" not in found["sentence"] + found["model_set"]
    assert found["question"].endswith("?")
    assert found["marts"]
    # Whatever the order of the file, the same rows in the same order.
    assert "order by" in figure.sql


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.id)
def test_a_figures_charts_are_vega_lite(figure: Figure, database: Path):
    with duckdb.connect(str(database), read_only=True) as connection:
        rows, styles = page.rows_of(connection, figure), palette.of(connection).styles
        drawing = figure.draw(rows, styles)
    for panel in drawing.panels:
        spec = panel.chart.to_dict(validate=True)
        assert '"name": "rows"' in json.dumps(spec)
    for style in drawing.legend:
        assert re.fullmatch("#[0-9a-f]{6}", style.color)


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.id)
def test_a_figures_months_do_not_make_its_rows_many(figure: Figure, database: Path):
    with duckdb.connect(str(database), read_only=True) as connection:
        [(rows,)] = connection.execute(f"select count(*) from ({figure.sql})").fetchall()
    # Thirteen months here: ten times as many rows must still be a small table.
    assert rows <= 150


def test_the_page_holds_every_figure_once(html: str):
    elements = _Elements(html)
    ids = [attributes["id"] for tag, attributes in elements.tags if tag == "article"]
    assert ids == [figure.id for figure in FIGURES]
    assert sum(attributes.get("role") == "img" for _, attributes in elements.tags) >= len(FIGURES)
    for _, attributes in elements.tags:
        if attributes.get("role") == "img":
            assert len(attributes["aria-label"]) > 40


def test_the_same_file_gives_the_same_page(html: str, database: Path, tmp_path: Path):
    rendered = report.render(database, tmp_path / "index.html")
    assert (tmp_path / "index.html").read_text(encoding="utf-8") == html
    assert rendered == report.Rendered(len(FIGURES), {}, {}, len(html.encode()))


def test_a_hostile_name_is_shown_and_never_markup(html: str):
    elements = _Elements(html)
    scripts = [tag for tag in elements.tags if tag[0] == "script"]
    # One for each figure's data, the settings, the libraries and the page's own.
    assert len(scripts) == len(FIGURES) + 3
    assert not any("alert('x')" in script for script in elements.scripts[-2:])
    [data] = [
        script
        for (_, attributes), script in zip(scripts, elements.scripts, strict=True)
        if attributes.get("class") == "data" and '"organization"' in script and '"downloads_since"' in script
    ]
    columns = [column["name"] for column in json.loads(data)["columns"]]
    values = json.loads(data)["values"][columns.index("organization")]
    assert _published.HOSTILE in values["of"]


def test_the_page_asks_nobody_for_anything(html: str):
    elements = _Elements(html)
    for tag, attributes in elements.tags:
        assert tag not in {"img", "iframe", "object", "embed", "base"}
        assert not (tag == "script" and "src" in attributes)
        assert not (tag == "link" and attributes["href"] != "data:,")
    [policy] = [a["content"] for tag, a in elements.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]


def test_a_synthetic_world_says_so_and_a_real_one_does_not(html: str, database: Path, tmp_path: Path):
    assert html.count('class="synthetic"') == 1
    assert html.count("<strong>Synthetic.</strong>") == len(FIGURES)
    assert "proves the machinery, not the report" in html
    real = tmp_path / "real.duckdb"
    real.write_bytes(database.read_bytes())
    with duckdb.connect(str(real)) as connection:
        connection.execute("update meta.build set world = 'live', is_synthetic = false")
        connection.execute("update marts.claims set is_synthetic_agreement = false")
    report.render(real, tmp_path / "index.html")
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert 'class="synthetic"' not in text
    assert "<strong>Synthetic.</strong>" not in text
    assert "proves the machinery" not in text


def test_figures_without_data_say_why(tmp_path: Path):
    rendered = report.render(
        _published.write(tmp_path / "atom.duckdb", is_empty=True), tmp_path / "report" / "index.html"
    )
    assert rendered.drawn == 0
    assert set(rendered.empty) == set(BY_ID)
    text = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    for reason in rendered.empty.values():
        assert reason.endswith(".")
        assert reason.count(". ") == 0, "one sentence"
    assert text.count("No data: ") == len(FIGURES)
    assert 'role="img"' not in text


def test_a_figure_that_cannot_be_made_does_not_withhold_the_others(database: Path, tmp_path: Path):
    broken = tmp_path / "broken.duckdb"
    broken.write_bytes(database.read_bytes())
    with duckdb.connect(str(broken)) as connection:
        connection.execute("drop table marts.claims")
    rendered = report.render(broken, tmp_path / "index.html")
    assert rendered.drawn == len(FIGURES) - 1
    assert rendered.faults.keys() == rendered.empty.keys() == {"claims"}
    assert "claims does not exist" in rendered.faults["claims"]
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert text.count("This figure could not be made (CatalogException)") == 1
    # What went wrong may name a file of the machine.
    assert "claims does not exist" not in text


def test_a_file_that_does_not_say_what_it_is_gives_no_page(database: Path, tmp_path: Path):
    broken = tmp_path / "broken.duckdb"
    broken.write_bytes(database.read_bytes())
    with duckdb.connect(str(broken)) as connection:
        connection.execute("drop table meta.build")
    with pytest.raises(duckdb.CatalogException, match="build"):
        report.render(broken, tmp_path / "index.html")
    assert not (tmp_path / "index.html").exists()


def test_a_line_with_an_uncovered_month_is_linked_throughout(database: Path, tmp_path: Path):
    uneven = tmp_path / "uneven.duckdb"
    uneven.write_bytes(database.read_bytes())
    with duckdb.connect(str(uneven)) as connection:
        connection.execute(
            "update marts.downloads_by_organization_monthly set coverage = 0.5, downloads_linked = 7"
            " where organization = 'Meta' and month = '2025-03-01'"
        )
        rows = page.rows_of(connection, BY_ID["monthly_by_organization"])
    meta = {row["month"]: row for row in rows if row["organization"] == "Meta"}
    assert {row["is_linked"] for row in meta.values()} == {True}
    assert meta[date(2025, 3, 1)]["drawn"] == 7 != meta[date(2025, 3, 1)]["downloads"]
    assert meta[date(2025, 3, 1)]["mark"] == "low_coverage"
    qwen = {row["month"]: row for row in rows if row["organization"] == "Qwen"}
    assert {row["is_linked"] for row in qwen.values()} == {False}
    assert qwen[date(2025, 8, 1)]["mark"] == "anomaly"
    assert qwen[date(2025, 8, 1)]["drawn_without"] == qwen[date(2025, 8, 1)]["drawn"] - 5


def test_a_recorded_world_says_it_is_a_selection_and_cites_its_source(
    html: str, database: Path, tmp_path: Path
):
    assert 'class="selection"' not in html
    for word in ("Source: OpenRouter", "ODbL", "as far as recorded"):
        assert word not in html
    assert "Simulated OpenRouter tokens up to 2026-01-01" in html
    assert "simulated by this project" in html
    recorded = tmp_path / "recorded.duckdb"
    recorded.write_bytes(database.read_bytes())
    with duckdb.connect(str(recorded)) as connection:
        connection.execute("update meta.build set world = 'recorded:somewhere', is_synthetic = false")
    report.render(recorded, tmp_path / "index.html")
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert text.count('class="selection"') == 1
    assert "They hold what was recorded and no more" in text
    assert "every recorded model that names a base" in text
    assert (
        "for tokens also “Source: OpenRouter (openrouter.ai/rankings), as of 2026-01-02T00:10:00Z.”" in text
    )
    assert "OpenRouter: Creative Commons Attribution 4.0." in text
    with duckdb.connect(str(recorded)) as connection:
        connection.execute("update meta.pulls set source = 'registry'")
    report.render(recorded, tmp_path / "index.html")
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "Source: OpenRouter" not in text
    assert "ATOM&#39;s tracked models: Apache License 2.0." in text


def test_controls_have_names_of_their_own(html: str):
    names = [a["aria-label"] for tag, a in _Elements(html).tags if "data-save" in a]
    assert len(names) == len(set(names)) == 3 * len(FIGURES)
    assert f"Download CSV: {BY_ID['size_mix'].title}" in names
    assert "<noscript><style>.tools, .panels, .actions, details.table { display: none; }" in html


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.id)
def test_a_table_has_row_headers(figure: Figure):
    kinds = {column.name: column.kind for column in figure.columns}
    assert 1 <= len(figure.keys) <= 2
    assert {kinds[name] for name in figure.keys} <= {"text", "month", "day"}


def test_a_figure_that_says_the_table_has_reasons_has_them():
    for figure in FIGURES:
        if "row with its reason in the table" in " ".join(figure.remarks):
            assert "null_reason" in {column.name for column in figure.columns}, figure.id


def test_a_key_looks_the_same_in_every_figure(shown):
    looks: dict[str, set[tuple]] = {}
    for figure in FIGURES:
        for style in json.loads(shown(figure)["data"])["legend"]:
            if any(column.name in {"organization", "region"} for column in figure.columns):
                looks.setdefault(style["key"], set()).add((style["color"], tuple(style["dash"])))
    assert {"china", "us", "Qwen", "Meta"} <= looks.keys()
    assert [key for key, found in looks.items() if len(found) > 1] == []


def test_a_family_looks_like_its_organization_unless_another_does():
    found = palette.Palette(["Qwen", "Meta", "New"], {"Llama": "Meta", "Llama Guard": "Meta", "New": "New"})
    [meta, new] = found.styles("organization", ["Meta", "New"])
    [llama, guard, new_family] = found.styles("family", ["Llama", "Llama Guard", "New"])
    assert (llama.color, llama.dash) == (meta.color, meta.dash)
    assert (guard.color, guard.dash) != (meta.color, meta.dash)
    assert (new_family.color, new_family.dash) == (new.color, new.dash)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, None, 2.5], [1, None, 2.5]),
        (["a", "a", None, "b", "a", "b"], {"of": ["a", "b"], "at": [0, 0, None, 1, 0, 1]}),
        (["a", "b", "c"], ["a", "b", "c"]),
        ([date(2025, 1, 1)] * 3, {"of": ["2025-01-01"], "at": [0, 0, 0]}),
        ([True, None], [True, None]),
        ([], []),
    ],
)
def test_a_column_is_packed(values, expected):
    assert page.packed(values) == expected


def test_embedded_json_cannot_leave_its_element():
    text = page.embedded({"name": "</script><!--&\u2028"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"name": "</script><!--&\u2028"}


def test_sql_must_give_the_columns_declared(database: Path):
    figure = BY_ID["coverage"]
    wrong = Figure(**{**figure.__dict__, "columns": [Column("month", "Month", "month")]})
    with (
        duckdb.connect(str(database), read_only=True) as connection,
        pytest.raises(ValueError, match="coverage"),
    ):
        page.rows_of(connection, wrong)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.152e9, "1.15 billion"),
        (723e6, "723 million"),
        (81.25e6, "81.2 million"),
        (4210, "4,210"),
        (None, "unknown"),
    ],
)
def test_counts_are_written_for_reading(value, expected):
    assert words.count(value) == expected


def test_every_colour_has_its_dark_one():
    assert {*charts.PALETTE, *charts.REGION_COLORS.values(), *charts.SIZE_COLORS} <= charts.DARK.keys()


def _contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2 between two colours."""

    def luminance(color: str) -> float:
        parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        red, green, blue = (
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("color", sorted({*charts.PALETTE, *charts.REGION_COLORS.values(), charts.GREY}))
def test_a_line_stands_out_from_either_background(color: str):
    assert _contrast(color, "#ffffff") >= 3
    assert _contrast(charts.DARK[color], "#14171b") >= 3


def test_pale_steps_are_outlined(shown):
    assert charts.OUTLINE["stroke"] == charts.GREY
    for figure_id in ("size_mix", "ram_newest", "derivatives_by_country_pair"):
        data = json.loads(shown(BY_ID[figure_id])["data"])
        marks = [layer["mark"] for panel in data["panels"] for layer in panel["spec"]["layer"]]
        assert [mark["stroke"] for mark in marks if mark["type"] in {"bar", "rect"}] == [charts.GREY]
        # The legend outlines what has a shape.
        assert {style["shape"] for style in data["legend"]} == {"square"}


@pytest.mark.parametrize("text", ["it's", 'a "b"', "back\\slash", "line\nbreak", "\u2028", "é"])
def test_text_in_an_expression_is_one_literal(text: str):
    literal = charts._text(text)
    assert json.loads(literal) == text
    assert literal.isascii()
    assert "\n" not in literal


def test_a_month_alone_is_a_point(shown):
    data = json.loads(shown(BY_ID["cumulative_by_region"])["data"])
    [panel] = data["panels"]
    [alone] = [layer for layer in panel["spec"]["layer"] if "datum.before" in str(layer)]
    assert alone["mark"]["size"] >= 20
    [window] = [step for step in alone["transform"] if "window" in step]
    assert [part["op"] for part in window["window"]] == ["lag", "lead"]
    assert window["groupby"] == ["region"]


def test_anomalies_of_any_size_lie_on_one_scale(shown):
    data = json.loads(shown(BY_ID["anomalies"])["data"])
    [panel] = data["panels"]
    [dots] = [layer for layer in panel["spec"]["layer"] if layer["mark"]["type"] == "point"]
    assert (dots["encoding"]["x"]["field"], dots["encoding"]["x"]["scale"]["type"]) == ("ratio", "log")
    # A logarithm has no zero: such a row stands in the table alone.
    assert "datum.ratio > 0" in str(dots["transform"])
