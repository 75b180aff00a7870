"""A headless Chromium for tests. Without playwright or a Chromium the tests skip."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A browser of playwright: that of the system, or the one that `playwright install chromium` fetched."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: the extra browser")
    names = ("chromium", "chromium-browser", "google-chrome")
    system = next((found for name in names if (found := shutil.which(name))), None)
    with api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=system, args=["--no-sandbox"])
        except api.Error as error:
            pytest.skip(f"no Chromium: {str(error).splitlines()[0]}")
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium: Any) -> Iterator[Any]:
    """A page of 1000 x 800 pixels. The test fails if it writes an error to its console or loads from a network."""
    context = chromium.new_context(viewport={"width": 1000, "height": 800}, color_scheme="light")
    page = context.new_page()
    page.set_default_timeout(10_000)  # milliseconds
    faults: list[str] = []

    def dismiss(dialog: Any) -> None:
        faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("dialog", dismiss)
    local = ("file:", "data:", "blob:", "http://127.0.0.1", "http://localhost", "about:")
    page.on("request", lambda request: None if request.url.startswith(local) else faults.append(request.url))
    yield page
    with suppress(Exception):  # the test closed it
        context.close()
    assert not faults
