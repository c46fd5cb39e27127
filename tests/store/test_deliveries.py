"""Deliveries: taken over once, claimed in each person's order, recorded with every try; the same on either engine."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine

from richpanel.store import deliveries, outbox, schema
from richpanel.store import message_rows as messages
from richpanel.store import progress as progress_rows
from richpanel.store.bulk import fetch, insert, run
from richpanel.store.database import open_engine, sqlite_url
from richpanel.store.deliveries import (
    ACCEPTED,
    BULK,
    DEAD,
    DELIVERED,
    FAILED,
    LIVE,
    QUEUED,
    RETRYING,
    SUPERSEDED,
    Attempt,
    Delivery,
    Result,
)
from richpanel.store.migrating import migrate
from richpanel.store.urls import schema_url
from tests.postgres_server import PostgresServer

OUTSIDE, OTHER = 3, 4
NOW = 1_760_000_000_000
ANN, BOB, PHONE = 11, 12, 13
TAKEN = "SELECT destination, place, n, identity, alias, lane, status, attempts, received_at FROM deliveries"


@dataclass
class Both:
    """A state with an outbox, and the deliveries."""

    state: Engine
    delivery: Engine

    def sent(self, *rows: tuple[int, ...], destination: int = OUTSIDE, lane: int = LIVE) -> None:
        """Messages (place, identity, alias) for a destination, applied as the worker does."""
        with self.state.begin() as connection:
            for place, identity, alias in rows:
                known = fetch(connection, "SELECT 1 FROM messages WHERE n = ?", place)
                if not known:
                    insert(connection, schema.messages, [message(place, identity, alias)])
                outbox.add(connection, [(place, destination, place, identity, alias, lane)])
            mark = max(progress_rows.read(connection).position, *(place + 1 for place, _, _ in rows))
            progress_rows.advance(connection, mark, mark, NOW)

    def take_over(self, destination: int = OUTSIDE, limit: int = 5_000) -> int:
        with self.delivery.begin() as connection, self.state.connect() as state:
            return deliveries.take_over(connection, state, destination, now=NOW, limit=limit)

    def due(self, *, lane: int = LIVE, now: int = NOW, without: Sequence[int] = ()) -> list[Delivery]:
        with self.delivery.connect() as connection:
            return deliveries.due(connection, OUTSIDE, lane, now=now, limit=100, without=without)

    def places(self, *, lane: int = LIVE, now: int = NOW, without: Sequence[int] = ()) -> list[int]:
        return [each.place for each in self.due(lane=lane, now=now, without=without)]

    def standing(self, *, after: int = 0, limit: int = 100) -> list[tuple[int, int]]:
        """The places of what is not finished, with when each is due."""
        with self.delivery.connect() as connection:
            rows = deliveries.standing(connection, OUTSIDE, after, limit)
            found = deliveries.load(connection, [row[0] for row in rows])
        return [(found[id_].place, due_at) for id_, _, _, _, due_at in rows]

    def record(self, *results: Result) -> None:
        with self.delivery.begin() as connection:
            deliveries.record(connection, results)

    def rows(self, statement: str) -> list[tuple[object, ...]]:
        with self.delivery.connect() as connection:
            return [tuple(row) for row in fetch(connection, statement)]


def message(n: int, identity: int, alias: int) -> tuple[int | None, ...]:
    return (n, n, 10, 4, 0, 1, 1, NOW, NOW - 500, identity, alias or None, None, 0, None)


@pytest.fixture(params=["sqlite", "postgresql"])
def both(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Both]:
    if request.param == "sqlite":
        urls = (sqlite_url(tmp_path, "state"), sqlite_url(tmp_path, "delivery"))
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.create(tmp_path.name)
        urls = (schema_url(url, "state"), schema_url(url, "delivery"))
    migrate(urls[0], "state")
    migrate(urls[1], "delivery")
    made = Both(open_engine(urls[0]), open_engine(urls[1]))
    yield made
    made.state.dispose()
    made.delivery.dispose()


def test_each_message_is_taken_over_once(both: Both) -> None:
    both.sent((100, ANN, 0), (200, BOB, PHONE))
    both.sent((100, ANN, 0), destination=OTHER)
    assert both.take_over() == 2
    assert both.take_over() == 0
    both.sent((300, ANN, 0))
    assert both.take_over(limit=1) == 1
    assert both.rows(TAKEN) == [
        (OUTSIDE, 100, 100, ANN, 0, LIVE, QUEUED, 0, NOW - 500),
        (OUTSIDE, 200, 200, BOB, PHONE, LIVE, QUEUED, 0, NOW - 500),
        (OUTSIDE, 300, 300, ANN, 0, LIVE, QUEUED, 0, NOW - 500),
    ]  # fmt: skip
    run_in(both.delivery, "DELETE FROM cursors")  # As after a restore of an older copy.
    both.take_over()
    assert len(both.rows("SELECT 1 FROM deliveries")) == 3


def run_in(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        run(connection, statement)


def test_a_full_take_over_goes_on_where_it_stopped(both: Both) -> None:
    both.sent(*((place, ANN, 0) for place in range(1, 8)))
    assert [both.take_over(limit=3) for _ in range(4)] == [3, 3, 1, 0]
    assert [row[0] for row in both.rows("SELECT place FROM deliveries ORDER BY id")] == list(range(1, 8))


def test_what_is_above_the_low_water_mark_is_left(both: Both) -> None:
    both.sent((100, ANN, 0), (300, ANN, 0))
    run_in(both.state, "UPDATE progress SET position = 200")
    assert both.take_over() == 1
    both.sent((150, BOB, 0))  # Another worker's, which is applied later.
    run_in(both.state, "UPDATE progress SET position = 140")
    assert both.take_over() == 0
    run_in(both.state, "UPDATE progress SET position = 400")
    both.take_over()
    assert [row[0] for row in both.rows("SELECT place FROM deliveries ORDER BY place")] == [100, 300]


def test_a_person_s_calls_are_claimed_one_after_the_other(both: Both) -> None:
    both.sent((100, ANN, 0), (200, BOB, PHONE), (300, ANN, 0), (400, PHONE, 0), (500, 99, 0))
    both.take_over()
    assert both.places() == [100, 200, 500]
    ann, bob, _ = both.due()
    assert both.places(without=[ann.id, bob.id]) == [500]
    both.record(Result(bob, DELIVERED, NOW, Attempt(NOW, 12, 200, None, b"{}", b"ok")))
    assert both.places() == [100, 400, 500]
    both.record(Result(ann, FAILED, NOW, Attempt(NOW, 5, 400, "answered_400", b"{}", b"no"), "answered_400"))
    assert both.places() == [300, 400, 500]


@pytest.mark.parametrize("status", [DELIVERED, ACCEPTED, SUPERSEDED, FAILED, DEAD])
def test_whatever_is_finished_holds_up_nobody(both: Both, status: int) -> None:
    both.sent((100, ANN, 0), (200, ANN, 0))
    both.take_over()
    both.record(Result(both.due()[0], status, NOW, code="superseded"))
    assert both.places() == [200]


def test_an_alias_waits_for_whom_it_is_beside(both: Both) -> None:
    """Somebody's calls before and after the login share the anonymousId; a later login of somebody else's does, too."""
    both.sent((100, PHONE, 0), (200, ANN, PHONE), (300, BOB, PHONE), (400, BOB, 0))
    both.take_over()
    seen = []
    while found := both.due():
        seen += [each.place for each in found]
        both.record(*(Result(each, DELIVERED, NOW) for each in found))
    assert seen == [100, 200, 300, 400]


def test_lanes_and_destinations_do_not_wait_for_each_other(both: Both) -> None:
    both.sent((100, ANN, 0), lane=BULK)
    both.sent((200, ANN, 0))
    both.sent((50, ANN, 0), destination=OTHER)
    both.take_over()
    both.take_over(OTHER)
    assert both.places() == [200]
    assert both.places(lane=BULK) == [100]


def test_what_is_tried_again_waits_until_it_is_due(both: Both) -> None:
    both.sent((100, ANN, 0), (200, ANN, PHONE), (300, BOB, 0))
    both.take_over()
    first = both.due()[0]
    again = Result(first, RETRYING, NOW, Attempt(NOW, 5_000, None, "answer_timed_out"), "answer_timed_out", NOW + 9_000)
    both.record(again)
    assert both.places() == [300]
    assert both.rows("SELECT due_at FROM deliveries ORDER BY place") == [(NOW + 9_000,), (NOW,), (NOW,)]
    assert both.places(now=NOW + 9_000) == [300, 100]
    assert both.standing() == [(100, NOW + 9_000), (200, NOW), (300, NOW)]
    assert both.standing(after=first.id, limit=1) == [(200, NOW)]
    (one,) = [each for each in both.due(now=NOW + 9_000) if each.place == 100]
    assert (one.status, one.attempts, one.code) == (RETRYING, 1, "answer_timed_out")
    both.record(Result(one, DELIVERED, NOW + 9_100, Attempt(NOW + 9_000, 100, 200, None, b"{}", b"x" * 9_000)))
    assert both.rows("SELECT number, status_code, code, length(response) FROM attempts ORDER BY number") == [
        (1, None, "answer_timed_out", None),
        (2, 200, None, 4_096),
    ]
    assert both.places(now=NOW + 9_000) == [200, 300]


def test_nothing_is_kept_of_what_is_forgotten_meanwhile(both: Both) -> None:
    both.sent((100, ANN, 0), (200, BOB, 0))
    both.take_over()
    ann, bob = both.due()
    both.record(Result(ann, RETRYING, NOW, Attempt(NOW, 5, 500, request=b"Ann"), due_at=NOW))
    with both.delivery.begin() as connection:
        assert deliveries.forget(connection, [100, 100, 900]) == (1, 1)
    both.record(Result(ann, DELIVERED, NOW, Attempt(NOW, 5, 200, request=b"Ann")), Result(bob, DELIVERED, NOW))
    assert both.rows("SELECT place, status FROM deliveries") == [(200, DELIVERED)]
    assert both.rows("SELECT * FROM attempts") == []


def test_a_state_that_is_made_anew_numbers_what_waits(both: Both) -> None:
    both.sent((100, ANN, 0), (200, ANN, 0), (300, BOB, 0))
    both.take_over()
    both.record(Result(both.due()[1], DELIVERED, NOW))
    run_in(both.state, "UPDATE outbox SET n = 7, identity = 21, alias = 22 WHERE place = 200")
    run_in(both.state, "DELETE FROM outbox WHERE place = 100")
    with both.delivery.begin() as connection, both.state.connect() as state:
        deliveries.renumber(connection, state, OUTSIDE, now=NOW, at_once=1)
    assert both.rows("SELECT place, n, identity, alias, status, code FROM deliveries ORDER BY place") == [
        (100, 100, ANN, 0, FAILED, "message_gone"),
        (200, 7, 21, 22, QUEUED, None),
        (300, 300, BOB, 0, DELIVERED, None),
    ]


def test_a_message_that_is_removed_leaves_the_outbox(both: Both) -> None:
    both.sent((100, ANN, 0), (200, ANN, 0))
    with both.state.begin() as connection:
        messages.remove(connection, [100])
        assert outbox.numbers(connection, OUTSIDE, [100, 200]) == {200: (200, ANN, 0)}
