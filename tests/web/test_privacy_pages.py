"""The Privacy page, and deleting a customer on their own page, in a browser and without one."""

import pytest

from richpanel.core.codes import Code
from richpanel.store import ledger
from richpanel.store.account import read_account
from richpanel.store.database import open_engine
from tests.web.browser import reading
from tests.web.running import NOW, Site, csrf_of, segment
from tests.web.story import DEVICE, LURKER, UID, tell
from tests.web.test_pages import axe


@pytest.fixture
def told(site: Site) -> Site:
    tell(site)
    site.sign_in()
    return site


def test_a_customer_is_deleted_behind_a_confirmation(told: Site) -> None:
    with reading(told) as reader:
        page = reader.sign_in()
        reader.go(f"/customers/{segment(UID)}")
        button = page.get_by_role("button", name="Delete Ada Lovelace")
        assert not button.is_visible()
        page.get_by_text("Delete this customer…").click()
        button.click()
        page.get_by_role("heading", name="Privacy", exact=True).wait_for()
        assert page.get_by_text("Accepted").is_visible()
        told.process()
        reader.go("/privacy")
        assert page.get_by_text("Scrubbing files").is_visible()
        assert UID not in page.content()
    assert told.api("GET", f"/customers/{segment(UID)}").status == 404
    (row,) = told.get("/regulations")["data"]
    assert (row["type"], row["by"], row["ids"]) == ("DELETE", "admin", 1)


def ask(site: Site, **form: str) -> int:
    return site.submit("/privacy", {"csrf": csrf_of(site.page("/privacy")), **form}).status


def test_a_visitor_is_deleted_by_the_device(told: Site) -> None:
    page = told.page(f"/visitors/{segment(LURKER)}").body.decode()
    assert 'name="kind" value="anonymousId"' in page
    assert "keep them out" not in page
    assert ask(told, type="DELETE", kind="anonymousId", value=LURKER) == 303
    told.process()
    assert told.page(f"/visitors/{segment(LURKER)}").status == 404


def test_somebody_is_kept_out_and_let_in_again(told: Site) -> None:
    assert ask(told, type="SUPPRESS", kind="uid", value=UID) == 303
    told.process()
    assert "1 device" in told.page("/privacy").body.decode()
    assert ask(told, type="UNSUPPRESS", kind="uid", value=UID) == 303
    told.process()
    assert "Nobody." in told.page("/privacy").body.decode()


@pytest.mark.parametrize(
    "form",
    [
        {"type": "DELETE", "kind": "uid", "value": " "},
        {"type": "DELETE", "kind": "address", "value": "neither"},
        {"type": "SUPPRESS", "kind": "anonymousId", "value": DEVICE},
        {"type": "ERASE", "kind": "uid", "value": UID},
    ],
)
def test_what_cannot_be_is_refused(told: Site, form: dict[str, str]) -> None:
    assert ask(told, **form) == 400
    assert told.get("/regulations")["data"] == []


def test_another_sites_form_is_refused(told: Site) -> None:
    form = {"csrf": "x", "type": "DELETE", "kind": "uid", "value": UID}
    assert told.submit("/privacy", form).status == 403
    assert told.get("/regulations")["data"] == []


@pytest.mark.parametrize(("width", "dark"), [(320, True), (1280, False)])
def test_the_page_is_readable_by_everybody_and_fits(told: Site, width: int, dark: bool) -> None:
    """With a regulation that is done and opened, one that waits, and somebody who is kept out."""
    told.api("POST", "/regulations", {"type": "DELETE", "anonymousIds": [LURKER]})
    told.api("POST", "/regulations", {"type": "SUPPRESS", "uids": [UID]})
    told.process()
    done, waits = [row["id"] for row in told.get("/regulations")["data"]][::-1]
    engine = open_engine(told.directory.account_url)
    with engine.begin() as connection:
        ledger.finish(connection, read_account(connection).hash_key, done, NOW)
        ledger.explain(connection, [waits], "a backup reads the whole log")
        ledger.count_refusals(connection, {(told.source().id, NOW, Code.ERASED): 3})
    engine.dispose()
    with reading(told, width=width, dark=dark) as reader:
        page = reader.sign_in()
        reader.go("/privacy")
        for each in page.locator("li.order summary").all():
            each.click()
        assert page.get_by_text("It is the first").is_visible()
        assert page.get_by_text("a backup reads the whole log").is_visible()
        assert axe(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
