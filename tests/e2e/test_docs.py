"""The documentation of a build in a browser, from disk and without a network."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

WAIT_MS = 20_000


@pytest.fixture
def page() -> Iterator[Any]:
    """A page of a browser that is offline; what it asks for and complains of stands on it."""
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
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        opened = browser.new_context(offline=True).new_page()
        opened.asked, opened.complaints = [], []
        opened.on("request", lambda request: opened.asked.append(request.url))
        opened.on("console", lambda message: opened.complaints.append(message.text))
        opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
        yield opened
        browser.close()


def test_dbt_docs_open_from_disk_and_ask_for_nothing(sample, page: Any):
    file = (sample.home / "published" / "docs" / "index.html").resolve()
    page.goto(f"file://{file}")
    page.get_by_text("Dashboard", exact=True).first.wait_for(timeout=WAIT_MS)
    page.goto(f"file://{file}#!/model/model.atom.downloads_by_region_monthly")
    page.get_by_role("heading", name="downloads_by_region_monthly").first.wait_for(timeout=WAIT_MS)
    shown = page.inner_text("body")
    assert "by region of the organization, month by month?" in shown
    assert "BIGINT" in shown
    page.goto(f"file://{file}#!/exposure/exposure.atom.report_cumulative_by_region")
    page.get_by_role("heading", name="Cumulative downloads by region").first.wait_for(timeout=WAIT_MS)
    assert page.asked == [f"file://{file}"]
    assert page.complaints == []
