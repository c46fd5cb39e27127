"""The Privacy page, and deleting a customer on their own page, in a browser and without one."""

import pytest

from tests.web.browser import reading
from tests.web.running import Site, csrf_of, segment
from tests.web.story import DEVICE, LURKER, UID, tell


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
