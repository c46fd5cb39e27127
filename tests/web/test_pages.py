"""The pages in a browser: each is read, on a desk and on a phone; nothing goes wrong and nothing hostile lives."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.web.browser import Reader, reading
from tests.web.running import Site, segment
from tests.web.story import DEVICE, HOSTILE, LURKER, SCRIPT_URL, UID, tell, tell_hostile

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


def pages_of(site: Site, uid: str, visitor: str, messages: list[str]) -> list[str]:
    """Every page there is, for these."""
    sources = [f"/sources/{site.source(name).id}" for name in ("Website", "Segment", "Channels")]
    person = f"/customers/{segment(uid)}"
    tabs = ("properties", "orders", "audiences", "identities", "conversations")
    people = [person, f"/visitors/{segment(visitor)}", *(f"{person}?tab={tab}" for tab in tabs)]
    traces = [f"/messages/{segment(message)}" for message in messages]
    lists = [
        "/",
        "/customers",
        "/customers?q=nobody",
        "/customers?where=name&ordersMin=1&columns=ltv,email,trait:name,campaign",
        "/visitors",
        "/messages",
        "/messages?type=alias",
        "/sources",
        "/privacy",
    ]
    return [*lists, *people, *traces, *sources]


@pytest.mark.parametrize(("width", "height", "dark"), [(1280, 900, False), (390, 844, True)])
def test_every_page_fits_and_is_accessible(shop: Site, width: int, height: int, dark: bool) -> None:
    with reading(shop, width=width, height=height, dark=dark) as each:
        violations = axe(each.go("/"))
        each.sign_in()
        for path in pages_of(shop, UID, LURKER, ["m-order", "m-bad", "m-screen", "letter-1"]):
            page = each.go(path)
            page.evaluate("document.querySelectorAll('.entry details').forEach((each) => { each.open = true })")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{path} is too wide"
            violations += [f"{path}: {found}" for found in axe(page)]
        assert not violations


def axe(page: Page) -> list[str]:
    """Ask axe-core what somebody with a screen reader or a keyboard would stumble over."""
    found = page.evaluate(f"() => {{ {AXE.read_text()}; return axe.run() }}")
    return [f"{each['id']}: {node['html'][:200]}" for each in found["violations"] for node in each["nodes"]]


def test_pages_are_light(shopper: Reader) -> None:
    sizes: dict[str, int] = {}
    shopper.page.on("response", lambda answer: sizes.update({answer.url: len(answer.body())}))
    shopper.go(f"/customers/{segment(UID)}")
    shopper.page.wait_for_timeout(500)  # Its stream of events never ends.
    assert 0 < sum(sizes.values()) < 100_000


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


def test_hostile_values_stay_text(site: Site) -> None:
    tell_hostile(site)
    with reading(site) as each:
        page = each.sign_in()
        paths = pages_of(site, HOSTILE, f"b{HOSTILE}", [HOSTILE, "h-page", "h-track", "h-order", "h-visit", "h-bad"])
        for path in [*paths, f"/customers?q={segment(HOSTILE)}", f"/messages?uid={segment(HOSTILE)}"]:
            each.go(path)
            page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")
            assert page.locator("img").count() == 0, path
            assert page.locator("script:not([src])").count() == 0, path
            links: list[str] = page.evaluate("[...document.links].map((link) => link.href)")
            assert [link for link in links if not link.startswith(site.url)] == [], path
        expect(each.go(f"/customers/{segment(HOSTILE)}").get_by_role("heading", name=HOSTILE)).to_be_visible()
        assert SCRIPT_URL in page.locator("main").inner_text()
        assert all(url.startswith(site.url) for url in each.requests)


def test_a_visitors_old_address_leads_to_the_customer(shopper: Reader) -> None:
    page = shopper.go(f"/visitors/{DEVICE}")
    assert page.url == f"{shopper.site.url}/customers/{segment(UID)}"
