"""A real Chromium for tests, driven by playwright."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Generator

    from playwright.sync_api import Browser, ConsoleMessage, Page

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")

needs_chromium = pytest.mark.skipif(PROGRAM is None, reason="no chromium on PATH")

# What Chromium itself logs of an answer like 401; the page says it in words.
OF_AN_ANSWER = "Failed to load resource"


@contextmanager
def running_chromium() -> Generator[Browser]:
    """Run Chromium without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM)
        try:
            yield browser
        finally:
            browser.close()


class Complaints:
    """What a page has done that it must not do: errors, and requests to elsewhere.

    Args:
        page: the page to listen to.
        url: the only server that it may ask.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.said: list[str] = []
        self._host = urlsplit(url).netloc
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self._request(request.url))

    def _console(self, message: ConsoleMessage) -> None:
        # A violation of the Content-Security-Policy is an error of the console too.
        if message.type in {"error", "warning"} and not message.text.startswith(OF_AN_ANSWER):
            self.said.append(message.text)

    def _request(self, url: str) -> None:
        if urlsplit(url).netloc != self._host:
            self.said.append(f"a request to {url}")


@contextmanager
def opened_page(
    browser: Browser, url: str, *, theme: str = "light", width: int = 1280
) -> Generator[Page]:
    """Yield a page in a session of its own; at the end it has complained of nothing.

    Args:
        browser: the browser.
        url: the server that the page may ask.
        theme: the system's, `light` or `dark`.
        width: of the window, in pixels.
    """
    context = browser.new_context(
        color_scheme="dark" if theme == "dark" else "light",
        viewport={"width": width, "height": 900},
        locale="en-GB",
        timezone_id="UTC",
        base_url=f"{url}/ui/",
    )
    context.set_default_timeout(20_000)
    try:
        page = context.new_page()
        complaints = Complaints(page, url)
        yield page
        assert [] == complaints.said
    finally:
        context.close()
