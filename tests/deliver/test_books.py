"""Books: what is claimed and when, whatever becomes of the state and of the destination meanwhile."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import delete

from richpanel.core.codes import Code
from richpanel.core.retrying import STATUSES
from richpanel.deliver.books import Books, Store, Turn
from richpanel.deliver.claiming import Wanted
from richpanel.deliver.payloads import Payload
from richpanel.process.definitions import Watch
from richpanel.process.worker import Worker
from richpanel.store import delivery_schema, state_files
from richpanel.store.bulk import fetch, run
from richpanel.store.database import open_engine
from richpanel.store.deliveries import DEAD, DELIVERED, RETRYING, Result
from richpanel.store.destinations import (
    DestinationChanges,
    add_destination,
    delete_destination,
    list_destinations,
    update_destination,
)
from richpanel.store.migrating import migrate
from richpanel.store.secrets import open_secrets
from tests.process.account import ARRIVAL, Account, on_sqlite
from tests.process.calls import track

MINUTE = 60_000


class Keeper:
    """The books of an account with a destination outside, and the clock that they go by."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.now = ARRIVAL + 60 * MINUTE
        self.secrets = open_secrets(account.directory.path)
        with account.account_engine.begin() as connection:
            changes = DestinationChanges(
                sources=[account.source().id], api_key="k", api_secret="s" * 20, endpoint="https://richpanel.example"
            )
            self.id = add_destination(connection, self.secrets, "richpanel", changes, now=1).id
        self.delivery = open_engine(account.directory.delivery_url)
        with self.delivery.begin() as connection:
            for table in delivery_schema.metadata.sorted_tables:  # On PostgreSQL tests share them.
                connection.execute(delete(table))
        self.books = self.fresh()
        (self.number,) = self.books.setup.destinations
        self.books.begin(self.number)

    def fresh(self) -> Books:
        """Books of somebody who begins."""
        account = self.account
        engines = self.delivery, account.account_engine, account.state_engine, account.account_engine
        return Books(Store(*engines, account.reader.slice, self.secrets, lambda: self.now))

    def turn(self, *results: Result, live: int = 10, under_way: tuple[int, ...] = ()) -> Turn:
        """Take a turn with what the definitions are by now."""
        self.books.news()
        return self.books.turn(self.books.setup.destinations[self.number], results, Wanted(live, 0, under_way, ()))

    def events(self, *results: Result, **more: Any) -> list[str]:
        """The events of what a turn claims."""
        return [each.event["event"] for each in self.turn(*results, **more).claimed]

    def change(self, **changes: Any) -> None:
        """Change the destination's settings."""
        with self.account.account_engine.begin() as connection:
            update_destination(connection, self.secrets, self.id, DestinationChanges(**changes))

    def ended(self, payload: Payload, status: int = DELIVERED, **more: Any) -> Result:
        """What became of one that was claimed."""
        return Result(payload.delivery, status, self.now, **more)

    def tries(self) -> list[tuple[Any, ...]]:
        """Each delivery that waits: its status, tries and when it is due."""
        with self.delivery.connect() as connection:
            return [tuple(row) for row in fetch(connection, "SELECT status, attempts, due_at, code FROM deliveries")]

    def rows(self) -> list[tuple[str, str | None, str | None]]:
        """Each delivery's event, status and code, in log order."""
        with self.delivery.connect() as connection:
            found = fetch(connection, "SELECT event, status, code FROM deliveries ORDER BY place")
        return [(event, STATUSES[status], code) for event, status, code in found]


@pytest.fixture
def keeper(account: Account) -> Iterator[Keeper]:
    made = Keeper(account)
    yield made
    made.delivery.dispose()


def replaced(account: Account, *, batches: int | None = None) -> Worker:
    """Make the state anew, with other numbers, and put it in force after so many batches; give who goes on with it."""
    path = state_files.create(account.directory.path)
    url = account.directory.state_file_url(path.name)
    migrate(url, "state")
    engine = open_engine(url)
    with engine.begin() as connection:
        run(connection, "INSERT INTO identities (id, hash, kind, value) VALUES (700, 5, 1, 'nobody')")
    worker = Worker(account.reader, engine, Watch(account.account_engine))
    while batches != 0 and worker.step(1) is not None:
        batches = None if batches is None else batches - 1
    engine.dispose()
    state_files.switch(account.directory.path, path.name)
    account.state_engine.dispose()
    account.restart()
    return worker


def test_a_persons_next_call_waits_until_it_is_on_record_what_became_of_the_one_before(keeper: Keeper) -> None:
    keeper.account.send(track(0, "One", "u"), track(1, "Two", "u"), track(2, "Other", "v"))
    turn = keeper.turn()
    one, other = turn.claimed
    assert [each.event["event"] for each in turn.claimed] == ["One", "Other"]
    assert keeper.events(under_way=(one.delivery.id, other.delivery.id)) == []
    assert keeper.events(keeper.ended(one, RETRYING, due_at=keeper.now + MINUTE), keeper.ended(other)) == []
    assert keeper.turn().next_due == keeper.now + MINUTE
    keeper.now += MINUTE
    (again,) = keeper.turn().claimed
    assert again.delivery.id == one.delivery.id
    assert keeper.events(keeper.ended(again, DEAD)) == ["Two"]


@on_sqlite
def test_a_state_that_is_made_anew_lets_nobody_overtake_himself(keeper: Keeper) -> None:
    account = keeper.account
    account.send(track(0, "One", "u"))
    (one,) = keeper.turn().claimed
    assert keeper.events(keeper.ended(one, RETRYING, due_at=keeper.now + MINUTE)) == []
    replaced(account)
    account.send(track(1, "Two", "u"), track(2, "Other", "v"))
    (other,) = keeper.turn().claimed
    assert other.event["event"] == "Other"
    keeper.now += MINUTE
    (again,) = keeper.turn(keeper.ended(other)).claimed
    assert again.event["event"] == "One"
    assert keeper.events(keeper.ended(again)) == ["Two"]


@on_sqlite
def test_a_state_that_is_behind_what_was_taken_over_is_waited_for_and_nothing_is_lost(keeper: Keeper) -> None:
    account = keeper.account
    for number, uid in enumerate(("u", "v", "u")):
        account.send(track(number, f"Event {number}", uid))
    first = keeper.turn()
    waits = [keeper.ended(each, RETRYING, due_at=keeper.now + MINUTE) for each in first.claimed]
    assert keeper.events(*waits) == []
    replaced(account, batches=1)
    keeper.now += MINUTE
    for begun_anew in (False, True):
        if begun_anew:
            keeper.books.begin(keeper.number)
        turn = keeper.turn()
        assert (turn.claimed, turn.more, turn.next_due) == ([], False, None)
    assert [status for _, status, _ in keeper.rows()] == ["retrying", "retrying", "queued"]
    account.process()
    found = keeper.turn().claimed
    assert [each.event["event"] for each in found] == ["Event 0", "Event 1"]
    assert keeper.events(*(keeper.ended(each) for each in found)) == ["Event 2"]


@on_sqlite
def test_what_a_new_state_is_not_to_send_is_final_and_says_so(keeper: Keeper) -> None:
    """Its decisions are made anew where the state that knew them is gone."""
    account = keeper.account
    account.send(track(0, "Dropped", "u"), track(1, "Kept", "u"))
    assert keeper.events(live=0) == []
    drop = {"title": "t", "if": "event = 'Dropped'", "actions": [{"type": "DROP"}], "enabled": True}
    keeper.change(filters=[drop])
    replaced(account)
    assert keeper.events() == ["Kept"]
    assert keeper.rows() == [("Dropped", "failed", Code.MESSAGE_GONE), ("Kept", "queued", None)]


def test_what_waits_is_sent_although_its_destination_is_switched_off(keeper: Keeper) -> None:
    keeper.account.send(track(0, "One", "u"))
    keeper.change(enabled=False)
    keeper.account.restart()
    keeper.account.send(track(1, "Two", "u"))
    (one,) = keeper.turn().claimed
    assert keeper.events(keeper.ended(one)) == []
    assert keeper.rows() == [("One", "delivered", None)]


def test_what_waits_for_a_destination_that_is_deleted_is_final_and_says_so(keeper: Keeper) -> None:
    keeper.account.send(track(0, "One", "u"), track(1, "Two", "u"))
    (one,) = keeper.turn().claimed
    assert keeper.events(keeper.ended(one, RETRYING, due_at=keeper.now + MINUTE)) == []
    with keeper.account.account_engine.begin() as connection:
        delete_destination(connection, keeper.id, now=2)
    keeper.books.news()
    assert keeper.number not in keeper.books.setup.destinations
    assert keeper.number in keeper.books.setup.ever
    assert keeper.books.drop(keeper.number) is False
    assert keeper.rows() == [(event, "failed", Code.DESTINATION_DELETED) for event in ("One", "Two")]


def test_settings_and_secret_are_those_of_the_turn(keeper: Keeper) -> None:
    keeper.account.send(track(0, "One", "u"))
    assert keeper.turn(live=0).secret is None
    keeper.change(signature_mode="sha256")
    assert keeper.turn(live=0).secret == "s" * 20
    keeper.change(api_secret="t" * 20, endpoint="https://other.example")
    assert keeper.turn(live=0).secret == "t" * 20
    with keeper.account.account_engine.connect() as connection:
        (row,) = [each for each in list_destinations(connection) if each.number == keeper.number]
    assert keeper.books.setup.destinations[keeper.number] == row
