"""The pages of Event Delivery: figures, the list, and one delivery, whose destination is a stranger and hostile."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import expect

from richpanel.store import deliveries
from richpanel.store.deliveries import ACCEPTED, DEAD, FAILED, LIVE, RETRYING, Attempt, Result
from tests.web.browser import reading
from tests.web.outgoing import answered, grant, hosted, take_over, writing
from tests.web.running import NOW, Site, csrf_of
from tests.web.story import HOSTILE
from tests.web.test_pages import axe

BIG = json.dumps({"event": "order_completed", "uid": "ann", "properties": {"note": HOSTILE}}).encode()


def call(name: str, uid: str, **fields: Any) -> dict[str, Any]:
    return {"type": "track", "event": name, "userId": uid, "messageId": f"{name}-{uid}", **fields}


def outage(site: Site) -> str:
    """A destination that answers 503, and what came before: one of each fate. Gives its id."""
    destination, number = hosted(site)
    site.send([call("Order Completed", uid) for uid in ("ann", "bob", "cid", "dan")])
    site.send([call("Seen", "eve"), call("Off", "ann", integrations={"Richpanel": False})])
    site.send([{"type": "identify", "anonymousId": "dev", "messageId": "i"}])
    site.process()
    take_over(site, number)
    answered(site, number, ACCEPTED, RETRYING, FAILED, DEAD)
    with writing(site) as connection:
        for turn in range(24):
            at = NOW + 60_000 + turn * 1_000
            (bob,) = [each for each in deliveries.due(connection, number, LIVE, now=at, limit=9) if each.id == 2]
            tried = Attempt(at, 40, 503, "answered_5xx", BIG, HOSTILE.encode() + b"\xff\x00 busy")
            deliveries.record(connection, [Result(bob, RETRYING, at, tried, "answered_5xx", at + 900)])
    site.clock.ms = NOW + 120_000
    return destination


def text(site: Site, path: str, status: int = 200) -> str:
    answer = site.page(path)
    assert answer.status == status, path
    return answer.body.decode()


def test_the_figures_of_a_window_are_those_of_the_api(site: Site) -> None:
    destination = outage(site)
    site.sign_in()
    shown = text(site, "/deliveries?window=1h")
    (funnel,) = [
        each
        for each in site.get("/deliveries/overview?window=1h")["destinations"]
        if each["destination"] == destination
    ]
    assert {each["event"]: each["received"] for each in funnel["byEvent"]} == {
        "Order Completed": 4, "Seen": 1, "Off": 1, None: 1
    }  # fmt: skip
    (orders,) = [each for each in funnel["byEvent"] if each["event"] == "Order Completed"]
    assert [orders[name] for name in ("retrying", "failed", "delivered", "filteredAtDestination")] == [1, 2, 1, 0]
    assert [sum(each[name] for each in funnel["series"]) for name in ("delivered", "failed", "retries")] == [1, 2, 25]
    assert len(funnel["series"]) == 60
    assert "Over the window: 1 delivered, 2 failed, 25 tries that failed" in shown
    assert "The destination could not take the call: a fault on its side." in shown
    assert f'href="/deliveries?destination={destination}&amp;status=retrying"' in shown
    assert f"event=Order+Completed&amp;destination={destination}" in shown
    assert "Filter" not in [each["filter"] for each in funnel["reasons"]]
    assert "style=" not in shown
    assert text(site, "/deliveries?window=30d").count("Filtered at destination") == 2
    assert text(site, "/deliveries?window=2h", 400)


def test_reasons_name_the_filter_that_dropped_the_calls(site: Site) -> None:
    destination, _ = hosted(site)
    drop = {"title": "No <b>", "if": 'event = "Off"', "actions": [{"type": "DROP"}], "enabled": True}
    assert site.api("PATCH", f"/destinations/{destination}", {"filters": [drop]}).status == 200
    site.send([call("Off", "ann"), call("On", "ann")])
    site.process()
    found = {each["destination"]: each for each in site.get("/deliveries/overview")["destinations"]}[destination]
    (reason,) = found["reasons"]
    assert (reason["code"], reason["filter"], reason["count"]) == ("filtered_by_rules", "No <b>", 1)
    site.sign_in()
    assert "Filter: No &lt;b&gt;" in text(site, "/deliveries")


def test_a_destination_that_takes_nothing_is_on_the_first_page(site: Site) -> None:
    destination = outage(site)
    site.sign_in()
    for path in ("/", "/deliveries"):
        shown = text(site, path)
        assert "2 calls wait for Hosted since" in shown
        assert "16:00 UTC</time>: 503</strong>" in shown
        assert "2 more failed for good in the last hour." in shown
        assert f"/deliveries?destination={destination}&amp;status=retrying" in shown
    assert "calls wait for" not in text(site, "/deliveries?view=list")
    for number in (2, 5):
        site.api("POST", f"/deliveries/{number}/drop")
    grant(site)
    assert "2 calls to Hosted failed in the last hour" in text(site, "/")
    site.clock.ms += 2 * 3_600_000
    assert "notice" not in text(site, "/")


def test_the_list_is_paged_and_narrowed(site: Site) -> None:
    destination = outage(site)
    site.sign_in()
    shown = text(site, f"/deliveries?destination={destination}&status=&event=")
    assert [shown.count(f'href="/deliveries/{number}"') for number in range(1, 6)] == [1] * 5
    shown = text(site, "/deliveries?event=Order%20Completed&status=dead")
    assert [number for number in range(1, 6) if f'href="/deliveries/{number}"' in shown] == [4]
    first = site.get("/deliveries?event=Order%20Completed&limit=3")
    rest = site.get(f"/deliveries?event=Order%20Completed&limit=3&cursor={first['next']}")
    assert [[each["id"] for each in page["data"]] for page in (first, rest)] == [[4, 3, 2], [1]]
    assert rest["next"] is None
    older = text(site, f"/deliveries?view=list&cursor={first['next']}")
    assert [number for number in range(1, 6) if f'href="/deliveries/{number}"' in older] == [1]
    assert "No delivery matches" in text(site, "/deliveries?event=Never")
    assert text(site, "/deliveries?cursor=x", 400)
    assert text(site, "/deliveries?status=lost", 400)


def test_what_a_stranger_answers_is_text(site: Site) -> None:
    outage(site)
    site.sign_in()
    shown = text(site, "/deliveries/2")
    assert "&lt;script&gt;alert(" in shown
    assert "<img" not in shown
    assert "<script>" not in shown
    assert "25 tries" in shown
    assert shown.count("&lt;script&gt;") == 21, "twenty answers, and a request that is shown once"
    assert shown.count("The same as in try 25.") == 19
    assert 'href="/messages/Order%20Completed-bob?' in shown
    assert "No answer" not in text(site, "/deliveries/1")
    assert text(site, "/deliveries/99", 404)
    trace = text(site, "/messages/Order%20Completed-bob")
    assert 'href="/deliveries/2"' in trace
    assert "Hosted: retrying" in trace


def test_only_a_form_of_ours_drops(site: Site) -> None:
    outage(site)
    assert site.submit("/deliveries/4", {"action": "drop"}).status == 303
    assert site.get("/deliveries/4")["asked"] is None
    site.sign_in()
    assert site.submit("/deliveries/4", {"action": "drop", "csrf": "no"}).status == 403
    form = {"action": "drop", "csrf": csrf_of(site.page("/deliveries/4"))}
    assert site.submit("/deliveries/4", form, **{"Sec-Fetch-Site": "cross-site"}).status == 403
    assert site.submit("/deliveries/1", form).status == 409
    answer = site.submit("/deliveries/4", form)
    assert (answer.status, answer.headers["location"]) == (303, "/deliveries/4")
    assert "It is to be dropped" in text(site, "/deliveries/4")
    grant(site)
    shown = text(site, "/deliveries/4")
    assert "Somebody dropped it" in shown
    assert re.search(r"Dropped by</dt><dd[^>]*>admin<", shown)
    dropped = [(row["who"], row["verb"], row["noun"], row["object"]) for row in site.get("/audit")["data"]]
    assert ("admin", "dropped", "delivery", "4") in dropped
    assert 'value="drop"' not in shown


@pytest.mark.browser
@pytest.mark.parametrize(("width", "height", "dark"), [(390, 844, True)])
def test_somebody_finds_out_what_is_wrong_and_drops_a_call(site: Site, width: int, height: int, dark: bool) -> None:
    outage(site)
    with reading(site, width=width, height=height, dark=dark) as reader:
        page = reader.sign_in()
        expect(page.get_by_text("2 calls wait for Hosted since")).to_be_visible()
        violations = axe(page)
        for path in ("/deliveries?window=30d", "/deliveries?view=list", *(f"/deliveries/{n}" for n in range(1, 6))):
            reader.go(path)
            page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{path} is too wide"
            assert page.locator("img").count() == 0
            violations += [f"{path}: {found}" for found in axe(page)]
        assert not violations
        reader.go("/")
        page.get_by_role("link", name="See what waits").click()
        page.get_by_role("link", name="Order Completed").focus()
        page.keyboard.press("Enter")
        page.get_by_text("Try 24: 503").focus()
        page.locator("summary", has_text="Try 24: 503").press("Enter")
        expect(page.get_by_label("Response of try 24")).to_contain_text(HOSTILE)
        page.get_by_role("button", name="Drop").press("Enter")
        expect(page.get_by_text("It is to be dropped")).to_be_visible()
        grant(site)
        expect(page.get_by_text("Somebody dropped it: it is not sent any more.")).to_be_visible()
        page.get_by_role("link", name="Order Completed-bob").click()
        expect(page.get_by_role("heading", name="Hosted: failed")).to_be_visible()
