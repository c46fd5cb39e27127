"""The Event Tester: real events to a real server outside and to the account's own door, by the API and on its page."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.server import Answer
from tests.sink import Sink
from tests.web.browser import reading
from tests.web.running import Site, running
from tests.web.story import tell
from tests.web.test_connections import destination, place, submit, text
from tests.web.test_pages import axe

CALL = {
    "type": "track",
    "userId": "ann",
    "event": "Mug Dropped",
    "properties": {"height": 1.50, "noise": "<b>loud</b>"},
}
NO_TRACKS = {"title": "No tracks", "if": 'type = "track"', "actions": [{"type": "DROP"}]}
NO_NOISE = {
    "title": "Quiet",
    "if": "all",
    "actions": [{"type": "DROP_PROPERTIES", "fields": {"properties": ["noise"]}}],
}


@pytest.fixture
def near(data: Path) -> Iterator[Site]:
    """A site that may send to this machine."""
    with running(data, allow_private_endpoints=True) as each:
        each.sign_in()
        yield each


@pytest.fixture
def sink() -> Iterator[tuple[Sink, str]]:
    each = Sink(seed=1)
    yield each, each.start()
    each.stop()


def outside(site: Site, endpoint: str, **settings: Any) -> dict[str, Any]:
    """Add a destination outside, for the website."""
    given = {"apiKey": "far-key", "apiSecret": "far-secret", **settings}
    body = {"name": "Far", "settings": given, "endpoint": endpoint, "sources": [site.source().id]}
    made: dict[str, Any] = site.api("POST", "/destinations", body).json()
    return made


def tried(site: Site, row: dict[str, Any], message: Any, **more: Any) -> Answer:
    return site.api("POST", place(row) + "/test", {"message": message, **more})


def good(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json()
    return found


# ------------------------------------------------------------------------------------------------------------ outside


@pytest.mark.parametrize("settings", [{}, {"signatureMode": "sha256", "batchSize": 25}])
def test_an_event_is_sent_now_and_what_was_answered_is_told(
    near: Site, sink: tuple[Sink, str], settings: dict[str, Any]
) -> None:
    far, url = sink
    told = good(tried(near, outside(near, url, **settings), CALL))
    (arrived,) = far.arrivals
    assert (told["status"], told["code"]) == ("delivered", None)
    assert told["request"]["url"] == url + ("/v2/bt" if settings else "/v2/t")
    assert told["response"]["statusCode"] == 200
    assert told["response"]["body"] == "{}"
    assert 0 <= told["response"]["milliseconds"] < 5_000
    assert arrived.event["eventId"] == told["messageId"]
    assert arrived.event["appClientId"] == "far-key"
    assert {**told["request"]["body"], "appClientId": "far-key", "time": arrived.event["time"]} == arrived.event
    assert told["decision"]["outcome"] == "kept"
    assert told["source"] == near.source().id
    assert "far-key" not in json.dumps(told)
    assert near.get("/deliveries")["data"] == [], "it is no delivery"


def test_filters_are_gone_past_and_what_they_would_do_is_told(near: Site, sink: tuple[Sink, str]) -> None:
    far, url = sink
    row = outside(near, url)
    near.api("PATCH", place(row), {"filters": [NO_NOISE]})
    told = good(tried(near, row, CALL))["decision"]
    assert (told["outcome"], told["filter"]) == ("kept", "Quiet")
    assert told["cut"]["steps"][0]["keys"] == ["noise"]
    near.api("PATCH", place(row), {"filters": [NO_TRACKS], "enabled": False})
    dropped = good(tried(near, row, CALL))
    assert (dropped["decision"]["code"], dropped["decision"]["filter"]) == ("filtered_by_rules", "No tracks")
    assert dropped["status"] == "delivered"
    off = good(tried(near, row, {**CALL, "type": "page", "integrations": {"All": False}}))
    assert off["decision"]["code"] == "filtered_by_integrations_object"
    assert len(far.arrivals) == 3


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"type": "screen", "userId": "ann", "name": "Home"}, "unsupported_event_type"),
        ({"type": "identify", "anonymousId": "a1", "traits": {}}, "uid_required"),
    ],
)
def test_what_cannot_be_said_is_not_sent(near: Site, sink: tuple[Sink, str], message: Any, code: str) -> None:
    far, url = sink
    told = good(tried(near, outside(near, url), message))
    assert (told["code"], told["decision"]["code"]) == (code, code)
    assert (told["status"], told["request"], told["response"]) == (None, None, None)
    assert far.requests == 0


@pytest.mark.parametrize(
    ("moods", "status", "code"),
    [({"unavailable": 1.0}, "retrying", "answered_5xx"), ({"reset": 1.0}, "retrying", "connection_reset")],
)
def test_what_goes_wrong_is_told(
    near: Site, sink: tuple[Sink, str], moods: dict[str, float], status: str, code: str
) -> None:
    far, url = sink
    far.moods = moods
    told = good(tried(near, outside(near, url), CALL))
    assert (told["status"], told["code"]) == (status, code)
    assert told["response"]["statusCode"] == (503 if code == "answered_5xx" else None)


def test_a_refusal_is_final(near: Site, sink: tuple[Sink, str]) -> None:
    far, url = sink
    far.refused = frozenset({"bad"})
    told = good(tried(near, outside(near, url), {**CALL, "messageId": "bad"}))
    assert (told["messageId"], told["status"], told["response"]["statusCode"]) == ("bad", "failed", 400)


def test_nothing_reaches_a_private_address(data: Path, sink: tuple[Sink, str]) -> None:
    far, url = sink
    with running(data, allow_private_endpoints=True) as lenient:
        row = outside(lenient, url)
    with running(data) as strict:
        told = good(tried(strict, row, CALL))
    assert (told["status"], told["code"], far.requests) == ("retrying", "private_address", 0)


# ------------------------------------------------------------------------------------------------- the built-in account


def test_at_the_account_it_comes_in_by_the_door_for_richpanels_wire(near: Site) -> None:
    told = good(tried(near, destination(near), CALL))
    assert (told["status"], told["request"]["url"]) == ("delivered", "/v2/t")
    assert json.loads(told["response"]["body"]) == {"success": True}
    near.process()
    (trace,) = near.get(f"/messages/{told['messageId']}", source=told["account"])["data"]
    assert (trace["outcome"], trace["event"], trace["profile"]["uid"]) == ("kept", "Mug Dropped", "ann")
    assert '"height":1.5' in json.dumps(trace["body"], separators=(",", ":"))
    assert near.get("/messages", source=near.source().id)["data"] == []


def test_a_wrong_key_and_a_wrong_signature_get_the_doors_own_answer(near: Site) -> None:
    row = destination(near)
    near.api("PATCH", place(row), {"settings": {"apiSecret": "wrong", "signatureMode": "md5"}})
    told = good(tried(near, row, CALL))
    assert (told["status"], told["response"]["statusCode"]) == ("failed", 401)
    assert json.loads(told["response"]["body"])["code"] == "invalid_signature"
    near.api("PATCH", place(row), {"settings": {"apiKey": "wrong"}})
    told = good(tried(near, row, CALL))
    assert json.loads(told["response"]["body"])["code"] == "invalid_api_key"
    assert told["decision"]["code"] == "invalid_settings"
    assert told["account"] is None


def test_of_somebody_who_is_kept_out_nothing_is_sent(near: Site, sink: tuple[Sink, str]) -> None:
    far, url = sink
    near.api("POST", "/regulations", {"type": "SUPPRESS", "uids": ["ann"]})
    near.process()
    for row in (outside(near, url), destination(near)):
        refused = tried(near, row, CALL)
        assert (refused.status, "keeps calls of this person out" in text(refused)) == (403, True)
    assert far.requests == 0
    assert good(tried(near, destination(near), {**CALL, "userId": "bob"}))["status"] == "delivered"


@pytest.mark.parametrize(
    ("message", "field", "told"),
    [
        ({"type": "track", "userId": "ann"}, "message", "event"),
        ({"type": "track", "event": "x"}, "message", "userId"),
        ({"type": "wink", "userId": "ann"}, "message", "type"),
        ([1], "message", "object"),
        ({**CALL, "properties": {"x": "y" * 32_768}}, "message", "32,768 bytes"),
    ],
)
def test_what_the_door_would_refuse_is_refused(near: Site, message: Any, field: str, told: str) -> None:
    answer = tried(near, destination(near), message)
    assert answer.status == 400
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert told in error["detail"]


def test_a_destination_and_a_source_have_to_be_there(near: Site) -> None:
    row = destination(near)
    assert tried(near, {"id": "dst_unknown"}, CALL).status == 404
    assert tried(near, row, CALL, source="src_unknown").json()["errors"][0]["field"] == "source"
    assert near.api("POST", place(row) + "/test", {"message": CALL}, token=None).status == 401


# ------------------------------------------------------------------------------------------------------------ its page


def test_the_page_begins_with_a_recent_message_or_an_example(near: Site) -> None:
    path = place(destination(near)) + "/test"
    assert "Product Viewed" in text(near.page(path))
    assert "test@example.com" in text(near.page(path + "?type=identify"))
    tell(near)
    page = text(near.page(path))
    assert "It begins with the newest track call" in page
    assert "&#34;messageId&#34;" not in page.partition("<textarea")[2].partition("</textarea>")[0]
    assert "Product Viewed" in text(near.page(path + "?start=example"))
    assert near.page(path + "?type=alias").status == 400
    assert near.page("/destinations/dst_unknown/test").status == 404


def test_the_form_sends_and_shows_everything(near: Site, sink: tuple[Sink, str]) -> None:
    far, url = sink
    row = outside(near, url)
    near.api("PATCH", place(row), {"filters": [NO_TRACKS]})
    form = {"type": "track", "message": json.dumps(CALL), "source": near.source().id}
    page = text(submit(near, place(row) + "/test", form))
    assert len(far.arrivals) == 1
    for each in ("Delivered", "The filter <strong>No tracks</strong> would drop this event.", f"POST {url}/v2/t"):
        assert each in page
    assert "&lt;b&gt;loud&lt;/b&gt;" in page
    assert "far-key" not in page
    bad = submit(near, place(row) + "/test", form | {"message": "{"})
    assert (bad.status, 'id="fault-message"' in text(bad)) == (400, True)
    assert submit(near, place(row) + "/test", {**form, "csrf": "x"}).status == 403
    assert len(far.arrivals) == 1
    near.cookies.clear()
    assert near.page(place(row) + "/test").status == 303


@pytest.mark.browser
@pytest.mark.parametrize(("width", "dark"), [(390, True)])
def test_somebody_tests_a_destination(near: Site, width: int, dark: bool) -> None:
    tell(near)
    with reading(near, width=width, dark=dark) as reader:
        page = reader.sign_in()
        reader.go(place(destination(near)))
        page.get_by_role("link", name="Event Tester").click()
        page.get_by_role("link", name="Page", exact=True).click()
        page.get_by_label("Call, as JSON").fill('{"type": "page", "userId": "ann", "name": "Tested"}')
        assert axe(page) == []
        page.get_by_role("button", name="Send event").click()
        expect(page.locator("#status-code")).to_have_text("200")
        expect(page.locator("#request")).to_contain_text('"event": "page_view"')
        expect(page.locator("#response")).to_contain_text('"success": true')
        assert axe(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        near.process()
        page.get_by_role("link", name="See what became of it").click()
        expect(page.get_by_role("heading", name="Tested")).to_be_visible()
