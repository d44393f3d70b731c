"""A real browser: Chromium without a window, driven by Playwright. What a page logs as an error, or fails to load, is kept."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

#: A busy machine may take long over a page.
PATIENCE_MS = int(os.environ.get("BROWSER_PATIENCE_MS", "90000"))
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
# As root there is no sandbox; the rest keeps it from calling home, to addresses that no test may reach.
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-dev-shm-usage")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run one browser. Skips where none is installed, except in CI."""
    program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs Debian's chromium")
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def page_of(browser: Browser, *, width: int = 1280, height: int = 900, dark: bool = False) -> Iterator[tuple[Page, list[str]]]:
    """Open an empty page in a profile of its own; yield it and the list of errors that it has logged so far."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light")
    errors: list[str] = []

    def keep(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(message.text)

    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.on("console", keep)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("requestfailed", lambda request: errors.append(f"{request.url}: {request.failure}"))
    try:
        yield page, errors
    finally:
        context.close()
