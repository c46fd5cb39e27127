"""Three people's days on the demo shop, in Chromium: agent's, marketer's, engineer's; and the pages in pictures.

`make pictures` keeps a picture of each page in docs/pictures.
"""

import base64
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.test_serve import wait_until
from tests.server import Server, request, segment
from tests.web.walking import DESK, PHONE, Walker, walking

pytestmark = [pytest.mark.browser, pytest.mark.files]
PICTURES = os.environ.get("PICTURES")
"""A folder for the pictures; without one none is taken."""
PICTURE_BYTES = 60_000
DEMO_SECONDS, SOON = 90.0, 20_000


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The demo shop as `make run` starts it, with all of its traffic in."""
    with Server(tmp_path_factory.mktemp("stories") / "data", args=["--demo"]) as server:
        wait_until(lambda: "calls sent in" in server.printed(), DEMO_SECONDS, "the demo's traffic is sent")
        server.wait_processed(60)
        yield server


@pytest.fixture(scope="module")
def walker(demo: Server) -> Iterator[Walker]:
    """Somebody who has signed in to it; whatever goes wrong in the browser is noted."""
    with walking(demo.url, {}) as each:
        page = each.page
        page.goto(demo.url)
        picture(page, "sign-in")
        page.get_by_label("User name").fill(printed(demo, "login"))
        page.get_by_label("Password").fill(printed(demo, "password"))
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        yield each


@pytest.fixture
def page(walker: Walker) -> Iterator[Page]:
    """Their page, on a desk; at the end nothing may have gone wrong."""
    walker.page.set_viewport_size({"width": DESK[0], "height": DESK[1]})
    walker.page.goto(walker.base)
    yield walker.page
    assert walker.faults == []


def printed(server: Server, name: str) -> str:
    """The value of a line `name: value` that the demo prints."""
    return str(re.findall(rf"^{name}: (.+)$", server.printed(), re.M)[-1])


def picture(page: Page, name: str) -> None:
    """Keep a picture of what is on the screen, as WebP, as sharp as its size allows."""
    if not PICTURES:
        return
    page.wait_for_load_state()
    camera = page.context.new_cdp_session(page)
    content = b""
    for quality in range(80, 20, -10):
        shot = camera.send("Page.captureScreenshot", {"format": "webp", "quality": quality})
        content = base64.b64decode(shot["data"])
        if len(content) < PICTURE_BYTES:
            break
    Path(PICTURES, f"{name}.webp").write_bytes(content)


def go(page: Page, name: str) -> None:
    """Open a section as people do: on a phone behind the menu."""
    menu = page.get_by_role("button", name="Menu")
    if menu.is_visible():
        menu.click()
    page.get_by_role("navigation", name="Sections").get_by_role("link", name=name, exact=True).click()
    expect(page.get_by_role("heading", name=name, exact=True, level=1)).to_be_visible()


def buyer(demo: Server) -> tuple[dict[str, Any], dict[str, Any]]:
    """A customer who waits for an order, and the order."""
    for customer in demo.get("/customers", limit=200)["data"]:
        if customer["ordersCount"] and customer["name"]:
            orders = demo.get(f"/customers/{segment(customer['uid'])}/orders")["data"]
            if orders[0]["status"] == "shipped":
                return customer, orders[0]
    raise AssertionError("nobody waits for an order")


def find(page: Page, text: str) -> None:
    """What is there can be seen: perhaps in a line that opens, or behind a tab."""
    shown = page.locator("main").get_by_text(text).filter(visible=True).first
    if not shown.is_visible():
        page.evaluate("document.querySelectorAll('main details').forEach((each) => { each.open = true })")
    if not shown.is_visible():
        page.get_by_role("link", name=re.compile("^Orders")).first.click()
    expect(shown).to_be_visible()


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_an_agent_answers_where_an_order_is(demo: Server, page: Page, size: tuple[int, int]) -> None:
    customer, order = buyer(demo)
    page.set_viewport_size({"width": size[0], "height": size[1]})
    letter = {"from": {"email": customer["email"]}, "subject": "Where is my order?", "body": "It has not come yet."}
    assert demo.api("POST", "/channels/email/messages", letter | {"id": f"letter-{size[0]}"}).status == 202
    demo.wait_processed()
    go(page, "Customers")
    if size == DESK:
        picture(page, "customers")
    page.locator("main").get_by_role("searchbox").first.fill(customer["email"])
    page.keyboard.press("Enter")
    page.locator("main").get_by_role("link", name=customer["name"]).first.click()
    expect(page.get_by_role("heading", name=customer["name"], level=1)).to_be_visible()
    expect(page.locator("main").get_by_text(customer["email"]).first).to_be_visible()
    expect(page.get_by_text("Where is my order?").first).to_be_visible()
    picture(page, "customer" if size == DESK else "customer-phone")
    find(page, order["orderId"])
    find(page, "shipped")
    find(page, "Order Completed")
    page.get_by_role("link", name=re.compile("^Orders")).filter(visible=True).first.click()
    find(page, order["orderId"])
    if size == DESK:
        picture(page, "customer-orders")


def test_a_marketer_builds_an_audience(page: Page) -> None:
    go(page, "Audiences")
    page.get_by_role("link", name="New audience").first.click()
    page.get_by_label("Event", exact=True).fill("Order Completed")
    page.get_by_label("When").select_option("within")
    page.get_by_label("How long").wait_for()
    page.get_by_role("button", name="Filter").click()
    page.get_by_label("Filter: path").fill("total")
    page.get_by_label("Filter: comparison").select_option(">")
    page.wait_for_load_state("networkidle")  # The form is drawn anew for it, sooner than anybody types.
    page.get_by_label("Filter: value").fill("50")
    page.locator("#line", has_text="(total > 50)").wait_for()
    page.get_by_role("button", name="Count them").click()
    counted = page.locator("#preview").get_by_role("heading", name=re.compile(r"^\d+ people$"))
    expect(counted).to_be_visible(timeout=SOON)
    people = int(counted.inner_text().split()[0])
    assert people > 5
    page.get_by_label("Name", exact=True).fill("Big buyers")
    picture(page, "audience-builder")
    page.get_by_role("button", name="Save and compute").click()
    expect(page.get_by_role("heading", name=f"{people} in it")).to_be_visible(timeout=SOON)
    page.get_by_role("link", name="Why", exact=True).first.click()
    expect(page.locator("#why").get_by_text("performed Order Completed (total > 50)").first).to_be_visible()
    picture(page, "audience")


def set_key(page: Page, key: str) -> None:
    """Put an API Key into the destination's settings."""
    go(page, "Destinations")
    page.locator("main").get_by_role("link", name="Richpanel", exact=True).click()
    page.get_by_label("API Key").fill(key)
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("heading", name="Richpanel", exact=True, level=1).wait_for()
    time.sleep(1.2)  # A change of the definitions is seen within a second.


def track(demo: Server, name: str) -> None:
    """Send a call as the shop does."""
    call = {"messageId": name, "userId": "engineers-own", "event": "Order Completed", "properties": {"order_id": "E-1"}}
    body = json.dumps(call | {"writeKey": printed(demo, "write key")}).encode()
    assert request("POST", f"{demo.url}/v1/track", body).status == 200
    demo.wait_processed()


def test_an_engineer_finds_out_why_a_call_did_not_arrive(demo: Server, page: Page) -> None:
    key = str(demo.get("/destinations")["data"][0]["settings"]["apiKey"])
    set_key(page, "a-key-of-somebody-else")
    track(demo, "lost-call")
    go(page, "Deliveries")
    picture(page, "deliveries")
    expect(page.locator(".funnel tr", has_text="invalid_settings").first).to_be_visible()
    page.locator(".funnel tr", has_text="invalid_settings").get_by_role("link", name="Messages").click()
    page.locator("main").get_by_role("link", name="Order Completed").click()
    expect(page.get_by_role("heading", name="Richpanel: failed")).to_be_visible()
    expect(page.get_by_text("invalid_settings").first).to_be_visible()
    picture(page, "message")
    go(page, "Destinations")
    page.locator("main").get_by_role("link", name="Richpanel", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Its API Key is wrong")
    picture(page, "destination")
    set_key(page, key)
    expect(page.get_by_role("alert")).not_to_be_attached()
    page.get_by_role("link", name="Replay…").click()
    expect(page.get_by_role("heading", name="1 message", exact=True)).to_be_visible()
    page.get_by_role("button", name=re.compile("^Replay (it|them)$")).click()
    expect(page.get_by_text("Done", exact=True)).to_be_visible(timeout=SOON)
    picture(page, "replays")
    page.goto(f"{demo.url}/messages/lost-call")
    expect(page.get_by_role("heading", name="Richpanel: kept")).to_be_visible()


def test_each_section_has_something_to_see(demo: Server, page: Page) -> None:
    """In pictures: the sections, and of each list the first one's page."""
    links = page.get_by_role("navigation", name="Sections").get_by_role("link")
    sections: list[str] = links.evaluate_all("found => found.map((each) => each.getAttribute('href'))")
    assert {"/", "/customers", "/visitors", "/audiences", "/sources", "/destinations", "/messages"} <= set(sections)
    more = (
        "/settings/shop",
        "/settings/people",
        "/settings/tokens",
        "/settings/audit",
        "/getting-started",
        "/traits/new",
    )
    for path in (*sections, *more):
        page.goto(demo.url + path)
        expect(page.locator("main h1")).to_be_visible()
        picture(page, path.strip("/").replace("/", "-") or "overview")
    for path, inside, name in (
        ("/visitors", "main a[href^='/visitors/']", "visitor"),
        ("/catalog", "main a[href^='/catalog/']", "catalog-entry"),
        ("/sources", "main a[href^='/sources/']", "source"),
        ("/destinations", "main a[href^='/destinations/']", ""),
    ):
        page.goto(demo.url + path)
        page.locator(inside).first.click()
        expect(page.locator("main h1")).to_be_visible()
        if name:
            picture(page, name)
    page.get_by_role("link", name="Event Tester").click()
    expect(page.get_by_role("heading", name="Event Tester", level=1)).to_be_visible()
    picture(page, "event-tester")
    website = next(each for each in demo.get("/sources")["data"] if each["name"] == "Website")
    page.goto(f"{demo.url}/sources/{website['id']}/debugger")
    expect(page.locator("#feed-status")).to_have_text("Live")
    track(demo, "seen-as-it-came")
    expect(page.locator("#feed > li", has_text="Order Completed").first).to_be_visible()
    picture(page, "debugger")
    customer, _ = buyer(demo)
    for tab in ("properties", "audiences", "identities", "conversations"):
        page.goto(f"{demo.url}/customers/{segment(customer['uid'])}?tab={tab}")
        expect(page.locator("main h1")).to_be_visible()
        picture(page, f"customer-{tab}")
