"""Destination filters at the built-in account (semantics.md 7): decided once, before anything is folded."""

from typing import Any

import msgspec
import pytest

from richpanel.core.cut import Cut, Step
from richpanel.core.filters import Filters, Verdict
from richpanel.core.ids import BLOCKED_IDS
from richpanel.core.record import Meta
from richpanel.process.incoming import cut_short, make_whole, open_item
from richpanel.store.timeline import list_timeline
from tests.process.account import ARRIVAL, Account, Arrived, on_sqlite
from tests.process.calls import activity, identify, page, track
from tests.process.dump import customer, dump, paged, people
from tests.process.test_deciding import change, decided
from tests.process.test_rebuilding import different, rebuilt
from tests.process.test_repeats import traced

DROP_PAGES = {"title": "No pages", "if": "type = 'page'", "actions": [{"type": "DROP"}]}


def cutting(part: str, *keys: str, condition: str = "all", kind: str = "DROP_PROPERTIES") -> dict[str, Any]:
    return {"title": "Privacy", "if": condition, "actions": [{"type": kind, "fields": {part: list(keys)}}]}


def one(account: Account, message_id: str) -> dict[str, Any]:
    """What was decided about a message at the only destination."""
    (trace,) = traced(account, message_id)
    (made,) = trace["decisions"]
    return {key: value for key, value in made.items() if value is not None and key != "destination"}


def test_what_a_filter_drops_is_no_part_of_the_account(account: Account) -> None:
    change(account, 1, filters=[DROP_PAGES])
    assert decided(account, page(0, "u1")) == ("filtered", "filtered_by_rules")
    assert one(account, "page-0-u1") == {"outcome": "filtered", "code": "filtered_by_rules", "filter": "No pages"}
    account.send(track(1, "Seen", "u1"))
    assert [entry["type"] for entry in customer(account, "u1")["timeline"]] == ["track"]


def test_a_filter_that_fails_drops_and_says_so(account: Account) -> None:
    change(account, 1, filters=[{**DROP_PAGES, "if": "properties.total > 3"}])
    assert decided(account, page(0, "u1", total="12")) == ("filtered", "filter_failed")
    assert one(account, "page-0-u1") == {
        **{"outcome": "filtered", "code": "filter_failed", "filter": "No pages"},
        "reason": "`>` takes numbers, not a string.",
    }


def test_filters_stand_between_the_integrations_object_and_the_settings(account: Account) -> None:
    change(account, 1, filters=[DROP_PAGES], api_key="wrong")
    assert decided(account, {**page(0, "u1"), "integrations": {"All": False}})[1] == "filtered_by_integrations_object"
    assert decided(account, page(1, "u1"))[1] == "filtered_by_rules"
    assert decided(account, track(2, "Seen", "u1"))[1] == "invalid_settings"
    assert decided(account, {**page(3, "u1"), "type": "screen"})[1] == "unsupported_event_type"


def test_filters_are_no_concern_of_channel_activity(account: Account) -> None:
    change(account, 1, filters=[{**DROP_PAGES, "if": "all"}])
    account.send(activity(0, email="a@x"), source="Channels", door="channel")
    assert ("email", "a@x") in dump(account)


def test_a_filter_sees_the_message_as_its_trace_shows_it(account: Account) -> None:
    """The batch's context and integrations merged in, the path's type, the id given at the door, no write key."""
    condition = (
        "context.locale = 'de' and context.app = 'own' and context.ip = '1.2.3.4' and integrations.Other = true "
        "and type = 'page' and messageId = 'given' and writeKey = null"
    )
    change(account, 1, filters=[{**DROP_PAGES, "if": condition}])
    meta = {
        "context": msgspec.Raw(b'{"locale": "de", "app": "shared"}'),
        "integrations": msgspec.Raw(b'{"Other": true}'),
        **{"type": "page", "ids": {0: "given"}, "ip": "1.2.3.4"},
    }
    item = {"name": "Home", "userId": "u1", "context": {"app": "own"}, "writeKey": "secret"}
    account.write([Arrived([item], meta=meta)])
    account.process()
    assert one(account, "given")["code"] == "filtered_by_rules"


def test_traits_that_are_cut_are_nowhere(account: Account) -> None:
    change(account, 1, filters=[cutting("traits", "email", "phone")])
    account.send(identify(0, "u1", email="a@x", phone="+1 415 555 0101", plan="gold"))
    found = customer(account, "u1")
    assert found["traits"] == {"plan": "gold"}
    assert (found["email"], found["phone"]) == (None, None)
    assert found["identities"] == [("uid", "u1", None)]
    account.send(activity(1, email="a@x"), source="Channels", door="channel")
    assert ("email", "a@x") in dump(account)  # Nobody's: the address was never linked.
    (trace,) = traced(account, "identify-0-u1")
    assert trace["body"]["traits"]["email"] == "a@x"  # What was received stays in the log, and its trace shows it.
    assert trace["decisions"][0]["cut"] == {"steps": [{"path": ["traits"], "keys": ["email", "phone"]}]}
    assert trace["decisions"][0]["filter"] == "Privacy"


def shown(account: Account, uid: str) -> list[Any]:
    """The entries of a visitor's timeline, with their properties."""
    (found,) = [each for each in people(account, customers=False) if each.uid == uid]
    return paged(
        account, list_timeline, account.reader.slice, account.settings, account.sources, found.profile, limit=50
    )


def test_properties_that_are_cut_are_not_on_the_timeline(account: Account) -> None:
    change(account, 1, filters=[cutting("properties", "total", kind="ALLOW_PROPERTIES")])
    account.send(track(0, "Seen", "u1", total=10.10, secret="s", richpanel_session_id="s1"))
    (entry,) = shown(account, "u1")
    assert msgspec.json.decode(entry.properties) == {"total": 10.10}
    assert entry.session_id is not None
    assert entry.session_id != "s1"


def test_an_order_loses_what_is_cut(account: Account) -> None:
    fields = {"properties.products": ["price"], "properties": ["total"]}
    actions = [{"type": "DROP_PROPERTIES", "fields": fields}]
    change(account, 1, filters=[{"title": "Prices", "if": "all", "actions": actions}])
    account.send(
        identify(0, "u1"),
        track(1, "Order Completed", "u1", order_id="o1", total=10, products=[{"sku": "1", "price": 3}, {"sku": "2"}]),
    )
    (order,) = customer(account, "u1")["orders"]
    assert (order["total"], order["items"]) == (None, [{"sku": "1"}, {"sku": "2"}])


def test_a_context_that_is_cut_is_not_in_the_session(account: Account) -> None:
    """Nor is what the batch's own context says of it."""
    change(account, 1, filters=[cutting("context", "page", "campaign")])
    context = {"page": {"url": "https://shop.example/own"}}
    meta = {"context": msgspec.Raw(b'{"campaign": {"name": "news"}, "userAgent": "Mozilla/5.0 (iPhone)"}')}
    account.write([Arrived([{**page(0, "u1"), "context": context}], meta=meta)])
    account.process()
    (session,) = customer(account, "u1")["sessions"]
    assert (session["landingPage"], session["campaign"], session["device"]) == (None, None, "Mobile")


@on_sqlite
def test_what_was_cut_stays_so_in_a_refold_and_a_rebuild_whatever_the_filters_are_by_now(account: Account) -> None:
    change(account, 1, filters=[cutting("properties", "email", "url"), DROP_PAGES | {"if": "properties.n = 1"}])
    account.send(identify(0, "u1", email="a@x"), page(5, None, "a1", url="/1", email="b@x"), page(6, None, "a1", n=1))
    change(account, 1, filters=[])
    account.send(page(7, None, "a1", url="/2"))
    account.send(identify(1, "u1", "a1"))  # A late link: the visitor's pages are folded afresh.
    found = customer(account, "u1")
    assert (found["email"], found["landingPageUrl"]) == ("a@x", "/2")
    assert len(found["timeline"]) == 3
    change(account, 1, filters=[cutting("properties", "url")])
    assert different(rebuilt(account)) == {}


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the messages that filters were asked about."""
    found: list[str] = []
    judge = Filters.judge

    def asked(self: Filters, message: dict[str, Any]) -> Verdict:
        found.append(message["messageId"])
        return judge(self, message)

    monkeypatch.setattr(Filters, "judge", asked)
    return found


def test_only_what_a_destination_with_filters_could_take_is_decoded(account: Account, judged: list[str]) -> None:
    account.send(page(0, "u1"))
    change(account, 1, filters=[{**DROP_PAGES, "enabled": False}])
    account.send(page(1, "u1"))
    assert judged == []
    change(account, 1, filters=[DROP_PAGES])
    account.send(page(2, "u1"), {**page(3, "u1"), "type": "screen"}, {**page(4, "u1"), "integrations": {"All": False}})
    account.send(page(2, "u1"))
    assert judged == ["page-2-u1"]


def test_a_message_that_is_decided_about_again_is_whole_again(account: Account) -> None:
    """Where a transaction fails after deciding, the same messages are taken up once more."""
    meta = Meta(ARRIVAL, account.source().id, [], context=msgspec.Raw(b'{"traits": {"email": "a@x"}}'))
    message = open_item(meta, account.source(), (0, 0, 0), msgspec.json.encode(page(0, "u1", email="b@x")))
    before, inside = message.message, message.inside
    cut = Cut((Step(("properties",), ("email",)), Step(("context", "traits"), ("email",))))
    for _ in range(2):
        cut_short(message, cut, BLOCKED_IDS)
        assert message.inside is not None
        assert message.inside.email is None
        make_whole(message)
        make_whole(message)
        assert (message.message, message.inside) == (before, inside)


def test_a_sample_is_the_same_however_often_it_is_decided(account: Account) -> None:
    sample = {"title": "Half", "if": "all", "actions": [{"type": "SAMPLE", "percent": 0.5, "path": "userId"}]}
    change(account, 1, filters=[sample])
    account.send(*(page(minute, f"u{person}") for minute in range(3) for person in range(20)))
    kept = {who[1]: len(found["timeline"]) for who, found in dump(account).items()}
    assert 0 < len(kept) < 20
    assert set(kept.values()) == {3}
