"""The report page in a real Chromium, from disk and without a network.

Screenshots are kept in the folder that REPORT_SCREENSHOTS names, else in pytest's own.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import duckdb
import pytest

from atom_dagster import report
from atom_dagster.report import page as report_page
from atom_dagster.report.figures import FIGURES
from tests.conftest import Finished
from tests.unit import _published

BY_ID = {figure.id: figure for figure in FIGURES}
LIMIT_BYTES = 6_000_000
WAIT_MS = 60_000
DRAWN = "document.documentElement.dataset.report === 'drawn'"
TABLE = """article => [...article.querySelectorAll('tbody tr')].map(
    row => [...row.cells].map(cell => cell.dataset.value ?? null))"""


@dataclass
class Opened:
    """A page in a browser that is offline, what it asked for and what it complained of."""

    page: Any
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def table(self, figure_id: str) -> list[list[str | None]]:
        article = self.page.locator(f"article#{figure_id}")
        article.locator("details.table").evaluate("details => { details.open = true; }")
        article.locator("tbody").wait_for(state="attached")
        return article.evaluate(TABLE)

    def axis(self, figure_id: str, role: str) -> list[str]:
        """The labels of a chart's axis; ``role`` is x or y."""
        return self.page.evaluate(
            """([id, first]) => {
                const labels = [...document.querySelectorAll(`#${id} .chart svg .role-axis-label text`)];
                const upright = (label) => label.getAttribute('text-anchor') === 'end';
                return labels.filter((label) => upright(label) === (first === 'y'))
                    .map((label) => label.textContent);
            }""",
            [figure_id, role],
        )


Opener = Callable[..., Opened]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if os.environ.get("CI"):
        from playwright.sync_api import sync_playwright
    else:
        sync_playwright = pytest.importorskip("playwright.sync_api").sync_playwright
    chromium = shutil.which("chromium")
    if chromium is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs Chromium.")
        pytest.skip("needs Chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Opener]:
    contexts = []

    def opened(file: Path, width: int = 1440, scheme: str = "light", timezone: str = "UTC") -> Opened:
        context = browser.new_context(
            offline=True,
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            timezone_id=timezone,
            accept_downloads=True,
        )
        contexts.append(context)
        found = Opened(context.new_page())
        found.page.on("request", lambda request: found.asked.append(request.url))
        found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
        found.page.on(
            "console",
            lambda message: found.complaints.append(message.text) if message.type == "error" else None,
        )
        found.page.on("dialog", lambda dialog: (found.complaints.append(dialog.message), dialog.dismiss()))
        found.page.goto(file.resolve().as_uri())
        found.page.wait_for_function(DRAWN, timeout=WAIT_MS)
        return found

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def published(sample: Finished) -> Path:
    return sample.home / "published" / "report" / "index.html"


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    named = os.environ.get("REPORT_SCREENSHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("report")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _same(shown: str | None, value: Any) -> bool:
    if value is None or shown is None:
        return value is None and shown is None
    if isinstance(value, bool):
        return shown == str(value).lower()
    if isinstance(value, int | float):
        return math.isclose(float(shown), value, rel_tol=1e-15)
    return shown == (value.isoformat() if hasattr(value, "isoformat") else str(value))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_every_figure_is_drawn(
    published: Path, open_page: Opener, screenshots: Path, width: int, scheme: str
):
    assert published.stat().st_size <= LIMIT_BYTES
    opened = open_page(published, width, scheme)
    page = opened.page
    for figure in FIGURES:
        article = page.locator(f"article#{figure.id}")
        drawn = article.evaluate(
            """article => [...article.querySelectorAll('.chart')].map(chart => ({
                marks: chart.querySelectorAll('svg path, svg rect, svg line, svg text').length,
                width: chart.querySelector('svg')?.getBoundingClientRect().width ?? 0,
                room: chart.getBoundingClientRect().width,
                label: chart.getAttribute('aria-label'),
            }))"""
        )
        assert drawn, f"{figure.id} has no chart"
        for chart in drawn:
            assert chart["marks"] > 10, figure.id
            assert 200 < chart["width"] <= chart["room"] + 1, figure.id
            assert len(chart["label"]) > 40
        assert article.get_attribute("data-drawn") == scheme
    # Nothing sticks out sideways, on a phone either.
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # It sticks to the window, and would cross the long pictures.
    page.add_style_tag(content=".synthetic { position: static !important; }")
    page.screenshot(path=screenshots / f"report-{width}-{scheme}.png", full_page=True)
    for figure in FIGURES:
        page.locator(f"article#{figure.id}").screenshot(
            path=screenshots / f"{figure.id}-{width}-{scheme}.png"
        )
    assert opened.complaints == []
    assert opened.asked == [published.resolve().as_uri()]


def test_tables_hold_what_the_marts_hold(published: Path, sample: Finished, open_page: Opener):
    opened = open_page(published)
    with sample.connect() as connection:
        for figure in FIGURES:
            rows = report_page.rows_of(connection, figure)
            table = opened.table(figure.id)
            assert len(table) == len(rows) > 0, figure.id
            for shown, row in zip(table, rows, strict=True):
                for cell, value in zip(shown, row.values(), strict=True):
                    assert _same(cell, value), (figure.id, cell, value)
    # The SQL is the page's own; these are asked of the marts apart from it.
    regions = sample.rows(
        "select region, downloads_cumulative from marts.downloads_by_region_monthly"
        " where month = '2026-03-01'"
    )
    table = opened.table("cumulative_by_region")
    assert {(row[1], int(row[2] or 0)) for row in table if row[0] == "2026-03-01"} == set(regions)
    [(model,)] = sample.rows(
        "select model_id from marts.downloads_by_model_monthly where month ="
        " (select max(month) from marts.downloads_by_model_monthly where downloads is not null)"
        " order by downloads desc limit 1"
    )
    assert opened.table("top_models")[0][1] == model
    first = opened.page.locator("#top_models tbody tr").first
    assert first.locator(":scope > *").nth(6).inner_text().replace(",", "").isdigit()
    assert first.locator("th[scope=row]").first.inner_text() == model
    for figure in FIGURES:
        headers = opened.page.locator(f"#{figure.id} tbody tr:first-child th[scope=row]").count()
        assert headers == len(figure.keys), figure.id


def test_figures_are_saved_as_csv_svg_and_png(published: Path, sample: Finished, open_page: Opener):
    opened = open_page(published, scheme="dark")
    for figure in FIGURES:
        files = {}
        for kind in ("csv", "svg", "png"):
            with opened.page.expect_download(timeout=WAIT_MS) as waiting:
                opened.page.locator(f"#{figure.id} [data-save={kind}]").click()
            assert waiting.value.suggested_filename.startswith(f"atom_sample_{figure.id}_")
            assert waiting.value.suggested_filename.endswith(f".{kind}")
            files[kind] = Path(waiting.value.path()).read_bytes()
        with sample.connect() as connection:
            rows = report_page.rows_of(connection, figure)
        lines = list(csv.DictReader(io.StringIO(files["csv"].decode())))
        assert len(lines) == len(rows)
        for line, row in zip(lines, rows, strict=True):
            assert (line["world"], line["is_synthetic"]) == ("sample", "true")
            for name, value in row.items():
                assert _same(line[name] or None, value if value != "" else None), (figure.id, name)
        text = "".join(ElementTree.fromstring(files["svg"]).itertext())
        assert f"[Synthetic] {figure.title}" in text
        assert "World: sample" in text
        words = "".join(text.split())
        for part in ("figcaption .marks", "figcaption .definition"):
            for said in opened.page.locator(f"#{figure.id} {part}").all_inner_texts():
                assert "".join(said.split()) in words, (figure.id, part)
        on_page = opened.page.locator(f"#{figure.id} .chart svg .mark-rule").count()
        assert files["svg"].count(b"mark-rule") == on_page, figure.id
        assert files["png"].startswith(b"\x89PNG")
        assert len(files["png"]) > 10_000
    assert opened.complaints == []
    assert [url for url in opened.asked if not url.startswith(("file:", "blob:"))] == []


def test_the_scale_switches(published: Path, open_page: Opener):
    opened = open_page(published)
    scaled = [figure.id for figure in FIGURES if figure.has_log]
    assert "cumulative_by_region" in scaled
    for figure_id in scaled:
        linear = opened.axis(figure_id, "y")
        opened.page.locator(f"#{figure_id} input[value=log]").check()
        opened.page.wait_for_function(
            """([id, before]) => {
                const labels = [...document.querySelectorAll(`#${id} .chart svg .role-axis-label text`)]
                    .filter((label) => label.getAttribute('text-anchor') === 'end')
                    .map((label) => label.textContent);
                return labels.length && JSON.stringify(labels) !== before;
            }""",
            arg=[figure_id, json.dumps(linear, separators=(",", ":"), ensure_ascii=False)],
        )
        assert "0" in linear
        assert "0" not in opened.axis(figure_id, "y")
    assert opened.complaints == []


def test_a_key_is_highlighted_by_keyboard(published: Path, open_page: Opener):
    opened = open_page(published)
    button = opened.page.locator("#cumulative_by_region .legend button[data-key=us]")
    lines = "[...document.querySelectorAll('#cumulative_by_region .mark-line path')]"
    faint = f"{lines}.map(line => line.getAttribute('opacity'))"
    button.focus()
    opened.page.keyboard.press("Enter")
    assert button.get_attribute("aria-pressed") == "true"
    assert opened.page.evaluate(faint).count("0.12") >= 2
    opened.page.keyboard.press("Enter")
    assert button.get_attribute("aria-pressed") == "false"
    assert opened.page.evaluate(faint).count("0.12") == 0


def test_months_are_utc_wherever_the_reader_is(published: Path, open_page: Opener):
    axes = {}
    for timezone in ("UTC", "America/Los_Angeles", "Pacific/Auckland"):
        opened = open_page(published, timezone=timezone)
        axes[timezone] = opened.axis("cumulative_by_region", "x")
    assert len(axes["UTC"]) > 5
    assert axes["UTC"] == axes["America/Los_Angeles"] == axes["Pacific/Auckland"]


def test_a_tooltip_tells_the_point(published: Path, open_page: Opener):
    opened = open_page(published)
    opened.page.locator("#top_models .chart svg .mark-rect path").first.hover()
    shown = opened.page.locator("#tip").inner_text()
    assert opened.table("top_models")[0][1] in shown


def test_print_is_light(published: Path, open_page: Opener, screenshots: Path):
    opened = open_page(published, scheme="dark")
    state = "[...document.querySelectorAll('article')].map(article => article.dataset.drawn)"
    opened.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert set(opened.page.evaluate(state)) == {"light"}
    opened.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert set(opened.page.evaluate(state)) == {"dark"}
    opened.page.pdf(path=screenshots / "report.pdf", format="A4")
    assert (screenshots / "report.pdf").read_bytes().startswith(b"%PDF")
    assert opened.complaints == []


@pytest.mark.parametrize("world", ["sample", "recorded"])
def test_tables_fit_the_printed_page(world: str, request: pytest.FixtureRequest, open_page: Opener):
    finished: Finished = request.getfixturevalue(world)
    # The width of A4 between Chromium's margins, in its pixels.
    opened = open_page(finished.home / "published" / "report" / "index.html", 718)
    opened.page.emulate_media(media="print")
    for figure in FIGURES:
        if opened.page.locator(f"#{figure.id} details.table").count():
            opened.table(figure.id)
    wide = opened.page.evaluate(
        """[document.documentElement, ...document.querySelectorAll('.scroll')]
            .filter(element => element.scrollWidth > element.clientWidth + 1)
            .map(element => element.getAttribute('aria-label'))"""
    )
    assert wide == []
    cut = opened.page.evaluate(
        """[...document.querySelectorAll('.scroll')]
            .filter(element => element.scrollHeight > element.clientHeight + 1).length"""
    )
    assert cut == 0


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """The page of a small file of its own."""
    file = tmp_path / "report" / "index.html"
    report.render(_published.write(tmp_path / "atom.duckdb"), file)
    return file


def test_paper_breaks_no_word_and_names_what_it_leaves_out(small: Path, open_page: Opener):
    opened = open_page(small, 718)
    opened.table("claims")
    seen = "cells => cells.map(cell => [cell.textContent, getComputedStyle(cell).display !== 'none'])"
    on_screen = dict(opened.page.locator("#claims thead th").evaluate_all(seen))
    assert all(on_screen.values())
    assert not opened.page.locator("#claims .on-paper").is_visible()
    opened.page.emulate_media(media="print")
    on_paper = dict(opened.page.locator("#claims thead th").evaluate_all(seen))
    left = [label for label, is_shown in on_paper.items() if not is_shown]
    assert left == [column.label for column in BY_ID["claims"].columns if column.is_secondary]
    assert (
        opened.page.locator("#claims .on-paper").inner_text().strip()
        == f"Left out on paper: {', '.join(left)}."
    )
    wraps = "cells => [...new Set(cells.map(cell => getComputedStyle(cell).overflowWrap))]"
    assert opened.page.locator("#claims tbody td, #claims tbody th").evaluate_all(wraps) == ["break-word"]


@pytest.mark.parametrize("width", [1440, 390])
def test_a_tables_first_column_stays(width: int, small: Path, open_page: Opener):
    opened = open_page(small, width)
    opened.table("claims")
    place = opened.page.locator("#claims .scroll")
    first = "place => place.querySelector('tbody tr').cells[0].getBoundingClientRect().left"
    before = place.evaluate(first)
    assert place.evaluate("place => { place.scrollLeft = 300; return place.scrollLeft; }") > 100
    assert place.evaluate(first) == before


def test_a_claims_label_begins_with_its_id(small: Path, open_page: Opener):
    opened = open_page(small)
    assert "C02 China total" in opened.axis("claims", "y")
    with opened.page.expect_download(timeout=WAIT_MS) as waiting:
        opened.page.locator("#claims [data-save=svg]").click()
    text = Path(waiting.value.path()).read_text(encoding="utf-8")
    assert "C02 China total" in "".join(ElementTree.fromstring(text).itertext())


def test_a_month_bears_a_ring_and_a_diamond(tmp_path: Path, open_page: Opener):
    database = _published.write(tmp_path / "atom.duckdb")
    with duckdb.connect(str(database)) as connection:
        for table in ("concentration", "by_size"):
            connection.execute(
                f"update marts.downloads_{table}_monthly set coverage = 0.6 where month = '2025-08-01'"
            )
    report.render(database, tmp_path / "report" / "index.html")
    opened = open_page(tmp_path / "report" / "index.html")
    symbols = """([id, place]) => [...document.querySelectorAll(`#${id} .chart`)[place]
        .querySelectorAll('.mark-symbol path')].filter(path => path.getAttribute('fill') === 'white')
        .map(path => { const box = path.getBBox(); return [path.getAttribute('transform'), box.width]; })"""
    # Two lines, of organizations and of models; and one stack.
    for figure_id, points in (("concentration", 2), ("size_mix", 1)):
        found = opened.page.evaluate(symbols, [figure_id, 0])
        assert len(found) == 2 * points
        widths = [width for _, width in found]
        outer, inner = widths[:points], widths[points:]
        assert min(outer) > 1.5 * max(inner), "rings are drawn first, and diamonds within them"
        assert {place for place, _ in found[:points]} == {place for place, _ in found[points:]}


def test_a_stack_stands_at_its_months_label(small: Path, open_page: Opener):
    opened = open_page(small)
    centres = """selector => [...document.querySelectorAll(`#size_mix .chart svg ${selector}`)]
        .map(part => { const box = part.getBoundingClientRect(); return box.left + box.width / 2; })"""
    bars = sorted({round(at) for at in opened.page.evaluate(centres, ".mark-rect path")})
    ticks = sorted(round(at) for at in opened.page.evaluate(centres, ".role-axis-tick line[x2='0']"))
    assert ticks
    assert all(min(abs(tick - bar) for bar in bars) <= 2 for tick in ticks)


def test_a_chart_that_fails_keeps_no_other_from_being_drawn(tmp_path: Path, browser: Any):
    file = tmp_path / "report" / "index.html"
    report.render(_published.write(tmp_path / "atom.duckdb"), file)
    text = file.read_text(encoding="utf-8")
    start = text.index('id="cumulative_by_organization"')
    wrong = text[start:].replace("isValid(datum", "isValid((datum", 1)
    file.write_text(text[:start] + wrong, encoding="utf-8")
    context = browser.new_context(offline=True, viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(file.as_uri())
    page.wait_for_function(DRAWN, timeout=WAIT_MS)
    said = page.locator("#cumulative_by_organization .chart .gap")
    assert "could not be drawn" in said.inner_text()
    for figure in FIGURES:
        if figure.id != "cumulative_by_organization":
            assert page.locator(f"#{figure.id} .chart svg").count() > 0, figure.id
    page.locator("#cumulative_by_organization [data-save=png]").click()
    page.locator("#cumulative_by_organization .failed", has_text="could not be made").wait_for()
    context.close()


def test_without_javascript_nothing_dead_is_shown(tmp_path: Path, browser: Any):
    file = tmp_path / "report" / "index.html"
    report.render(_published.write(tmp_path / "atom.duckdb"), file)
    context = browser.new_context(offline=True, java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    for dead in (".tools", ".panels", ".actions", "details.table"):
        assert [found for found in page.locator(dead).all() if found.is_visible()] == []
    assert page.locator("#claims .sentence").is_visible()
    assert page.locator("#claims details.sql").is_visible()
    context.close()


def test_a_page_of_real_answers_says_what_it_lacks(recorded: Finished, open_page: Opener, screenshots: Path):
    file = recorded.home / "published" / "report" / "index.html"
    opened = open_page(file)
    text = opened.page.locator("#cumulative_by_region").inner_text()
    assert "No data: " in text
    assert "no all-time counter" in text
    assert opened.page.locator("#inference_by_region .chart svg").count() == 1
    assert opened.page.locator("#monthly_by_organization .chart svg").count() == 1
    assert opened.page.locator(".synthetic").count() == 0
    assert "They hold what was recorded and no more" in opened.page.locator(".selection").inner_text()
    assert "This figure could not be made" not in opened.page.content()
    assert opened.page.locator("#cumulative_by_region details.table").count() == 0
    opened.page.screenshot(path=screenshots / "recorded-1440-light.png", full_page=True)
    assert opened.complaints == []
    assert opened.asked == [file.resolve().as_uri()]


def test_a_hostile_name_does_nothing(tmp_path: Path, open_page: Opener):
    file = tmp_path / "report" / "index.html"
    report.render(_published.write(tmp_path / "atom.duckdb"), file)
    opened = open_page(file)
    for figure in FIGURES:
        opened.table(figure.id)
    assert _published.HOSTILE in opened.page.locator("#new_entrants tbody").inner_text()
    assert _published.HOSTILE in opened.page.locator("#new_entrants .legend").inner_text()
    assert opened.page.evaluate("document.scripts.length") == len(FIGURES) + 3
    assert opened.complaints == []
    with duckdb.connect(str(tmp_path / "atom.duckdb"), read_only=True) as connection:
        assert (
            len(opened.table("claims"))
            == connection.execute("select count(*) from marts.claims").fetchone()[0]
        )
