"""The pages of the catalog, the destinations with their filters, and the account's integrations."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from richpanel.store.destinations import MOST_OF_A_SOURCE
from tests.server import Answer
from tests.web.browser import Reader, reading
from tests.web.running import Site, csrf_of
from tests.web.story import tell
from tests.web.test_pages import axe

TEST_ORDERS = {"title": "No test orders", "if": "properties.test = true", "actions": [{"type": "DROP"}]}
CARDS = {
    "title": "No cards",
    "if": "all",
    "actions": [{"type": "DROP_PROPERTIES", "fields": {"properties": ["card", "email"], "context.page": ["url"]}}],
}
MIXED = {"title": "Mixed", "if": "all", "actions": [{"type": "SAMPLE", "percent": 0.5}, {"type": "DROP"}]}

FAR = {"where": "url", "url": "https://far.example/"}
NOT_SENT = {"signatureMode": "none", "batchSize": 1, "rate": None}


@pytest.fixture
def signed(site: Site) -> Site:
    site.sign_in()
    return site


def submit(site: Site, path: str, form: Mapping[str, Any]) -> Answer:
    """POST a form; several values of one name are several checkboxes."""
    whole = {"csrf": csrf_of(site.page("/integrations")), **form}
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return site._with_cookies("POST", path, urlencode(whole, doseq=True).encode(), headers)


def text(answer: Answer) -> str:
    return answer.body.decode()


def destination(site: Site, number: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = site.get("/destinations")["data"][number]
    return found


def place(row: Mapping[str, Any]) -> str:
    return f"/destinations/{row['id']}"


# ------------------------------------------------------------------------------------------------------- the catalog


def test_the_catalog_is_searched_and_an_entry_tells_all(signed: Site) -> None:
    assert "/catalog/richpanel" in text(signed.page("/catalog?q=helpdesk"))
    assert "Nothing in the catalog matches" in text(signed.page("/catalog?q=mixpanel"))
    page = text(signed.page("/catalog/richpanel"))
    for each in ("Device-mode is refused", "Partner", "Cloud-mode", "Identify", "Alias", "API Secret"):
        assert each in page
    assert signed.page("/catalog/mixpanel").status == 404


def test_several_sources_are_connected_at_once(signed: Site) -> None:
    server = signed.api("POST", "/sources", {"name": "Backend", "type": "server"}).json()
    sources = [signed.source().id, server["id"]]
    form = {"name": "Both", "key": "k", "secret": "very secret", "sources": sources}
    made = submit(signed, "/catalog/richpanel", form)
    assert made.status == 303
    row = destination(signed, -1)
    assert made.headers["location"] == place(row)
    assert (row["name"], row["sources"], row["endpoint"]) == ("Both", sources, "account")
    assert row["settings"]["hasApiSecret"] is True
    assert "very secret" not in text(signed.page(place(row)))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"key": " "}, "An API Key is required."),
        ({"name": " "}, "A name of 1 to 100 characters is needed."),
        ({"sources": []}, "Choose at least one source."),
        ({"sources": "src_unknown"}, "There is no source with the id src_unknown"),
        ({"where": "url", "url": "ftp://x"}, "An address begins with https://"),
        ({"where": "url", "url": ""}, "Say where calls are sent to."),
        ({"where": "url", "url": "https://10.0.0.1/"}, "is on a private network"),
        ({**FAR, "signature": "md5"}, "Requests are signed with the API Secret, and there is none."),
        ({**FAR, "signature": "md4"}, "Requests are signed with MD5 or SHA-256, or not at all."),
        ({**FAR, "batch": "26"}, "A request has from 1 to 25 calls."),
        ({**FAR, "rate": "many"}, "A rate is a number from 1 to 1,000,000"),
    ],
)
def test_what_cannot_be_connected_is_told_at_its_field(signed: Site, change: dict[str, Any], told: str) -> None:
    form = {"name": "Mine", "key": "kept", "sources": signed.source().id}
    answer = submit(signed, "/catalog/richpanel", form | change)
    assert answer.status == 400
    assert told in text(answer)
    assert 'aria-invalid="true"' in text(answer)
    assert 'value="Mine"' in text(answer) or "name" in change
    assert len(signed.get("/destinations")["data"]) == 1


def test_one_instance_too_many_is_told_at_its_field(signed: Site) -> None:
    source = signed.source()
    body = {"name": "One", "settings": {"apiKey": "k"}, "sources": [source.id]}
    for _ in range(MOST_OF_A_SOURCE - 1):
        assert signed.api("POST", "/destinations", body).status == 201
    answer = signed.api("POST", "/destinations", body)
    assert (answer.status, answer.json()["errors"][0]["field"]) == (400, "sources")
    told = "The source Website is connected to 25 destinations, and may be to no more."
    assert answer.json()["errors"][0]["detail"] == told
    form = {"name": "Mine", "key": "kept", "sources": source.id}
    assert told in text(submit(signed, "/catalog/richpanel", form))
    assert told in text(submit(signed, place(destination(signed)), {"action": "copy", "target": source.id}))
    assert len(signed.get("/destinations")["data"]) == MOST_OF_A_SOURCE


@pytest.mark.parametrize(
    "path", ["/catalog/richpanel", "/destinations/ID", "/destinations/ID/filters", "/integrations"]
)
def test_another_sites_form_is_refused(signed: Site, path: str) -> None:
    before = signed.get("/destinations"), signed.get("/connectors")
    form = {"csrf": "x", "name": "x", "key": "k", "sources": signed.source().id, "action": "delete"}
    assert submit(signed, path.replace("ID", destination(signed)["id"]), form).status == 403
    assert (signed.get("/destinations"), signed.get("/connectors")) == before


# -------------------------------------------------------------------------------------------------- the destinations


def test_settings_are_saved_and_a_secret_stays_unless_it_is_replaced(signed: Site) -> None:
    made = {"name": "Out", "settings": {"apiKey": "k", "apiSecret": "s"}, "endpoint": "https://far.example/v2"}
    row = signed.api("POST", "/destinations", made | {"sources": [signed.source().id]}).json()
    assert 'value="https://far.example/v2"' in text(signed.page(place(row)))
    form = {"action": "save", "name": "In", "key": "k2", "sources": []}
    assert submit(signed, place(row), form).status == 303
    saved = signed.get(place(row))
    assert (saved["name"], saved["endpoint"], saved["sources"]) == ("In", "account", [])
    assert saved["settings"] == NOT_SENT | {"apiKey": "k2", "hasApiSecret": True}
    assert submit(signed, place(row), form | {"forget": "on"}).status == 303
    assert signed.get(place(row))["settings"]["hasApiSecret"] is False
    failed = submit(signed, place(row), form | {"key": ""})
    assert (failed.status, "An API Key is required." in text(failed)) == (400, True)


def test_how_an_address_gets_its_calls_is_saved(signed: Site) -> None:
    form = {"name": "Far", "key": "k", "secret": "s", "sources": signed.source().id, **FAR}
    form |= {"signature": "sha256", "batch": "25", "rate": "50"}
    assert submit(signed, "/catalog/richpanel", form).status == 303
    row = destination(signed, -1)
    sent = {"signatureMode": "sha256", "batchSize": 25, "rate": 50}
    assert row["settings"] == {"apiKey": "k", "hasApiSecret": True, **sent}
    page = text(signed.page(place(row)))
    for each in (
        '<option value="sha256" selected>',
        'name="batch" inputmode="numeric" autocomplete="off" value="25"',
        'autocomplete="off" value="50"',
    ):
        assert each in page
    plain = {"action": "save", "name": "Far", "key": "k", **FAR, "signature": "none", "batch": "1", "rate": ""}
    assert submit(signed, place(row), plain).status == 303
    assert signed.get(place(row))["settings"] == {"apiKey": "k", "hasApiSecret": True, **NOT_SENT}
    failed = submit(signed, place(row), plain | {"url": "http://far.example/"})
    assert (failed.status, 'id="fault-url"' in text(failed)) == (400, True)


def test_a_destination_is_turned_off_copied_and_deleted(signed: Site) -> None:
    row = destination(signed)
    signed.api("PATCH", place(row), {"filters": [TEST_ORDERS], "settings": {"apiSecret": "s"}})
    backend = signed.api("POST", "/sources", {"name": "Backend", "type": "server"}).json()
    copied = submit(signed, place(row), {"action": "copy", "target": backend["id"]})
    copy = signed.get(copied.headers["location"])
    assert (copy["name"], copy["sources"]) == ("Richpanel – Backend", [backend["id"]])
    assert copy["filters"] == signed.get(place(row))["filters"]
    assert copy["settings"] == row["settings"] | {"hasApiSecret": True}
    assert submit(signed, place(row), {"action": "copy", "target": "src_unknown"}).status == 400
    assert submit(signed, place(row), {"action": "disable"}).status == 303
    assert "It is disabled" in text(signed.page(place(row)))
    assert submit(signed, place(row), {"action": "enable"}).status == 303
    assert signed.get(place(row))["enabled"] is True
    assert submit(signed, place(copy), {"action": "delete"}).status == 303
    assert signed.page(place(copy)).status == 404
    assert submit(signed, place(copy), {"action": "delete"}).status == 404


def test_a_wrong_key_is_told_with_the_way_to_what_failed(signed: Site) -> None:
    row = destination(signed)
    assert "Its API Key is wrong" not in text(signed.page(place(row)))
    signed.api("PATCH", place(row), {"settings": {"apiKey": "wrong"}})
    page = text(signed.page(place(row)))
    assert "Its API Key is wrong: calls fail with 401." in page
    assert 'href="/messages?outcome=failed"' in page
    assert "Wrong API Key" in text(signed.page("/destinations"))
    signed.send([{"type": "page", "userId": "u1", "messageId": "m-wrong"}])
    signed.process()
    assert "m-wrong" in text(signed.page("/messages?outcome=failed"))
    signed.api("PATCH", place(row), {"endpoint": "https://far.example/"})
    assert "Its API Key is wrong" not in text(signed.page(place(row))), "only the far end knows its keys"


# ------------------------------------------------------------------------------------------------------- its filters


def filters(site: Site) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = destination(site)["filters"]
    return [{key: each[key] for key in ("title", "if", "actions")} for each in found]


def test_filters_are_added_changed_and_deleted(signed: Site) -> None:
    path = place(destination(signed)) + "/filters"
    new = {"action": "save", "title": "No test orders", "if": "properties.test = true", "type": "DROP", "enabled": "on"}
    assert submit(signed, path, new).status == 303
    lines = "properties: card, email\ncontext.page: url"
    cards = {"action": "save", "title": "No cards", "if": "all", "type": "DROP_PROPERTIES", "fields": lines}
    assert submit(signed, path, cards).status == 303
    stored = destination(signed)["filters"]
    assert [each["enabled"] for each in stored] == [True, False]
    assert [each["title"] for each in stored] == ["No test orders", "No cards"]
    assert stored[1]["actions"][0]["fields"] == {"properties": ["card", "email"], "context.page": ["url"]}
    some = {**new, "was": "No test orders", "title": "Some", "type": "SAMPLE", "percent": "12.5", "path": "userId"}
    assert submit(signed, path, some).status == 303
    assert destination(signed)["filters"][0]["actions"] == [{"type": "SAMPLE", "percent": 0.125, "path": "userId"}]
    assert submit(signed, path, {"action": "delete", "was": "Some"}).status == 303
    assert [each["title"] for each in destination(signed)["filters"]] == ["No cards"]


def test_what_the_form_cannot_show_stays_as_it_is(signed: Site) -> None:
    row = destination(signed)
    signed.api("PATCH", place(row), {"filters": [TEST_ORDERS, CARDS, MIXED]})
    page = text(signed.page(place(row)))
    assert "properties: card, email\ncontext.page: url" in page
    assert page.count('<option value="KEEP" selected>') == 1
    form = {"action": "save", "was": "Mixed", "title": "Mixed more", "if": "all", "type": "KEEP", "enabled": "on"}
    assert submit(signed, place(row) + "/filters", form).status == 303
    assert filters(signed)[2] == {**filters(signed)[2], "title": "Mixed more"}
    assert [each["type"] for each in filters(signed)[2]["actions"]] == ["SAMPLE", "DROP"]


@pytest.mark.parametrize(
    ("change", "told", "field"),
    [
        ({"if": 'type = "x" and\n(a ='}, "Line 2, column", "if"),
        ({"title": ""}, "A title of 1 to 64 characters is required.", "title"),
        ({"title": "Mixed"}, "Another filter of this destination has the same title.", "title"),
        ({"type": "SAMPLE", "percent": "half"}, "SAMPLE needs the share that passes", "percent"),
        ({"type": "DROP_PROPERTIES"}, "DROP_PROPERTIES needs fields", "fields"),
    ],
)
def test_a_filter_that_cannot_be_is_told_at_its_field(
    signed: Site, change: dict[str, str], told: str, field: str
) -> None:
    row = destination(signed)
    signed.api("PATCH", place(row), {"filters": [MIXED]})
    form = {"action": "save", "title": "New", "if": "all", "type": "DROP", "enabled": "on"}
    answer = submit(signed, place(row) + "/filters", form | change)
    assert answer.status == 400
    assert told in text(answer)
    assert f'id="filter-new-fault-{field}"' in text(answer)
    assert len(filters(signed)) == 1


def test_a_filter_is_tried_before_it_is_saved(signed: Site) -> None:
    path = place(destination(signed)) + "/filters"
    form = {"action": "try", "title": "", "if": 'event = "Order Completed"', "type": "DROP"}
    assert "No message came lately" in text(submit(signed, path, form))
    tell(signed)
    tried = text(submit(signed, path, form | {"message": "m-order"}))
    assert "Matches: not delivered" in tried
    assert 'href="/messages/m-order"' in tried
    fields = {"type": "DROP_PROPERTIES", "fields": "properties: products"}
    assert "Matches: properties taken out" in text(submit(signed, path, form | {"message": "m-order"} | fields))
    assert "Does not match" in text(submit(signed, path, form | {"message": "m-order", "if": "event = 'x'"}))
    assert filters(signed) == []


# -------------------------------------------------------------------------------------------------- the integrations


def test_keys_are_rotated_with_an_overlap_that_the_pages_tell(signed: Site) -> None:
    (connector,) = signed.get("/connectors")["data"]
    path = f"/integrations/{connector['id']}"
    rotated = text(submit(signed, path, {"action": "rotate", "overlap": "3600"}))
    assert "this is the only time that it is shown" in rotated
    assert "works until" in rotated
    (now,) = signed.get("/connectors")["data"]
    assert now["apiKey"] in rotated
    assert now["apiKey"] != connector["apiKey"]
    assert "Its API Key stops" in text(signed.page(place(destination(signed))))
    signed.clock.ms += 3_600_000
    assert "works until" not in text(signed.page("/integrations"))
    assert "Its API Key is wrong" in text(signed.page(place(destination(signed))))
    assert submit(signed, path, {"action": "rotate", "overlap": "1"}).status == 400


def test_uninstalling_says_what_stops(signed: Site) -> None:
    (connector,) = signed.get("/connectors")["data"]
    page = text(signed.page("/integrations"))
    assert "This stops, at once and for good:" in page
    assert "they fail with 401 until it gets the key of another connector" in page
    path = f"/integrations/{connector['id']}"
    assert submit(signed, path, {"action": "uninstall"}).status == 303
    assert "No connector is installed" in text(signed.page("/integrations"))
    assert "Its API Key is wrong" in text(signed.page(place(destination(signed))))
    assert submit(signed, path, {"action": "uninstall"}).status == 404
    assert submit(signed, path, {"action": "rotate"}).status == 404
    assert submit(signed, "/integrations", {"name": " "}).status == 400


# -------------------------------------------------------------------------------------------------------- in a browser


def in_every_state(reader: Reader, width: int) -> list[str]:
    """Look at each page in the states that it has; gives what is wrong with them."""
    page = reader.page
    wrong: list[str] = []

    def look() -> None:
        page.wait_for_load_state()
        wrong.extend(f"{page.url}: {each}" for each in axe(page))
        if page.evaluate("document.documentElement.scrollWidth") > width:
            wrong.append(f"{page.url} is too wide")

    rows = reader.site.get("/destinations")["data"]
    for path in ("/catalog", "/catalog?q=nothing", "/catalog/richpanel", "/destinations", *map(place, rows)):
        reader.go(path)
        look()
    reader.go("/integrations")
    for each in page.locator(".twisties summary").all():
        each.click()
    look()
    page.get_by_role("button", name="Issue new keys").first.click()
    expect(page.locator("#issued")).to_be_visible()
    look()
    reader.go(place(rows[0]))
    page.get_by_text("Add a filter").click()
    page.locator("#filter-new-if").fill("(a =")
    page.get_by_label("Then").last.select_option("DROP_PROPERTIES")
    expect(page.locator("#filter-new-fields")).to_be_visible()
    expect(page.locator("#filter-new-percent")).not_to_be_visible()
    page.locator("#filter-new").get_by_role("button", name="Save filter").click()
    expect(page.locator("#filter-new-fault-if")).to_be_visible()
    look()
    reader.faults[:] = [each for each in reader.faults if "400 (Bad Request)" not in each]
    return wrong


@pytest.mark.browser
@pytest.mark.parametrize(("width", "dark"), [(390, True)])
def test_every_page_fits_and_is_accessible(site: Site, width: int, dark: bool) -> None:
    tell(site)
    website = site.source().id
    site.api("PATCH", place(destination(site)), {"filters": [TEST_ORDERS, CARDS, MIXED]})
    site.api("POST", "/destinations", {"name": "Wrong", "settings": {"apiKey": "x"}, "sources": [website]})
    site.api("POST", "/destinations", {"name": "Off", "settings": {"apiKey": "x", "apiSecret": "y"}, "enabled": False})
    with reading(site, width=width, dark=dark) as reader:
        reader.sign_in()
        assert in_every_state(reader, width) == []


@pytest.mark.browser
def test_a_filter_is_added_without_scripts(site: Site) -> None:
    with reading(site, scripts=False) as reader:
        page = reader.sign_in()
        reader.go(place(destination(site)))
        page.get_by_text("Add a filter").click()
        page.locator("#filter-new-title").fill("No pages")
        page.locator("#filter-new-if").fill('type = "page"')
        page.locator("#filter-new").get_by_role("button", name="Save filter").click()
        expect(page.locator("#filters").get_by_text("No pages", exact=True)).to_be_visible()
    assert filters(site) == [{"title": "No pages", "if": 'type = "page"', "actions": [{"type": "DROP"}]}]
