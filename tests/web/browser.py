"""Debian's Chromium in front of a site, noting whatever goes wrong on a page."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import ConsoleMessage, Page, Request, Response, sync_playwright

from tests.web.running import LOGIN, PASSWORD, Site

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Nothing but this machine exists.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@dataclass
class Reader:
    """Somebody at a page. `faults` are console errors, exceptions, failed requests, dialogs and policy violations."""

    page: Page
    site: Site
    faults: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Note what goes wrong, and what is asked for."""
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.faults.append(f"exception: {error}"))
        self.page.on("dialog", lambda dialog: self.faults.append(f"dialog: {dialog.message}"))
        self.page.on("requestfailed", self._failed)
        self.page.on("request", self._asked)
        self.page.on("response", self._answered)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.faults.append(f"console: {message.text}")

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # The browser's own doing: it left the page before the icon came.
            self.faults.append(f"failed: {request.url} {request.failure}")

    def _asked(self, request: Request) -> None:
        self.requests.append(request.url)

    def _answered(self, response: Response) -> None:
        if response.status >= 500:
            self.faults.append(f"{response.status}: {response.url}")

    def go(self, path: str) -> Page:
        """Open a page of the site."""
        self.page.goto(self.site.url + path)
        return self.page

    def sign_in(self) -> Page:
        """Sign in as the admin."""
        self.go("/")
        self.page.get_by_label("User name").fill(LOGIN)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("heading", name="Overview").wait_for()
        return self.page


def find_chromium() -> str:
    """Give the path of Debian's Chromium; without it the test fails."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.fail("Debian's Chromium is not installed: sh tests/setup.sh")
    return chromium


@contextmanager
def reading(
    site: Site, *, width: int = 1280, height: int = 900, dark: bool = False, scripts: bool = True
) -> Iterator[Reader]:
    """Open a browser in Berlin; at the end nothing may have gone wrong."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(ARGUMENTS))
        context = browser.new_context(
            viewport={"width": width, "height": height},
            timezone_id="Europe/Berlin",
            locale="en-GB",
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
        )
        reader = Reader(context.new_page(), site)
        reader.watch()
        try:
            yield reader
        finally:
            browser.close()
    assert reader.faults == []
