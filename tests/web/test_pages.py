"""The pages in a browser, read and used; `tests/acceptance/test_every_page.py` looks at each of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.web.browser import Reader, reading
from tests.web.running import Site, segment
from tests.web.story import DEVICE, UID, tell

pytestmark = pytest.mark.browser
AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture
def reader(site: Site) -> Iterator[Reader]:
    """Somebody who has signed in to a site without messages."""
    with reading(site) as each:
        each.sign_in()
        yield each


@pytest.fixture
def shopper(shop: Site) -> Iterator[Reader]:
    """Somebody who has signed in to the shop's site."""
    with reading(shop) as each:
        each.sign_in()
        yield each


def test_an_empty_site_waits_for_the_first_call(reader: Reader) -> None:
    page = reader.page
    expect(page.get_by_text("Waiting for your first call")).to_be_visible()
    snippet = page.locator("#first-call").inner_text()
    assert reader.site.source().write_keys[0] in snippet
    assert f"{reader.site.url}/v1/identify" in snippet
    reader.go("/customers")
    expect(page.get_by_role("heading", name="No customers yet")).to_be_visible()
    reader.go("/visitors")
    expect(page.get_by_role("heading", name="No visitors right now")).to_be_visible()


def test_the_first_call_shows_by_itself(reader: Reader) -> None:
    page = reader.go("/")
    expect(page.get_by_text("Waiting for your first call")).to_be_visible()
    tell(reader.site)
    expect(page.get_by_role("row", name="Order Refunded").first).to_be_visible(timeout=15_000)
    expect(page.get_by_text("Waiting for your first call")).not_to_be_attached()


def test_an_agent_finds_a_customer_and_reads_the_story(shopper: Reader) -> None:
    page = shopper.page
    page.get_by_role("link", name="Customers", exact=True).first.click()
    page.get_by_role("searchbox").fill("ada")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Ada Lovelace").click()
    expect(page.get_by_role("heading", name="Ada Lovelace")).to_be_visible()
    expect(page.get_by_text("ada@example.com").first).to_be_visible()
    assert page.locator(".figures .figure", has_text="Lifetime value").locator("dd").inner_text() == "$40.00"
    names = [name.strip() for name in page.locator(".entry-name").all_inner_texts()]
    assert names == [
        "Email message",
        "Order Refunded",
        "Viewed Pricing",
        "Order Completed",
        "Became a customer",
        "Product Added",
        "Viewed Mugs",
    ]
    expect(page.locator(".session", has_text="abc123")).to_contain_text("Viewed Pricing")
    page.get_by_role("link", name="Orders 1").click()
    expect(page.locator("#orders")).to_contain_text("Mug, blue × 2")
    expect(page.locator("#orders")).to_contain_text("partly refunded")
    page.get_by_role("link", name="Timeline").click()
    page.locator(".entry", has_text="Order Completed").locator("summary").click()
    page.locator(".entry", has_text="Order Completed").get_by_role("link", name="Message and trace").click()
    expect(page.get_by_role("heading", name="Order Completed")).to_be_visible()


def test_a_letter_reads_as_it_was_written(shopper: Reader) -> None:
    page = shopper.go(f"/customers/{segment(UID)}")
    entry = page.locator(".entry", has_text="Email message")
    expect(entry.locator(".entry-detail")).to_have_text("Where is my order?")
    entry.locator("summary").click()
    expect(entry.get_by_role("heading", name="Where is my order?")).to_be_visible()
    assert entry.locator(".letter-body").inner_text().startswith("Hello,\n\nmy mug has not come:\nhttps://")
    files = entry.get_by_role("list", name="Attachments").get_by_role("listitem")
    expect(files).to_have_count(2)
    expect(files.first).to_contain_text("a-long-name-")
    expect(files.first).to_contain_text("image/png · 470.8 KB")
    expect(files.last).to_contain_text("Unnamed application/pdf · 17.4 MB")


def test_times_are_in_the_readers_zone(shopper: Reader) -> None:
    page = shopper.go(f"/customers/{segment(UID)}")
    time = page.locator(".entry", has_text="Viewed Mugs").locator("time")
    assert time.inner_text() == "17:00", "16:00 UTC in Berlin"
    assert time.get_attribute("title") == "23 Nov 2025, 17:00:00"


def test_an_engineer_sees_what_became_of_a_call(shopper: Reader) -> None:
    page = shopper.go("/messages")
    page.get_by_label("All outcomes").select_option("discarded")
    page.get_by_role("link", name="m-bad").click()
    expect(page.get_by_role("heading", name="Discarded")).to_be_visible()
    expect(page.get_by_text("A call needs a userId or an anonymousId.")).to_be_visible()
    shopper.go("/messages")
    page.get_by_label("Message id").fill("m/added")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Product Added")).to_be_visible()
    expect(page.get_by_role("link", name=UID)).to_be_visible()
    shopper.go("/messages/m-off")
    expect(page.get_by_text("The call's integrations object turns this destination off.")).to_be_visible()


def test_a_source_is_added_copied_and_deleted(reader: Reader) -> None:
    page = reader.go("/sources")
    page.get_by_label("Name").fill("Backend <b>")
    page.get_by_label("Type").select_option("server")
    page.get_by_role("button", name="Add source").click()
    expect(page.get_by_role("heading", name="Backend <b>")).to_be_visible()
    key = reader.site.source("Backend <b>").write_keys[0]
    page.get_by_role("link", name="Python").click()
    assert f'analytics.write_key = "{key}"' in page.locator("#snippet").inner_text()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator('[data-copy="snippet"]').click()
    expect(page.locator('[data-copy="snippet"]')).to_have_attribute("title", "Copied")
    copied: str = page.evaluate("navigator.clipboard.readText()")
    assert reader.site.url in copied
    page.get_by_label("Name").fill("Server")
    page.get_by_role("button", name="Rename").click()
    page.get_by_role("button", name="Disable").click()
    expect(page.get_by_text("Disabled")).to_be_visible()
    page.get_by_text("Delete this source").click()
    page.get_by_role("button", name="Delete Server").click()
    expect(page.get_by_role("link", name="Server")).not_to_be_attached()


def axe(page: Page) -> list[str]:
    """Ask axe-core what somebody with a screen reader or a keyboard would stumble over."""
    found = page.evaluate(f"() => {{ {AXE.read_text()}; return axe.run() }}")
    return [f"{each['id']}: {node['html'][:200]}" for each in found["violations"] for node in each["nodes"]]


def test_pages_work_without_scripts(shop: Site) -> None:
    with reading(shop, scripts=False) as each:
        page = each.sign_in()
        each.go(f"/customers/{segment(UID)}")
        time = page.locator(".entry", has_text="Viewed Mugs").locator("time")
        assert time.inner_text() == "16:00 UTC"


def test_the_keyboard_is_enough(shop: Site) -> None:
    with reading(shop) as each:
        page = each.go("/")
        page.keyboard.type("admin")
        page.keyboard.press("Tab")
        page.keyboard.type("correct horse battery")
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Overview").wait_for()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "content"


def test_a_visitors_old_address_leads_to_the_customer(shopper: Reader) -> None:
    page = shopper.go(f"/visitors/{DEVICE}")
    assert page.url == f"{shopper.site.url}/customers/{segment(UID)}"
