"""Retention of deliveries: what is finished goes with its tries, dead letters stay, and no count shrinks."""

from richpanel.store import delivery_retention
from richpanel.store.bulk import fetch
from richpanel.store.deliveries import DEAD, DELIVERED, FAILED, QUEUED, RETRYING, SUPERSEDED, Attempt, Result
from richpanel.store.delivery_waiting import Waiting, waiting
from tests.store.test_deliveries import ANN, NOW, OTHER, OUTSIDE, Both, both

__all__ = ["both"]
MINUTE = 60_000
DAY = 86_400_000


def settled(both: Both) -> None:
    """Of each fate one, an hour apart, and one that waits."""
    both.sent(*((place, place, 0) for place in range(1, 8)))
    both.take_over()
    for hour, (one, status) in enumerate(
        zip(both.due(), (DELIVERED, FAILED, SUPERSEDED, DEAD, RETRYING), strict=False)
    ):
        at = NOW + hour * 60 * MINUTE
        tried = None if status == SUPERSEDED else Attempt(at, 5, 200, request=b"of a person")
        both.record(Result(one, status, at, tried, due_at=at + MINUTE))


def drop(both: Both, before: int, limit: int = 1_000, destination: int = OUTSIDE) -> int:
    with both.delivery.begin() as connection:
        return delivery_retention.drop_finished(connection, destination, before=before, limit=limit)


def test_what_was_finished_before_goes_with_its_tries(both: Both) -> None:
    settled(both)
    assert drop(both, NOW) == 0
    assert drop(both, NOW + 30 * MINUTE) == 1
    assert both.rows("SELECT place FROM deliveries ORDER BY place") == [(place,) for place in range(2, 8)]
    assert drop(both, NOW + 100 * DAY, destination=OTHER) == 0
    assert drop(both, NOW + 100 * DAY) == 2
    assert both.rows("SELECT place, status FROM deliveries ORDER BY place") == [
        (4, DEAD),
        (5, RETRYING),
        (6, 0),
        (7, 0),
    ]
    assert len(both.rows("SELECT 1 FROM attempts")) == 2
    assert both.take_over() == 0, "what went is not taken over again"


def test_no_more_goes_at_once_than_is_said(both: Both) -> None:
    both.sent(*((place, place, 0) for place in range(1, 8)))
    both.take_over()
    both.record(*(Result(each, DELIVERED, NOW) for each in both.due()))
    assert [drop(both, NOW + DAY, limit=3) for _ in range(4)] == [3, 3, 1, 0]


def test_figures_are_added_up_and_none_is_lost(both: Both) -> None:
    settled(both)
    count = "SELECT status, sum(count) FROM figures GROUP BY status ORDER BY status"
    took = "SELECT bucket, sum(count) FROM latencies GROUP BY bucket"
    before = both.rows(count), both.rows(took)
    young = both.rows(f"SELECT * FROM figures WHERE minute >= {NOW + 30 * MINUTE} ORDER BY minute")
    steps = 0
    while True:
        with both.delivery.begin() as connection:
            gone = delivery_retention.add_up(connection, OUTSIDE, before=NOW + 30 * MINUTE, limit=1)
        if not gone:
            break
        steps += 1
    assert steps > 1
    assert (both.rows(count), both.rows(took)) == before
    assert both.rows("SELECT status FROM figures WHERE minute = 0 ORDER BY status") == [(QUEUED,), (DELIVERED,)]
    assert both.rows("SELECT * FROM figures WHERE minute > 0 ORDER BY minute") == young
    assert both.rows("SELECT minute FROM latencies") == [(0,)]


def test_what_waits_is_told_by_destination(both: Both) -> None:
    settled(both)
    both.sent((20, ANN, 0), destination=OTHER)
    with both.delivery.connect() as connection:
        found = waiting(lambda query: fetch(connection, query), [OTHER, OUTSIDE, OUTSIDE])
        assert waiting(lambda query: fetch(connection, query), []) == []
    minute = NOW - NOW % MINUTE
    assert found == [Waiting(OUTSIDE, 2, 1, 1, NOW, minute), Waiting(OTHER)]
