"""Payloads: what a stored message says to Richpanel now."""

from typing import Any

import msgspec
import pytest

from richpanel.core.codes import Code
from richpanel.deliver.payloads import Known, Payload, Prepared, Strayed, Unsent, prepare
from richpanel.store import outbox
from richpanel.store.bodies import bodies_of
from richpanel.store.destinations import DestinationChanges, add_destination, list_destinations, update_destination
from richpanel.store.secrets import open_secrets
from tests.deliver.asked import asked
from tests.process.account import Account, Arrived
from tests.process.calls import identify, page, track

URL = "https://richpanel.example"


@pytest.fixture
def outside(account: Account) -> Account:
    """An account with a destination outside, connected to Website."""
    with account.account_engine.begin() as connection:
        changes = DestinationChanges(sources=[account.source().id], api_key="k", endpoint=URL)
        add_destination(connection, open_secrets(account.directory.path), "richpanel", changes, now=1)
    return account


def prepared(account: Account, destination: str = "dst", *, stray: int = 0) -> list[Prepared]:
    """What all messages in the outbox say, in log order."""
    with account.state() as state:
        (number,) = {row[0] for row in account.rows("SELECT destination FROM outbox")}
        found, _ = outbox.waiting(state, number, 0, 1_000)
        known = Known(account.settings, account.sources, destination, exact=True)
        return prepare(state, bodies_of(state, account.reader.slice), known, asked(found, number, stray=stray))


def sent(account: Account, destination: str = "dst") -> list[dict[str, Any]]:
    """The events of those that are sent."""
    return [each.event for each in prepared(account, destination) if isinstance(each, Payload)]


def test_a_call_is_said_in_richpanels_words(outside: Account) -> None:
    outside.send(identify(0, "u", email="a@example.com"), track(1, "Clicked", "u"), page(2, "u"))
    events = sent(outside)
    assert [event["event"] for event in events] == ["identify", "Clicked", "page_view"]
    assert events[0]["userProperties"] == {"uid": "u", "email": "a@example.com"}
    assert all("appClientId" not in event and "sentAt" not in event["time"] for event in events)


def test_an_identify_says_what_holds_now(outside: Account) -> None:
    outside.send(identify(0, "u", plan="basic", city="Bern"))
    outside.send(identify(1, "u", plan="gold", city=None))
    assert [event["userProperties"] for event in sent(outside)] == [{"uid": "u", "plan": "gold"}] * 2


def test_one_that_has_nothing_left_to_say_is_superseded(outside: Account) -> None:
    outside.send(identify(0, "u", plan="basic"))
    outside.send(identify(1, "u", plan=None, city="Bern"))
    first, second = prepared(outside)
    assert isinstance(first, Unsent)
    assert (first.status, first.code) == ("superseded", Code.SUPERSEDED)
    assert isinstance(second, Payload)


def test_somebody_elses_values_do_not_count(outside: Account) -> None:
    outside.send(identify(0, "u", plan="basic"), identify(1, "v", plan="gold"))
    assert [event["userProperties"]["plan"] for event in sent(outside)] == ["basic", "gold"]


def test_page_and_track_say_what_they_said(outside: Account) -> None:
    outside.send(identify(0, "u", email="new@example.com"))
    outside.send(track(1, "Clicked", "u", email="old@example.com", step=1))
    assert sent(outside)[1]["properties"] == {"email": "old@example.com", "step": 1}


def test_a_message_under_another_number_has_strayed(outside: Account) -> None:
    outside.send(track(0, "Clicked", "u"))
    assert [type(each) for each in prepared(outside, stray=1)] == [Strayed]


def test_what_a_batch_says_for_all_is_said_by_each(outside: Account) -> None:
    meta = {
        "context": msgspec.Raw(b'{"timezone":"Europe/Zurich"}'),
        "ip": "203.0.113.7",
        "ids": {0: "given-at-the-door"},
    }
    unnamed = {key: value for key, value in track(0, "Clicked", "u").items() if key != "messageId"}
    outside.write([Arrived([unnamed], meta=meta)])
    outside.process()
    (event,) = sent(outside)
    assert event["eventId"] == "given-at-the-door"
    assert event["context"]["timezone"] == "Europe/Zurich"
    assert event["context"]["ip"] == {"networkIP": "203.0.113.7"}


def test_what_filters_took_is_not_sent(outside: Account) -> None:
    """What is cut for a destination outside is cut for it alone: the account keeps it."""
    cut = {
        "title": "No prices",
        "if": "all",
        "actions": [{"type": "DROP_PROPERTIES", "fields": {"properties": ["price"]}}],
    }
    with outside.account_engine.begin() as connection:
        row = next(row for row in list_destinations(connection) if row.endpoint == URL)
        box = open_secrets(outside.directory.path)
        update_destination(connection, box, row.id, DestinationChanges(filters=[{**cut, "enabled": True}]))
    outside.send(track(0, "Clicked", "u", price=5, step=1))
    (event,) = sent(outside, row.id)
    assert event["properties"] == {"step": 1}
