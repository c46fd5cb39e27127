"""A walk over every page of the app, by its links: what is wrong with one is told by page, rule and place.

Each page is looked at on a desk and on a phone, light and dark. It must have no console error, exception, dialog or
failed request, nothing that axe-core finds, no script or style within it, nothing that sticks out of the screen, our
policy, and little weight.
"""

import os
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

from litestar import Litestar
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Error, Page, Request, sync_playwright

from tests.web.browser import ARGUMENTS, find_chromium

SCRIPTS = (Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js", Path(__file__).with_suffix(".js"))
DESK, PHONE = (1280, 900), (390, 844)
MAX_BYTES = 100_000
ALIKE = 2
"""Pages of one route and the same query names that are looked at."""
TABS = ("tab", "view")
SHOTS = os.environ.get("PAGE_SHOTS")
"""A folder for pictures of each page, for whoever wants to look."""
REFUSED = "Failed to load resource: the server responded with a status of"

MAIN = re.compile(r"<main\b.*</main>", re.S)
OTHERWISE = re.compile(r'<time\b.*?</time>|<input type="hidden" name="csrf"[^>]*>', re.S)
"""What is another for everybody who looks, or any time."""
LINKS = re.compile(r'<a\b(?![^>]*\bdownload\b)[^>]*?\bhref="([^"]*)"')
OPEN_ALL = "document.querySelectorAll('details').forEach((each) => { each.open = true })"


def page_routes(app: Litestar) -> dict[str, re.Pattern[str]]:
    """Give each path that answers a page (or its files) to GET, with what its addresses look like."""
    paths = {route.path for route in app.routes if "GET" in getattr(route, "methods", ())}
    patterns = {}
    for path in sorted(paths):
        if not path.startswith("/api/") and path != "/favicon.ico":  # Playwright does not tell of the icon.
            patterns[path] = re.compile(re.sub(r"\\\{[^/]+\\\}", "[^/]+", re.escape(path)) + "/?")
    return patterns


def content_of(html: str) -> str:
    """Give what a page says, but for what is another for everybody who looks."""
    found = MAIN.search(html)
    return OTHERWISE.sub("", found[0] if found else html)


def parts_asked(url: str) -> str:
    """Give what makes a query one of a kind: its names, and of a tab the value, which makes it another page."""
    asked = parse_qsl(urlsplit(url).query)
    return " ".join(sorted(f"{name}={value}" if name in TABS else name for name, value in asked))


@dataclass
class Walker:
    """Looks at every page of the site at `base`. `faults` is what they found, `seen` the routes they saw."""

    page: Page
    base: str
    routes: dict[str, re.Pattern[str]]
    shots: Path | None = None
    faults: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    looked_at: list[str] = field(default_factory=list)
    content: dict[str, str] = field(default_factory=dict)
    """What the pages said that were looked at."""
    _at: str = ""
    _refused_is_fine: bool = False

    def watch(self) -> None:
        """Note what goes wrong, and what is asked for."""
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self._fault(f"exception: {error}"))
        self.page.on("dialog", self._asked_by_dialog)
        self.page.on("requestfailed", self._failed)
        self.page.on("request", self._asked)

    def _fault(self, text: str) -> None:
        self.faults.append(f"{self._at if len(self._at) < 80 else self._at[:40] + '…' + self._at[-30:]}: {text}")

    def _said(self, message: ConsoleMessage) -> None:
        refused = self._refused_is_fine and message.text.startswith(REFUSED)
        if message.type in {"error", "warning"} and not refused:
            self._fault(f"console: {message.text}")

    def _asked_by_dialog(self, dialog: Dialog) -> None:
        self._fault(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # The walker's own doing: it went on, or it is a download.
            self._fault(f"failed: {request.url} {request.failure}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.base, "data:")):
            self._fault(f"asks elsewhere: {request.url}")
        if (route := self.route_of(request.url)) is not None:
            self.seen.add(route)

    def route_of(self, url: str) -> str | None:
        """Give the route that answers an address; one that is named in full goes before one with an id."""
        path = urlsplit(url).path
        found = [route for route, pattern in self.routes.items() if pattern.fullmatch(path)]
        return min(found, key=lambda route: route.count("{"), default=None)

    def walk(self, starts: Iterable[str]) -> None:
        """Look at the pages at `starts`, and at all that they lead to; of pages alike, at some."""
        alike: Counter[tuple[str, str]] = Counter()
        known: set[str] = set()
        queue = deque(self.base + path for path in starts)
        while queue:
            url = queue.popleft().partition("#")[0]
            route = self.route_of(url)
            if url in known or route is None:
                continue
            known.add(url)
            asked = parts_asked(url)
            alike[route, asked] += 1
            if alike[route, asked] <= (1 if asked else ALIKE):
                queue.extend(self.look(url.removeprefix(self.base), thoroughly=alike[route, asked] == 1 and not asked))

    def look(self, path: str, status: int = 200, *, thoroughly: bool = True) -> list[str]:
        """Look at one page, which answers `status`; gives the addresses that it leads to.

        `thoroughly`: in the dark, and by all rules on a phone; where one like it was seen before that is not needed.
        """
        self._at, self._refused_is_fine = f"{path} (desk)", status != 200
        self.page.set_viewport_size({"width": DESK[0], "height": DESK[1]})
        self.page.emulate_media(color_scheme="light")
        try:
            answer = self.page.goto(self.base + path)
        except Error as error:
            if "Download is starting" in error.message:
                return []
            raise
        assert answer is not None, path
        if answer.status != status:
            self._fault(f"answered {answer.status}, not {status}")
        policy = answer.headers.get("content-security-policy", "")
        if "default-src 'none'" not in policy or "unsafe" in policy:
            self._fault(f"its policy is {policy!r}")
        if "text/html" not in answer.headers.get("content-type", ""):
            return []
        self.looked_at.append(path)
        self.content[path] = content_of(answer.text())
        return self._examine(path, thoroughly)

    def _examine(self, path: str, thoroughly: bool) -> list[str]:
        self._shoot(path, "desk")  # As people see it: before all is unfolded.
        self.page.evaluate(OPEN_ALL)
        found: dict[str, Any] = self.page.evaluate("lookAround()")
        for each in found["wrong"]:
            self._fault(each)
        if found["bytes"] >= MAX_BYTES:
            self._fault(f"{found['bytes']:,} bytes are sent for it")
        self._check("desk", thoroughly)
        self.page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
        self._shoot(path, "phone")
        self._check("phone", thoroughly)
        return list(found["links"])

    def _check(self, device: str, thoroughly: bool) -> None:
        """Look at the page as it is now: all rules in the light, the colours in the dark."""
        path = self._at.partition(" (")[0]
        self._at = f"{path} ({device})"
        wrong: list[str] = self.page.evaluate("sticksOut()")
        if thoroughly or device == "desk":
            wrong += self.page.evaluate("askAxe()")
        for each in wrong:
            self._fault(each)
        if thoroughly:
            self._at = f"{path} ({device}, dark)"
            self.page.emulate_media(color_scheme="dark")
            for each in self.page.evaluate("askAxe(['color-contrast'])"):
                self._fault(each)
            self.page.emulate_media(color_scheme="light")

    def _shoot(self, path: str, device: str) -> None:
        if SHOTS:
            name = re.sub(r"[^\w-]+", "-", path).strip("-")[:80] or "overview"
            for scheme in ("light", "dark"):
                self.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
                self.page.screenshot(path=Path(SHOTS) / f"{name}-{device}-{scheme}.png", full_page=True)
            self.page.emulate_media(color_scheme="light")

    def stroll(self, starts: Iterable[str], known: Mapping[str, str]) -> None:
        """Go by the links from `starts` to one page of each kind: each must be there for who walks.

        Those that say something else than `known` are looked at, on a desk in the light, and asked by all rules.
        """
        alike: set[tuple[str, str]] = set()
        queue = deque(self.base + path for path in starts)
        while queue:
            url = queue.popleft().partition("#")[0]
            route = self.route_of(url) if url.startswith(self.base) else None
            if route is None or (route, parts_asked(url)) in alike:
                continue
            alike.add((route, parts_asked(url)))
            queue.extend(self._glance(url.removeprefix(self.base), known))

    def _glance(self, path: str, known: Mapping[str, str]) -> list[str]:
        """Ask for a page, without the browser where it says what is `known`; gives the addresses that it leads to."""
        self._at, self._refused_is_fine = path, False
        answer = self.page.context.request.get(self.base + path)
        if answer.status != 200:
            self._fault(f"answered {answer.status}")
        if "text/html" not in answer.headers.get("content-type", ""):
            return []
        self.looked_at.append(path)
        html = answer.text()
        if content_of(html) != known.get(path):
            self.page.goto(self.base + path)
            self.page.evaluate(OPEN_ALL)
            for each in self.page.evaluate("askAxe()"):
                self._fault(each)
        return [urljoin(answer.url, unescape(link)) for link in LINKS.findall(html)]

    def unseen(self) -> list[str]:
        """Name the routes that nothing led to."""
        return sorted(set(self.routes) - self.seen)


@contextmanager
def walking(base: str, routes: dict[str, re.Pattern[str]]) -> Iterator[Walker]:
    """Open a browser with a walker in it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(ARGUMENTS))
        try:
            yield _walker(browser, base, routes)
        finally:
            browser.close()


@contextmanager
def another(walker: Walker) -> Iterator[Walker]:
    """Give somebody else who walks the same site, as a stranger to it."""
    browser = walker.page.context.browser
    assert browser is not None
    other = _walker(browser, walker.base, walker.routes)
    try:
        yield other
    finally:
        other.page.context.close()


def _walker(browser: Browser, base: str, routes: dict[str, re.Pattern[str]]) -> Walker:
    context = browser.new_context(reduced_motion="reduce", timezone_id="Europe/Berlin", locale="en-GB")
    for script in SCRIPTS:
        context.add_init_script(path=script)
    walker = Walker(context.new_page(), base, routes)
    walker.watch()
    return walker
