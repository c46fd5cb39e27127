"""Telling: each change is told once, in order, whatever is killed between looking, appending and folding."""

from collections.abc import Iterator
from typing import Any

import pytest

from richpanel.core.timestamps import iso
from richpanel.store.bulk import fetch, run
from richpanel.store.definitions import changed
from tests.engage.shop import DAY, Shop, shop_of
from tests.web.running import Site

BOUGHT = {"event": "Order Completed", "within": {"days": 30}}
NAME = "Order Completed Last 30days"
KEY = "order_completed_last_30days"


@pytest.fixture
def shop(site: Site) -> Iterator[Shop]:
    """A shop without audiences."""
    with shop_of(site) as opened:
        yield opened


def values(told: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    return [(each["userId"], *each["traits"].values()) for each in told]


def test_the_property_follows_the_order_and_the_clock(shop: Shop) -> None:
    shop.audience(NAME, BOUGHT)
    shop.known("42")
    assert shop.settle() == []
    shop.ordered("42")
    ordered = shop.site.clock()
    (told,) = shop.settle()
    assert (told["type"], told["userId"], told["traits"]) == ("identify", "42", {KEY: True})
    assert told["context"]["personas"]["computation_key"] == KEY
    assert told["integrations"] == {"All": False, "Richpanel": True, "Warehouses": {"all": False}}
    shop.site.clock.ms = ordered + 30 * DAY - 1
    assert shop.settle() == []
    shop.site.clock.ms += 1
    (told,) = shop.settle()
    assert (told["traits"], told["timestamp"]) == ({KEY: False}, iso(ordered + 30 * DAY))
    shop.site.clock.ms += DAY
    shop.ordered("42")
    assert values(shop.settle()) == [("42", True)]
    assert shop.settle() == []


def test_a_first_run_tells_everybody_who_is_in_and_then_changes_alone(shop: Shop) -> None:
    for number in range(3):
        shop.known(f"u{number}")
    shop.ordered("u1")
    shop.ordered("u2")
    assert shop.settle() == []
    made = shop.audience(NAME, BOUGHT)
    assert values(shop.settle()) == [("u1", True), ("u2", True)]
    shop.ordered("u0")
    shop.ordered("u1")
    assert values(shop.settle()) == [("u0", True)]
    found = shop.site.get(f"/audiences/{made['id']}")
    assert (found["status"], found["size"]) == ("live", 3)
    members = shop.site.get(f"/audiences/{made['id']}/members", limit=2)
    assert [(each["person"]["uid"], each["told"]) for each in members["data"]] == [("u0", True), ("u1", True)]
    rest = shop.site.get(f"/audiences/{made['id']}/members", limit=2, cursor=members["next"])
    assert [each["person"]["uid"] for each in rest["data"]] == ["u2"]
    assert rest["data"][0]["until"] == iso(shop.site.clock() + 30 * DAY)
    assert shop.site.get("/customers/u1")["audiences"] == [KEY]
    why = shop.site.get(f"/customers/u1/audiences/{KEY}/why")
    assert (why["member"], why["since"]) == (True, iso(shop.site.clock()))


def test_who_enters_waits_for_no_first_run(shop: Shop) -> None:
    """First runs wait for what is not folded yet; whoever enters or leaves meanwhile does not."""
    shop.start(at_once=2, firsts_under_way=2)
    for number in range(5):
        shop.known(f"u{number}")
    shop.settle()
    shop.audience("Known", {"event": "Order Completed", "performed": False})
    shop.audience(NAME, BOUGHT)
    shop.process()
    shop.site.clock.ms += DAY
    shop.ordered("u4")
    shop.process()
    assert values(shop.tell()) == [("u0", True), ("u1", True), ("u4", True)]
    assert shop.teller.is_full
    assert values(shop.settle()) == [("u2", True), ("u3", True)]
    assert not shop.teller.is_full


def test_our_own_message_changes_nothing_but_what_is_told(shop: Shop) -> None:
    shop.audience(NAME, BOUGHT, trackCalls=True)
    shop.known("42")
    shop.ordered("42")
    told = shop.settle()
    assert [(each["type"], each.get("event")) for each in told] == [("identify", None), ("track", "Audience Entered")]
    assert shop.site.get("/customers/42")["traits"] == {}
    assert [each["event"] for each in shop.site.get("/customers/42/timeline")["data"] if each["type"] == "track"] == [
        "Order Completed"
    ]
    assert len(shop.site.get("/customers")["data"]) == 1


def test_who_is_killed_before_the_append_tells_at_the_next_start(shop: Shop) -> None:
    shop.audience(NAME, BOUGHT)
    shop.known("42")
    shop.ordered("42")
    shop.process()
    assert shop.teller.look() is not None
    shop.start()
    assert values(shop.settle()) == [("42", True)]


def test_who_is_killed_after_the_append_does_not_tell_again(shop: Shop) -> None:
    shop.audience(NAME, BOUGHT)
    shop.known("42")
    shop.ordered("42")
    shop.process()
    first = shop.tell()
    assert values(first) == [("42", True)]
    assert shop.tell() == []  # It is under way.
    shop.start()
    assert shop.tell() == []  # What the log has may be it.
    assert shop.settle() == []


def test_two_who_tell_the_same_say_it_with_one_id(shop: Shop) -> None:
    shop.audience(NAME, BOUGHT)
    shop.known("42")
    shop.ordered("42")
    shop.process()
    (one,) = shop.tell()
    shop.teller.wait_for(0)
    (other,) = shop.tell()
    assert one == other
    assert shop.settle() == []
    (trace,) = shop.site.get(f"/messages/{one['messageId']}")["data"]
    assert len(trace["duplicates"]) == 1
    shop.site.clock.ms += 30 * DAY
    assert values(shop.settle()) == [("42", False)]


def test_what_changes_back_before_it_is_folded_is_told_after_all(shop: Shop) -> None:
    shop.audience(NAME, {"trait": "plan", "op": "=", "value": "gold"})
    shop.known("42", plan="gold")
    shop.process()
    assert values(shop.tell()) == [("42", True)]
    shop.site.clock.ms += 1_000
    shop.known("42", plan="free")
    assert values(shop.settle()) == [("42", False)]


def test_what_is_paused_tells_differences_once_it_goes_on(shop: Shop) -> None:
    made = shop.audience(NAME, BOUGHT)
    shop.known("1")
    shop.known("2")
    shop.ordered("1")
    assert values(shop.settle()) == [("1", True)]
    shop.site.api("PATCH", f"/audiences/{made['id']}", {"status": "paused"})
    shop.ordered("2")
    assert shop.settle() == []
    shop.site.api("PATCH", f"/audiences/{made['id']}", {"status": "live"})
    assert values(shop.settle()) == [("2", True)]


def test_an_edit_tells_differences(shop: Shop) -> None:
    made = shop.audience(NAME, BOUGHT)
    for uid, total in (("1", 10), ("2", 200)):
        shop.known(uid)
        shop.ordered(uid, total)
    assert values(shop.settle()) == [("1", True), ("2", True)]
    dear = {**BOUGHT, "where": [{"property": "total", "op": ">", "value": 100}]}
    shop.site.api("PATCH", f"/audiences/{made['id']}", {"condition": dear})
    assert values(shop.settle()) == [("1", False)]


def test_a_computed_trait_is_told_with_exact_numbers(shop: Shop) -> None:
    asked = {"name": "Spent", "kind": "sum", "event": "Order Completed", "property": "total", "within": {"days": 30}}
    assert shop.site.api("POST", "/traits", asked).status == 201
    shop.known("42")
    shop.ordered("42", 0.1)
    shop.ordered("42", 0.2)
    assert values(shop.settle()) == [("42", 0.3)]
    shop.site.clock.ms += 30 * DAY
    assert values(shop.settle()) == [("42", 0)]


def test_some_destinations_are_told_and_others_are_not(shop: Shop) -> None:
    destinations = shop.site.get("/destinations")["data"]
    other = {**{key: destinations[0][key] for key in ("name", "sources")}, "endpoint": "https://example.com"}
    made = shop.site.api("POST", "/destinations", {**other, "settings": {"apiKey": "k"}}).json()
    shop.audience(NAME, BOUGHT, destinations=[made["id"]])
    engage = next(each["id"] for each in shop.site.get("/sources")["data"] if each["type"] == "engage")
    shop.site.api("PATCH", f"/destinations/{made['id']}", {"sources": [engage]})
    shop.known("42")
    shop.ordered("42")
    (told,) = shop.settle()
    assert told["integrations"] == {"All": False, made["id"]: True, "Warehouses": {"all": False}}
    (trace,) = shop.site.get(f"/messages/{told['messageId']}")["data"]
    decisions = {each["destination"]: each["outcome"] for each in trace["decisions"]}
    assert decisions == {destinations[0]["id"]: "filtered", made["id"]: "kept"}


def test_a_source_cannot_set_a_key_in_use(shop: Shop) -> None:
    shop.known("42", buyers="since 2020")
    shop.settle()
    assert shop.site.get("/customers/42")["traits"] == {"buyers": "since 2020"}
    shop.site.clock.ms += 1_000
    made = shop.audience("Buyers", BOUGHT)
    shop.known("42", buyers=True, plan="gold")
    shop.settle()
    assert shop.site.get("/customers/42")["traits"] == {"buyers": "since 2020", "plan": "gold"}
    (trace,) = shop.site.get("/messages/m2")["data"]
    assert {"what": "key_in_use", "key": "buyers"} in trace["changes"]
    shop.site.clock.ms += 1_000
    assert shop.site.api("DELETE", f"/audiences/{made['id']}").status == 204
    shop.site.clock.ms += 1_000
    shop.known("42", buyers="again")
    shop.settle()
    assert shop.site.get("/customers/42")["traits"]["buyers"] == "again"


def test_what_cannot_be_computed_fails_with_a_reason_and_all_else_goes_on(shop: Shop) -> None:
    made = shop.audience("Buyers", BOUGHT)
    shop.audience("Others", BOUGHT)
    broken = shop.audience("Callers", {"audience": "buyers"})
    shop.known("42")
    shop.ordered("42")
    assert len(shop.settle()) == 3
    good = define(shop, made["id"], '{"what": {"condition": {"telepathy": 1}, "visitors": false}, "audiences": {}}')
    define(
        shop,
        broken["id"],
        '{"what": {"condition": {"audience": "x"}, "visitors": false}, "audiences": {}, "traits": {}}',
    )
    shop.known("43")
    shop.ordered("43")
    assert values(shop.settle()) == [("43", True)]  # Of the others.
    found = shop.site.get("/audiences/buyers")
    assert (found["status"], found["next"]["code"]) == ("failed", "unreadable_definition")
    assert "cannot read it" in found["next"]["problem"]
    found = shop.site.get("/audiences/callers")
    assert (found["status"], found["next"]["code"]) == ("failed", "asked_is_gone")
    assert "'x'" in found["next"]["problem"]
    assert shop.site.api("PATCH", "/audiences/buyers", {"includeVisitors": True}).status == 409
    assert shop.site.api("PATCH", "/audiences/buyers", {"status": "live"}).status == 200
    assert shop.settle() == []
    assert shop.site.get("/audiences/buyers")["status"] == "failed"  # It cannot be read now either.
    define(shop, made["id"], good)
    assert shop.site.api("PATCH", "/audiences/buyers", {"status": "live"}).status == 200
    assert values(shop.settle()) == [("43", True)]
    found = shop.site.get("/audiences/buyers")
    assert (found["status"], found["size"]) == ("live", 2)


def define(shop: Shop, id_: str, text: str) -> str:
    """Has the newest version of an audience say something else, as another version of ours may; gives what it said."""
    newest = (
        "number = (SELECT max(number) FROM plans WHERE computation = (SELECT number FROM computations WHERE id = ?))"
    )
    with shop.engines[1].begin() as account:
        before = str(fetch(account, f"SELECT defined FROM plans WHERE {newest}", id_)[0][0])
        run(account, f"UPDATE plans SET defined = ? WHERE {newest}", text, id_)
        changed(account)
    return before
