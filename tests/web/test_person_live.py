"""A person's page while things happen: they slide in on top, the head follows, and older activity comes by itself."""

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.web.browser import reading
from tests.web.running import Site
from tests.web.story import HOSTILE, call


@contextmanager
def watching(site: Site, path: str) -> Iterator[http.client.HTTPResponse]:
    parts = urlsplit(site.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    cookies = "; ".join(f"{name}={value}" for name, value in site.cookies.items())
    connection.request("GET", path, headers={"Cookie": cookies})
    try:
        yield connection.getresponse()
    finally:
        connection.close()


def event(answer: http.client.HTTPResponse) -> tuple[str, dict[str, Any]]:
    """Read the next event that has data."""
    name = ""
    while True:
        line = answer.readline().decode()
        assert line, "the stream has ended"
        if line.startswith("event: "):
            name = line[7:].strip()
        elif line.startswith("data: "):
            return name, json.loads(line[6:])


def test_a_stream_tells_what_changes_and_when_somebody_is_gone(site: Site) -> None:
    site.send([call("page", "p0", 0, anonymousId="device", name="Home")])
    site.process()
    site.sign_in()
    with watching(site, "/visitors/device/live?kind=pages") as answer:
        assert answer.getheader("content-type", "").startswith("text/event-stream")
        name, first = event(answer)
        assert name == "changed"
        assert "Viewed Home" in first["timeline"]
        site.send([call("page", "p1", 1, anonymousId="device", name=HOSTILE)])
        site.process()
        name, second = event(answer)
        assert name == "changed"
        assert "Viewed Home" in second["timeline"]
        assert "&lt;script&gt;" in second["timeline"]
        assert HOSTILE not in second["timeline"]
        site.send([call("identify", "i", 2, userId="7", anonymousId="device", traits={})])
        site.process()
        assert event(answer) == ("gone", {})
    assert site.page("/customers/7/live?kind=nothing").status == 400
    site.cookies.clear()
    assert site.page("/customers/7/live").status == 303


@pytest.mark.browser
def test_what_happens_slides_in_and_what_happened_comes_with_scrolling(site: Site) -> None:
    site.send([call("page", f"p{n}", n * 10, userId="7", name=f"Page {n}") for n in range(100)])
    site.send([call("identify", "i", 0, userId="7", traits={"email": "ada@example.com"})])
    site.process()
    with reading(site) as each:
        each.sign_in()
        page = each.go("/customers/7")
        expect(page.locator("#live-state")).to_be_visible()
        assert page.locator(".entry").count() == 40
        order = {"order_id": "A-1", "total": 12, "currency": "USD"}
        site.send([call("track", "o", 1_200, userId="7", event="Order Completed", properties=order)])
        site.process()
        expect(page.locator(".entry-name").first).to_have_text("Order Completed")
        expect(page.locator("#live-said")).to_have_text("New: Order Completed")
        expect(page.locator(".figure", has_text="Lifetime value").locator("dd")).to_have_text("$12.00")
        expect(page.locator(".glances")).to_contain_text("A-1")
        assert page.locator(".entry").count() == 41
        for _ in range(2):
            page.locator("#older").scroll_into_view_if_needed()
            page.wait_for_timeout(200)
        expect(page.locator(".entry")).to_have_count(102)
        expect(page.locator("#older")).not_to_be_attached()
        keys: list[str] = page.locator(".entry").evaluate_all("all => all.map(each => each.dataset.key)")
        assert keys == sorted(set(keys), reverse=True)
