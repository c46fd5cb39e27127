"""Debian's Chromium with a shopper in front of it, and what the browser saw on the network."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Playwright, Request, Response

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Nothing but this machine exists: a call to Segment's own hosts fails, and a failed request fails the test.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
)
TRACKING_TYPES = frozenset("itpsgab")


@dataclass
class Shopper:
    """A page in a browser of its own, and everything that went over the wire."""

    page: Page
    context: BrowserContext
    posts: list[Response] = field(default_factory=list)
    preflights: list[dict[str, Any]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Notes tracking calls that were answered, preflights, and whatever went wrong on the page."""
        self.page.on("response", self._answered)
        self.page.on("console", self._printed)
        self.page.on("pageerror", lambda error: self.errors.append(f"exception: {error}"))
        self.page.on("requestfailed", self._failed)
        # Playwright hides preflights; the browser's own protocol shows them.
        protocol = self.context.new_cdp_session(self.page)
        protocol.on("Network.requestWillBeSent", self._sent)
        protocol.send("Network.enable")

    def _answered(self, response: Response) -> None:
        if response.request.method == "POST" and response.url.rpartition("/v1/")[2] in TRACKING_TYPES:
            self.posts.append(response)

    def _printed(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.errors.append(f"console: {message.text}")

    def _failed(self, request: Request) -> None:
        self.errors.append(f"failed: {request.method} {request.url} {request.failure}")

    def _sent(self, event: dict[str, Any]) -> None:
        if event["request"]["method"] == "OPTIONS":
            self.preflights.append(event["request"])

    def wait_until(self, true: Callable[[], object], seconds: float = 60.0) -> None:
        """Lets the page run until something is true."""
        for _ in range(int(seconds / 0.05)):
            if true():
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"not within {seconds} s; posts: {self.posts}; errors: {self.errors}")

    def wait_posts(self, count: int) -> list[dict[str, Any]]:
        """Waits until so many tracking calls were answered, all with 200, and gives their bodies, decoded."""
        self.wait_until(lambda: len(self.posts) >= count)
        assert [post.status for post in self.posts] == [200] * count
        assert [post.json() for post in self.posts] == [{"success": True}] * count
        return [body_of(post) for post in self.posts]

    def wait_calls(self, count: int) -> list[dict[str, Any]]:
        """The same for single calls, wherever one post carries several."""
        self.wait_until(lambda: sum(len(calls_of(post)) for post in self.posts) >= count)
        assert {post.status for post in self.posts} == {200}
        return [call for post in self.posts for call in calls_of(post)]


def body_of(post: Response) -> dict[str, Any]:
    """What a post carried, decoded."""
    body = post.request.post_data_json
    assert isinstance(body, dict)
    return body


def calls_of(post: Response) -> list[dict[str, Any]]:
    """The calls in one post, single or batch."""
    body = body_of(post)
    calls = body.get("batch", [body])
    assert isinstance(calls, list)
    return calls


@contextmanager
def shopper(playwright: Playwright, profile: Path, args: Sequence[str] = ()) -> Iterator[Shopper]:
    """A browser with an empty profile, closed at the end of the block."""
    context = playwright.chromium.launch_persistent_context(
        profile,
        executable_path=shutil.which("chromium"),
        args=[*ARGUMENTS, *args],
    )
    try:
        someone = Shopper(context.pages[0], context)
        someone.watch()
        yield someone
    finally:
        context.close()
