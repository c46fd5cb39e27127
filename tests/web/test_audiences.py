"""REST: audiences and computed traits, previews, and why somebody is in."""

import asyncio
import json
from typing import Any

import pytest

from richpanel.core import record
from richpanel.core.record import Meta
from richpanel.core.timestamps import iso
from richpanel.store import computations, plans
from richpanel.store.database import open_engine
from tests.server import Answer
from tests.web.running import NOW, Site, segment

HOUR, DAY = 3_600_000, 86_400_000
BOUGHT: dict[str, Any] = {"event": "Order Completed", "within": {"days": 30}}
UID = "gid://shopify/Customer/42"


def added(site: Site, **body: Any) -> dict[str, Any]:
    answer = site.api("POST", "/audiences", {"name": "Order Completed Last 30days", "condition": BOUGHT, **body})
    assert answer.status == 201, answer.body
    return dict(answer.json())


def faults(answer: Answer) -> list[tuple[str | None, str]]:
    assert answer.status == 400, answer.body
    return [(each.get("field"), each["detail"]) for each in answer.json()["errors"]]


def go_live(site: Site) -> None:
    """Let all that is computed be live, as the processing does at the end of a first run."""
    engine = open_engine(site.directory.account_url)
    with engine.begin() as connection:
        rows = computations.list_computations(connection)
        plans.go_live(connection, [row.newest.number for row in rows if row.newest.status == "computing"], now=NOW)
    engine.dispose()


def order(uid: str, number: int, t: int, total: float = 20.5) -> dict[str, Any]:
    properties = {"order_id": str(number), "total": total, "currency": "USD"}
    common = {"type": "track", "userId": uid, "messageId": f"o{number}", "timestamp": iso(t)}
    return {**common, "event": "order_completed", "properties": properties}


def known(uid: str, **traits: Any) -> dict[str, Any]:
    return {
        "type": "identify",
        "userId": uid,
        "messageId": f"i-{uid}",
        "timestamp": iso(NOW - 90 * DAY),
        "traits": traits,
    }


def test_an_audience_is_added_and_read_again(site: Site) -> None:
    made = added(site)
    assert (made["key"], made["status"], made["version"]) == ("order_completed_last_30days", "computing", None)
    assert made["next"] == {"version": 1, "status": "computing", "done": 0, "total": 0, "code": None, "problem": None}
    assert made["condition"] == {**BOUGHT, "performed": True}
    assert made["text"] == "performed Order Completed in the last 30 days"
    assert (made["includeVisitors"], made["destinations"], made["trackCalls"]) == (False, None, False)
    assert site.get("/audiences")["data"] == [made]
    assert site.get(f"/audiences/{made['id']}") == site.get("/audiences/order_completed_last_30days") == made
    assert [source["type"] for source in site.get("/sources")["data"]] == ["segment", "web", "channel", "engage"]


def test_numbers_stay_exact(site: Site) -> None:
    where = [{"property": "total", "op": ">", "value": 0.1}]
    made = site.api("POST", "/audiences", {"name": "A", "condition": {"event": "B", "where": where}})
    assert b'"value":0.1}' in made.body
    assert made.json()["condition"]["where"] == where


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            {"condition": {"and": [{"event": "A"}, {"event": "B", "count": {"op": "~", "value": -1}}]}},
            [("condition.and[1].count.op", "Must be one of")],
        ),
        ({"condition": {"audience": "nobody"}}, [("condition.audience", "There is no audience `nobody`.")]),
        ({"condition": {"computed": "spent", "op": ">", "value": 1}}, [("condition.computed", "There is no computed")]),
        (
            {"condition": {"audience": "own"}, "key": "own"},
            [("condition.audience", "An audience cannot ask for itself")],
        ),
        ({"key": "Not A Key"}, [("key", "Must be lower-case")]),
        ({"key": "email"}, [("key", "`email` says who somebody is")]),
        ({"name": "!!!"}, [("key", "Is required")]),
        ({"destinations": ["dst_none"]}, [("destinations[0]", "There is no destination")]),
        ({"condition": 5}, [("condition", "Must be an object, not a number.")]),
        (
            {"key": "email", "condition": {"or": [{"audience": "a"}, {"audience": "b"}]}},
            [("key", ""), ("condition.or[0].audience", ""), ("condition.or[1].audience", "")],
        ),
    ],
)
def test_what_is_wrong_is_told_by_its_place(site: Site, body: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    found = faults(site.api("POST", "/audiences", {"name": "New", "condition": BOUGHT, **body}))
    assert [field for field, _ in found] == [field for field, _ in expected]
    assert all(text.startswith(start) for (_, text), (_, start) in zip(found, expected, strict=True)), found
    assert site.get("/audiences")["data"] == []


def test_another_condition_is_a_version_beside(site: Site) -> None:
    made = added(site)
    go_live(site)
    path = f"/audiences/{made['id']}"
    assert (site.get(path)["status"], site.get(path)["version"], site.get(path)["next"]) == ("live", 1, None)
    renamed = site.api("PATCH", path, {"name": "Buyers", "trackCalls": True, "condition": BOUGHT}).json()
    assert (renamed["name"], renamed["key"], renamed["trackCalls"], renamed["next"]) == (
        *("Buyers", made["key"], True, None),
    )
    changed = site.api("PATCH", path, {"condition": {"event": "Refunded"}}).json()
    assert (changed["status"], changed["version"], changed["next"]["version"]) == ("live", 1, 2)
    widened = site.api("PATCH", path, {"includeVisitors": True}).json()
    assert (widened["next"]["version"], widened["condition"]["event"]) == (3, "Refunded")
    assert faults(site.api("PATCH", path, {"key": "other"})) == [
        ("key", "`order_completed_last_30days` is frozen since it is no draft any more.")
    ]
    assert site.api("PATCH", "/audiences/aud_none", {"name": "A"}).status == 404


def test_circles_are_refused_when_an_audience_is_changed(site: Site) -> None:
    added(site, key="one")
    added(site, key="two", condition={"audience": "one"})
    answer = site.api("PATCH", "/audiences/one", {"condition": {"not": {"audience": "two"}}})
    assert faults(answer) == [("condition.not.audience", "An audience cannot ask for itself: one > two > one.")]


def test_a_draft_is_edited_and_started(site: Site) -> None:
    made = added(site, draft=True)
    assert (made["status"], made["next"]["status"]) == ("draft", "draft")
    path = f"/audiences/{made['id']}"
    assert site.api("PATCH", path, {"status": "paused"}).status == 409
    assert site.api("PATCH", path, {"key": "buyers"}).json()["key"] == "buyers"
    started = site.api("PATCH", path, {"status": "live"}).json()
    assert (started["status"], started["key"]) == ("computing", "buyers")


def test_an_audience_is_paused_and_goes_on(site: Site) -> None:
    path = f"/audiences/{added(site)['id']}"
    go_live(site)
    paused = site.api("PATCH", path, {"status": "paused"}).json()
    assert (paused["status"], paused["pausedAt"]) == ("paused", iso(NOW))
    assert site.api("PATCH", path, {"status": "live"}).json()["status"] == "live"


def test_a_key_is_never_used_again(site: Site) -> None:
    made = added(site)
    added(site, key="fans", condition={"audience": made["key"]})
    refused = site.api("DELETE", f"/audiences/{made['id']}")
    assert (refused.status, refused.json()["detail"]) == (
        *(409, "It is asked for by Order Completed Last 30days: change or delete that first."),
    )
    assert site.api("DELETE", "/audiences/fans").status == 204
    assert site.api("DELETE", f"/audiences/{made['id']}").status == 204
    assert site.api("GET", f"/audiences/{made['id']}").status == 404
    again = site.api("POST", "/audiences", {"name": "Order Completed Last 30days", "condition": BOUGHT})
    assert faults(again) == [("key", "`order_completed_last_30days` is or was in use: a key is never used again.")]


def test_a_computed_trait_is_added_changed_and_deleted(site: Site) -> None:
    asked = {
        "name": "Total Spent",
        "kind": "sum",
        "event": "Order Completed",
        "property": "total",
        "within": {"days": 90},
    }
    answer = site.api("POST", "/traits", asked)
    assert answer.status == 201, answer.body
    made = answer.json()
    assert {**made, **asked} == made
    assert (made["key"], made["status"], made["text"]) == (
        *("total_spent", "computing", "sum of total of Order Completed in the last 90 days"),
    )
    assert "where" not in made
    path = f"/traits/{made['id']}"
    assert site.get("/traits")["data"] == [site.get(path)] == [made]
    assert site.get("/audiences")["data"] == []
    added(site, key="spenders", condition={"computed": "total_spent", "op": ">", "value": 99.5})
    changed = site.api("PATCH", path, {"kind": "count", "event": "Order Completed", "name": "Orders"}).json()
    assert (changed["kind"], changed["next"]["version"], "property" in changed) == ("count", 2, False)
    assert site.get("/audiences/spenders")["next"]["version"] == 2
    assert site.api("DELETE", path).status == 409
    assert site.api("DELETE", "/audiences/spenders").status == 204
    assert site.api("DELETE", path).status == 204


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "sum"}, "property"),
        ({"kind": "count", "property": "total"}, "property"),
        ({"kind": "count", "where": [{"property": "a", "op": "?"}]}, "where[0].op"),
        ({"kind": "count", "within": {"weeks": 1}}, "within"),
        ({"kind": "median"}, "kind"),
    ],
)
def test_what_is_wrong_with_a_computed_trait_is_told_by_its_place(site: Site, body: dict[str, Any], field: str) -> None:
    found = faults(site.api("POST", "/traits", {"name": "A", "event": "Order Completed", **body}))
    assert str(found[0][0]).startswith(field), found


def test_a_preview_counts_and_shows_who_would_be_in(site: Site) -> None:
    site.send([known(UID, firstName="Ann", plan="gold"), known("u2", plan="gold"), known("u3", plan="free")])
    site.send([order(UID, 1, NOW - 3 * DAY), order("u2", 2, NOW - 31 * DAY), order("u3", 3, NOW - DAY, 500)])
    site.send([{**order("", 4, NOW - DAY), "userId": None, "anonymousId": "device"}])
    site.process()

    def look(condition: dict[str, Any], **more: Any) -> dict[str, Any]:
        answer = site.api("POST", "/audiences/preview", {"condition": condition, **more})
        assert answer.status == 200, answer.body
        return dict(answer.json())

    found = look(BOUGHT)
    assert (found["count"], found["exact"], found["looked"], found["people"]) == (2, True, 3, 3)
    assert [person["uid"] for person in found["sample"]] == [UID, "u3"]
    assert "profile" not in found["sample"][0]
    assert found["text"] == "performed Order Completed in the last 30 days"
    assert look(BOUGHT, sample=1)["count"] == 2
    assert len(look(BOUGHT, sample=1)["sample"]) == 1
    assert (look(BOUGHT, includeVisitors=True)["count"], look({"not": BOUGHT})["count"]) == (3, 1)
    assert look({"trait": "plan", "op": "=", "value": "gold"})["count"] == 2
    dear = {**BOUGHT, "where": [{"property": "total", "op": ">", "value": 100}]}
    assert [person["uid"] for person in look(dear)["sample"]] == ["u3"]
    added(site, key="buyers")
    assert look({"and": [{"audience": "buyers"}, {"not": dear}]})["count"] == 1
    site.clock.ms += 27 * DAY  # The first one's window closes, to the millisecond.
    assert look(BOUGHT)["count"] == 1
    site.clock.ms -= 1
    assert look(BOUGHT)["count"] == 2
    bad = site.api("POST", "/audiences/preview", {"condition": {"audience": "none"}})
    assert faults(bad) == [("condition.audience", "There is no audience `none`.")]
    assert [each["key"] for each in site.get("/audiences")["data"]] == ["buyers"]


def test_a_call_that_its_path_names_is_seen(site: Site) -> None:
    site.send([known(UID)])
    bare = {key: value for key, value in order(UID, 1, NOW - DAY).items() if key not in ("type", "messageId")}
    meta = Meta(NOW, site.source().id, [], type="track", ids={0: "o1"})
    append = site.writer.append(record.encode(meta, [json.dumps(bare).encode()]))
    asyncio.run_coroutine_threadsafe(append, site.loop).result(10)
    site.process()
    added(site, key="buyers")
    why = site.get(f"/customers/{segment(UID)}/audiences/buyers/why")
    assert [each["messageId"] for each in why["reason"]["events"]] == ["o1"]


def test_a_filter_by_context_is_previewed(site: Site) -> None:
    page = {"type": "page", "userId": UID, "messageId": "p1", "name": "Cart", "timestamp": iso(NOW - HOUR)}
    site.send([known(UID), {**page, "context": {"ip": "10.1.2.3"}}])
    site.process()
    where = [
        {"context": "ip", "op": "starts_with", "value": "10."},
        {"property": "page_name", "op": "=", "value": "Cart"},
    ]
    asked = {"condition": {"event": "Page Viewed", "where": where}}
    assert site.api("POST", "/audiences/preview", asked).json()["count"] == 1
    where[0]["value"] = "11."
    assert site.api("POST", "/audiences/preview", asked).json()["count"] == 0


def test_why_somebody_is_in_names_the_events_that_decide_and_when_it_ends(site: Site) -> None:
    site.send([known(UID, plan="gold"), order(UID, 1, NOW - 31 * DAY), order(UID, 2, NOW - 3 * DAY, 7.1)])
    site.process()
    condition = {"and": [BOUGHT, {"trait": "plan", "op": "=", "value": "free"}]}
    added(site, key="buyers")
    added(site, key="free", condition=condition)
    why = site.get(f"/customers/{segment(UID)}/audiences/buyers/why")
    assert (why["member"], why["asOf"], why["until"]) == (True, iso(NOW), iso(NOW + 27 * DAY))
    (event,) = why["reason"]["events"]
    assert (event["messageId"], event["event"], event["timestamp"]) == ("o2", "Order Completed", iso(NOW - 3 * DAY))
    assert event["properties"]["total"] == 7.1
    assert (why["reason"]["text"], why["reason"]["value"]) == ("performed Order Completed in the last 30 days", 1)
    why = site.get(f"/customers/{segment(UID)}/audiences/free/why")
    assert (why["member"], why["until"]) == (False, None)
    assert [(part["text"], part["holds"], part["value"]) for part in why["reason"]["parts"]] == [
        ("performed Order Completed in the last 30 days", True, 1),
        ('trait plan = "free"', False, ["gold"]),
    ]
    assert site.api("GET", f"/customers/{segment(UID)}/audiences/none/why").status == 404
    assert site.api("GET", "/customers/nobody/audiences/free/why").status == 404


def test_the_document_has_the_schema_of_conditions(site: Site) -> None:
    schemas = site.get("/openapi.json")["components"]["schemas"]
    assert schemas["NewAudience"]["properties"]["condition"] == {"$ref": "#/components/schemas/Condition"}
    assert len(schemas["Condition"]["oneOf"]) == 8
