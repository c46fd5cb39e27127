"""What surrounds every page: the menu on a phone, the bar while a page is on its way, and the pages of errors."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Route, expect

from richpanel.web.stores import Stores
from tests.web.browser import Reader, reading
from tests.web.running import Site
from tests.web.walking import PHONE

pytestmark = pytest.mark.browser
WATCH = """() => new MutationObserver(() => {
    const bar = document.querySelector(".waiting");
    if (bar) sessionStorage.seen = `${bar.getAttribute("role")} ${bar.getAttribute("aria-label")}`;
}).observe(document.body, { childList: true })"""


@pytest.fixture
def without_scripts(shop: Site) -> Iterator[Reader]:
    """Somebody on a phone that runs no scripts."""
    with reading(shop, width=PHONE[0], height=PHONE[1], scripts=False) as each:
        each.sign_in()
        yield each


def test_the_menu_opens_without_scripts(without_scripts: Reader) -> None:
    page = without_scripts.page
    traits = page.get_by_role("link", name="Computed traits")
    expect(traits).not_to_be_visible()
    page.get_by_role("button", name="Menu").click()
    expect(traits).to_be_visible()
    page.keyboard.press("Escape")
    expect(traits).not_to_be_visible()
    page.get_by_role("button", name="Menu").press("Enter")
    traits.click()
    expect(page.get_by_role("heading", name="Computed traits", level=1)).to_be_visible()
    expect(traits).not_to_be_visible()


def test_a_bar_tells_that_a_page_is_on_its_way(shop: Site) -> None:
    with reading(shop) as each:
        page = each.sign_in()

        def late(route: Route) -> None:
            page.wait_for_timeout(1_000)
            route.continue_()

        page.route("**/visitors", late)
        page.evaluate(WATCH)
        page.get_by_role("link", name="Visitors", exact=True).first.click()
        expect(page.get_by_role("heading", name="Visitors", level=1)).to_be_visible()
        assert page.evaluate("sessionStorage.seen") == "progressbar Loading"
        expect(page.locator(".waiting")).not_to_be_attached()
        page.get_by_role("link", name="Overview").click()
        expect(page.get_by_role("heading", name="Overview", level=1)).to_be_visible()


def test_errors_say_what_to_do_next(shop: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("secret detail")

    async def away(*_: object) -> None:
        raise ConnectionError

    with reading(shop) as each:
        page = each.sign_in()
        each.go("/customers/nobody")
        expect(page.get_by_text("There is no customer with this id.")).to_be_visible()
        page.get_by_role("searchbox").fill("ada@example.com")
        page.keyboard.press("Enter")
        expect(page.get_by_role("link", name="Ada Lovelace")).to_be_visible()
        for wrong, heading in ((fail, "Something went wrong with us"), (away, "We will be back in a moment")):
            with monkeypatch.context() as patch:
                patch.setattr(Stores, "read", wrong)
                each.go("/customers/nobody")
                expect(page.get_by_role("heading", name=heading)).to_be_visible()
                assert "secret" not in page.content()
            if wrong is fail:
                page.get_by_role("link", name="Try again").click()
            expect(
                page.get_by_text("There is no customer with this id.")
            ).to_be_visible()  # Or it asks again by itself.
        each.faults.clear()  # The browser's notes of answers that are errors.
