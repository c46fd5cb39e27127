"""What is asked of deliveries: done once, counted once, and nobody waits for what was dropped."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from richpanel.store import delivery_requests
from richpanel.store.database import open_engine, sqlite_url
from richpanel.store.deliveries import DEAD, DELIVERED, FAILED, QUEUED, RETRYING, Attempt, Result
from richpanel.store.delivery_requests import Action, Asked
from richpanel.store.migrating import migrate
from richpanel.store.urls import schema_url
from tests.postgres_server import PostgresServer
from tests.store.test_deliveries import ANN, BOB, NOW, OUTSIDE, PHONE, Both, both

__all__ = ["both"]
LATER = NOW + 600_000
COUNTED = "SELECT status, code, sum(count) FROM figures WHERE status <> 0 GROUP BY status, code HAVING sum(count) <> 0"


def put_off(both: Both) -> None:
    """Ann's first call is tried again later, and her next ones, by either id, wait for it; Bob's is queued."""
    both.sent((100, ANN, PHONE), (200, ANN, 0), (300, PHONE, 0), (400, BOB, 0))
    both.take_over()
    tried = Attempt(NOW, 5, 503, "answered_5xx", b"{}", b"busy")
    both.record(Result(both.due()[0], RETRYING, NOW, tried, "answered_5xx", LATER))


def grant(both: Both, *asked: tuple[int, Action], now: int = NOW + 1) -> None:
    with both.delivery.begin() as connection:
        delivery_requests.grant(connection, [Asked(id, OUTSIDE, action, now) for id, action in asked], now)


def test_what_waits_behind_a_dropped_one_goes_on(both: Both) -> None:
    put_off(both)
    assert both.places() == [400]
    grant(both, (1, "drop"))
    assert both.places(now=NOW + 1) == [200, 300, 400]
    assert both.rows("SELECT status, code, attempts, finished_at FROM deliveries WHERE id = 1") == [
        (FAILED, "dropped", 1, NOW + 1)
    ]
    assert both.rows("SELECT count(*) FROM attempts") == [(1,)]
    assert sorted(both.rows(COUNTED)) == [(RETRYING, "answered_5xx", 1), (FAILED, "dropped", 1)]


def test_dropping_twice_counts_once(both: Both) -> None:
    put_off(both)
    grant(both, (1, "drop"), (4, "drop"))
    grant(both, (1, "drop"), (1_000, "drop"), now=NOW + 2)
    assert sorted(both.rows(COUNTED))[1:] == [(FAILED, "dropped", 2)]
    assert both.rows("SELECT finished_at FROM deliveries WHERE id = 1") == [(NOW + 1,)]


def test_a_dead_letter_counts_as_dropped_and_no_more_as_dead(both: Both) -> None:
    put_off(both)
    (bob,) = both.due()
    both.record(Result(bob, DEAD, NOW, Attempt(NOW, 5, 503, "answered_5xx"), "answered_5xx"))
    grant(both, (bob.id, "drop"), now=NOW + 120_000)
    assert sorted(both.rows(COUNTED)) == [(RETRYING, "answered_5xx", 1), (FAILED, "dropped", 1)]
    assert both.rows(f"SELECT status, code FROM deliveries WHERE id = {bob.id}") == [(FAILED, "dropped")]


def test_who_dropped_one_is_kept_with_it(both: Both) -> None:
    put_off(both)
    asked = [
        Asked(1, OUTSIDE, "drop", NOW, "ann"),
        Asked(4, OUTSIDE, "drop", NOW),
        Asked(2, OUTSIDE, "retry", NOW, "bob"),
    ]
    with both.delivery.begin() as connection:
        delivery_requests.grant(connection, asked, NOW + 1)
    with both.delivery.begin() as connection:
        delivery_requests.grant(connection, [Asked(1, OUTSIDE, "drop", NOW + 2, "bob")], NOW + 2)
    assert both.rows("SELECT id, dropped_by FROM deliveries ORDER BY id") == [
        (1, "ann"),
        (2, None),
        (3, None),
        (4, None),
    ]


def test_what_arrived_or_failed_stays_as_it_is(both: Both) -> None:
    put_off(both)
    (bob,) = both.due()
    both.record(Result(bob, DELIVERED, NOW, Attempt(NOW, 5, 200)))
    grant(both, (bob.id, "drop"), (2, "retry"))
    assert both.rows("SELECT id, status FROM deliveries ORDER BY id") == [
        *((1, RETRYING), (2, QUEUED), (3, QUEUED), (bob.id, DELIVERED)),
    ]
    assert both.places(now=NOW + 1) == []


def test_one_that_is_to_be_tried_now_is_due_with_its_elders_first(both: Both) -> None:
    put_off(both)
    grant(both, (1, "retry"))
    assert both.places(now=NOW + 1) == [400, 100]
    assert both.rows("SELECT due_at FROM deliveries ORDER BY id") == [
        *((NOW + 1,), (NOW,), (NOW,), (NOW,)),
    ]
    grant(both, (1, "retry"), now=NOW + 50)
    assert both.rows("SELECT due_at FROM deliveries WHERE id = 1") == [(NOW + 1,)]


@pytest.fixture(params=["sqlite", "postgresql"])
def account(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    url = sqlite_url(tmp_path, "account")
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        url = schema_url(server.create(tmp_path.name), "account")
    migrate(url, "account")
    engine = open_engine(url)
    yield engine
    engine.dispose()


def test_a_note_stays_until_just_that_is_done(account: Engine) -> None:
    first, other = Asked(7, OUTSIDE, "retry", NOW, "ann"), Asked(8, OUTSIDE, "drop", NOW + 1)
    instead = Asked(7, OUTSIDE, "drop", NOW + 2, "bob")
    with account.begin() as connection:
        for each in (first, other):
            delivery_requests.ask(connection, each)
        found = delivery_requests.waiting(connection)
        assert found == [first, other]
        delivery_requests.ask(connection, instead)
        delivery_requests.done(connection, found)
        assert delivery_requests.waiting(connection) == [instead]
        assert delivery_requests.asked_of(connection, 7) == "drop"
        assert delivery_requests.asked_of(connection, 8) is None
