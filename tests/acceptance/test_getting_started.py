"""The Getting Started of Richpanel's page at Segment, in the app: from an empty account to a customer's timeline."""

import json
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.acceptance.test_serve import wait_until
from tests.server import Server, request
from tests.web.browser import ARGUMENTS
from tests.web.test_pages import axe
from tests.web.test_snippets import shop_page

pytestmark = pytest.mark.browser
SEED_CALLS = Path(__file__).parents[1] / "sdk" / "seed_calls.js"


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(ARGUMENTS))
        yield browser
        browser.close()


def look(page: Page, heading: str) -> None:
    """The page is there, is readable by everybody, and fits."""
    expect(page.get_by_role("heading", name=heading, exact=True, level=1)).to_be_visible()
    assert axe(page) == [], page.url
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), page.url


def sign_in(page: Page, server: Server) -> None:
    """With the login that the first start prints."""
    wait_until(lambda: "password: " in server.printed(), 30, "the login is printed")
    login, password = (re.findall(rf"^{what}: (.+)$", server.printed(), re.M)[0] for what in ("login", "password"))
    page.goto(server.url)
    page.get_by_label("User name").fill(login)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    look(page, "Overview")


def section(page: Page, name: str) -> None:
    menu = page.get_by_role("button", name="Menu")
    if menu.is_visible():  # On a phone the sections are behind it.
        menu.click()
    page.get_by_role("navigation", name="Sections").get_by_role("link", name=name, exact=True).click()
    look(page, name)


def without_destination(page: Page) -> None:
    """What the first start connected is taken away: a newcomer's account."""
    section(page, "Destinations")
    page.get_by_role("link", name="Richpanel", exact=True).click()
    look(page, "Richpanel")
    page.get_by_text("Delete this destination…").click()
    page.get_by_role("button", name="Delete Richpanel").click()
    expect(page.get_by_role("heading", name="No destination yet")).to_be_visible()
    look(page, "Destinations")


def install(page: Page) -> str:
    """Install the connector; gives its API Key. The secret is shown this once."""
    section(page, "Integrations")
    page.locator("#shop").fill("Mug shop")
    page.get_by_role("button", name="Install").click()
    expect(page.get_by_role("heading", name="Installed: Mug shop")).to_be_visible()
    look(page, "Integrations")
    key, secret = page.locator("#issued-key").inner_text(), page.locator("#issued-secret").inner_text()
    assert (len(key), len(secret)) == (32, 48)
    section(page, "Integrations")
    assert key in page.content()
    assert secret not in page.content()
    return key


def connect(page: Page, key: str) -> None:
    """Find Richpanel in the catalog, choose a source and drop the API Key in."""
    section(page, "Catalog")
    page.get_by_role("searchbox").fill("Richpanel")
    page.keyboard.press("Enter")
    page.wait_for_url("**/catalog?q=Richpanel")
    page.locator(".entry-card").get_by_role("link", name="Richpanel").click()
    look(page, "Richpanel")
    expect(page.get_by_text("Device-mode is refused")).to_be_visible()
    page.get_by_label("Website").check()
    page.get_by_label("Name").fill("Mugs")
    page.get_by_label("API Key").fill(key)
    page.get_by_role("button", name="Connect").click()
    look(page, "Mugs")
    assert page.get_by_role("alert").count() == 0


def watch(page: Page) -> Page:
    """Open the source's debugger in a tab of its own, before anything is sent."""
    section(page, "Sources")
    page.get_by_role("link", name="Website", exact=True).click()
    tab = page.context.new_page()
    tab.goto(f"{page.url}/debugger")
    expect(tab.locator("#feed-status")).to_have_text("Live")
    look(tab, "Debugger")
    expect(tab.get_by_role("heading", name="Nothing here")).to_be_visible()
    return tab


def see(tab: Page) -> None:
    """The calls that were sent are there, as they came, by themselves."""
    row = tab.locator("#feed > li", has_text="Clicked Login Button")
    expect(row).to_have_count(1, timeout=10_000)
    row.locator("summary").click()
    expect(row.locator("pre")).to_contain_text('"event": "Clicked Login Button"')
    look(tab, "Debugger")
    tab.close()


def send(page: Page, browser: Browser) -> None:
    """Paste the source's snippet into a shop's page, with the three calls as they are in the documentation."""
    section(page, "Sources")
    page.get_by_role("link", name="Website", exact=True).click()
    look(page, "Website")
    snippet = page.locator("#snippet").inner_text()
    html = f"<!doctype html><title>Shop</title><head>{snippet}</head><script>{SEED_CALLS.read_text()}</script>"
    with shop_page(html) as url:
        shop = browser.new_page()
        shop.goto(url)
        shop.wait_for_function("window.analytics.initialized === true")
        shop.wait_for_load_state("networkidle")
        shop.close()


def try_event(page: Page) -> None:
    """Send the destination an event by hand, through everything that runs."""
    section(page, "Destinations")
    page.get_by_role("link", name="Mugs", exact=True).click()
    page.get_by_role("link", name="Event Tester").click()
    look(page, "Event Tester")
    page.get_by_role("link", name="Page", exact=True).click()
    expect(page.get_by_text("It begins with the newest page call")).to_be_visible()
    page.get_by_role("button", name="Send event").click()
    expect(page.locator("#status-code")).to_have_text("200")
    look(page, "Event Tester")
    page.get_by_role("link", name="See what became of it").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("page")


@pytest.mark.parametrize(
    ("width", "height"),
    [(1280, 900), pytest.param(390, 844, marks=pytest.mark.soak)],
    ids=["desktop", "phone"],
)
def test_a_newcomer_gets_to_a_customer(tmp_path: Path, width: int, height: int) -> None:
    with Server(tmp_path / "data") as server, chromium() as browser:
        page = browser.new_context(viewport={"width": width, "height": height}).new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        sign_in(page, server)
        without_destination(page)
        key = install(page)
        connect(page, key)
        tab = watch(page)
        send(page, browser)
        see(tab)
        server.wait_processed()
        section(page, "Customers")
        page.get_by_role("link", name="john.doe@segment.com").click()
        look(page, "john.doe@segment.com Active now")
        session = page.locator(".session", has_text="abc123")
        expect(session.filter(has_text="Viewed Pricing")).to_have_count(1)
        entry = session.locator(".entry", has_text="Clicked Login Button")
        entry.locator("summary").click()
        entry.get_by_role("link", name="Message and trace").click()
        look(page, "Clicked Login Button track")
        expect(page.get_by_role("heading", name="Mugs: kept")).to_be_visible()
        assert faults == []


def test_the_debugger_follows_either_engine_and_does_not_hold_up_a_stop(tmp_path: Path, installation: str) -> None:
    with chromium() as browser:
        with Server(tmp_path / "data") as server:
            page = browser.new_context().new_page()
            sign_in(page, server)
            tab = watch(page)
            key = page.locator("#key-1").inner_text()
            call = {"writeKey": key, "userId": "ann", "messageId": "m1", "event": f"Arrived on {installation}"}
            assert request("POST", f"{server.url}/v1/track", json.dumps(call).encode()).status == 200
            assert request("POST", f"{server.url}/v1/track", json.dumps(call | {"event": ""}).encode()).status == 400
            rows = tab.locator("#feed > li")
            expect(rows).to_have_count(2, timeout=10_000)
            server.wait_processed()
            tab.reload()
            expect(rows).to_have_count(2)
            expect(rows.first).to_contain_text("event_not_defined")
            expect(rows.last).to_contain_text(f"Arrived on {installation}")
            expect(tab.locator("#feed-status")).to_have_text("Live")
            began = time.monotonic()
        assert time.monotonic() - began < 8, "requests under way get ten seconds"
        expect(tab.locator("#feed-status")).to_have_text("Connecting")
