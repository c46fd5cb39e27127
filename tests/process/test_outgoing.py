"""Outgoing: what destinations outside are to get stands in the outbox, with the messages themselves."""

import json
from typing import Any

import pytest

from richpanel.process.rebuilding import position_of
from richpanel.store.bulk import fetch
from richpanel.store.database import open_engine
from richpanel.store.destinations import DestinationChanges, add_destination, delete_destination, update_destination
from richpanel.store.secrets import SecretBox, open_secrets
from tests.process.account import ARRIVAL, Account, Arrived, on_sqlite
from tests.process.calls import call, identify, page, track
from tests.process.test_erasure import erase
from tests.process.test_rebuilding import rebuilding

URL = "https://api.example.com"


class Outside:
    """An account with a destination outside that is connected to Website and Backend."""

    def __init__(self, account: Account, box: SecretBox) -> None:
        self.account = account
        self.box = box
        with account.account_engine.begin() as connection:
            sources = [account.source(name).id for name in ("Website", "Backend")]
            changes = DestinationChanges(sources=sources, api_key="k", endpoint=URL)
            self.row = add_destination(connection, box, "richpanel", changes, now=1)

    def change(self, changes: DestinationChanges) -> None:
        with self.account.account_engine.begin() as connection:
            update_destination(connection, self.box, self.row.id, changes)

    def delete(self) -> None:
        with self.account.account_engine.begin() as connection:
            delete_destination(connection, self.row.id, now=2)

    def outbox(self) -> list[tuple[object, ...]]:
        """Messages in the outbox in log order: whose they are, and their lane."""
        return self.account.rows(
            "SELECT i.value, a.value, o.lane FROM outbox o JOIN messages m ON m.n = o.n AND m.place = o.place "
            "JOIN identities i ON i.id = o.identity LEFT JOIN identities a ON a.id = o.alias "
            f"WHERE o.destination = {self.row.number} ORDER BY o.place"
        )


@pytest.fixture
def outside(account: Account) -> Outside:
    return Outside(account, open_secrets(account.directory.path))


def decided(account: Account) -> dict[str, Any]:
    """What the destinations decided about the newest message, by outcome."""
    (text,) = account.rows(
        "SELECT d.value FROM messages m JOIN names d ON d.id = m.decisions ORDER BY m.n DESC LIMIT 1"
    )
    return {each["destination"]: (each["outcome"], each.get("code")) for each in json.loads(text[0])}


def test_what_is_kept_for_it_is_in_the_outbox(outside: Outside) -> None:
    account = outside.account
    account.send(track(1, "Order Completed", "ann", "dev"), page(2, None, "dev"))
    account.send(track(3, "Order Refunded", "bob"), source="Backend", door="import")
    account.send(track(4, "Elsewhere", "bob"), source="App")
    assert outside.outbox() == [("ann", "dev", 0), ("dev", None, 0), ("bob", None, 1)]


def test_what_is_not_kept_for_it_is_not(outside: Outside) -> None:
    account = outside.account
    account.send(call("screen", 1, "ann", None, name="Home"))
    account.send(track(2, "Off", "ann", None) | {"integrations": {"Richpanel": False}})
    account.send(identify(3, None, "dev", plan="gold"))
    assert decided(account)[outside.row.id] == ("filtered", "uid_required")
    assert set(decided(account).values()) == {("filtered", "uid_required"), ("kept", None)}
    account.send(track(1, "Off", "ann", None, a=1), track(5, "On", "ann"))
    account.send(track(5, "On", "ann"))  # A repeat.
    assert len(outside.outbox()) == 2
    outside.change(DestinationChanges(enabled=False))
    account.send(track(6, "Nowhere", "ann"))
    assert len(outside.outbox()) == 2


@on_sqlite
def test_a_state_that_is_made_anew_has_the_same_rows(outside: Outside) -> None:
    account = outside.account
    account.send(track(1, "One", "ann", "dev"), page(2, None, "dev"))
    outside.delete()
    account.send(track(3, "Two", "ann"))
    kept = "SELECT place, destination, lane FROM outbox ORDER BY place"
    before = account.rows(kept)
    with rebuilding(account) as (made, url):
        assert made.advance(position_of(account.state_engine), lambda _: True)
        engine = open_engine(url)
        with engine.connect() as connection:
            assert [tuple(row) for row in fetch(connection, kept)] == before
        engine.dispose()
    assert len(before) == 2


def test_somebody_who_is_erased_is_in_no_outbox(outside: Outside) -> None:
    account = outside.account
    account.send(identify(1, "ann", "dev"), track(2, "One", "ann"), track(3, "Two", "bob"))
    erase(account, uid="ann")
    assert outside.outbox() == [("bob", None, 0)]
    assert account.rows("SELECT count(*) FROM outbox") == [(1,)]


def test_of_two_with_one_id_the_one_that_counts_is_in_it(outside: Outside) -> None:
    """The server's clock went back: the second one counts, and the first one's place is nobody's."""
    account = outside.account
    account.write([Arrived([track(1, "One", "ann")], at=ARRIVAL + 5000), Arrived([track(1, "One", "ann")], at=ARRIVAL)])
    account.process()
    assert account.rows("SELECT o.place - m.place FROM outbox o JOIN messages m ON m.n = o.n") == [(0,)]
    assert account.rows("SELECT count(*) FROM outbox") == [(1,)]
