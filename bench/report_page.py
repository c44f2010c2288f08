"""How large the report page is, and how soon a reader can use it.

    python bench/report_page.py PUBLISHED/atom.duckdb [--repeat 5]

Renders the page of a published file and opens it in Debian's Chromium from disk, with a cold cache each
time: seconds until its controls work, until the first figure is drawn, and until all are. Issue: at 36
months at most 6 MB and 2 seconds to interactive. Needs the extra `e2e` and `chromium`.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import duckdb
from playwright.sync_api import sync_playwright

from atom_dagster.report import render

FIRST = """new Promise((done) => {
    const wait = () => document.querySelector(".chart svg") ? done() : setTimeout(wait, 5);
    wait();
})"""
DRAWN = "document.documentElement.dataset.report === 'drawn'"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("database", type=Path)
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    with duckdb.connect(str(arguments.database), read_only=True) as connection:
        [(months,)] = connection.execute(
            "select count(distinct month) from marts.downloads_by_region_monthly where downloads is not null"
        ).fetchall()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "index.html"
        started = time.perf_counter()
        rendered = render(arguments.database, file)
        seconds = time.perf_counter() - started
        size = f"{rendered.drawn} figures, {rendered.bytes / 1e6:.2f} MB"
        print(f"{months} months: {size}, rendered in {seconds:.1f} s")
        for width in (1440, 390):
            timings = [measured(file, width) for _ in range(arguments.repeat)]
            for name, values in zip(
                ("interactive", "first figure", "all figures"), zip(*timings, strict=True), strict=True
            ):
                print(
                    f"{width} px, {name}: median {statistics.median(values):.2f} s, worst {max(values):.2f} s"
                )


def measured(file: Path, width: int) -> tuple[float, float, float]:
    """Seconds from the start of navigation: controls work, first figure drawn, all drawn."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.goto(file.as_uri())
        interactive = page.evaluate("performance.getEntriesByName('interactive')[0].startTime")
        page.evaluate(FIRST)
        first = page.evaluate("performance.now()")
        page.wait_for_function(DRAWN, timeout=120_000)
        drawn = page.evaluate("performance.now()")
        browser.close()
    return interactive / 1000, first / 1000, drawn / 1000


if __name__ == "__main__":
    main()
