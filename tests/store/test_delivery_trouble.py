"""Which destinations are in trouble, and since when; the same on either engine."""

import pytest

from richpanel.core.timestamps import iso
from richpanel.store import delivery_trouble
from richpanel.store.deliveries import DEAD, DELIVERED, FAILED, RETRYING, Attempt, Result
from richpanel.store.delivery_requests import Asked, grant
from richpanel.store.delivery_trouble import RECENT_MS, SOON_MS, Trouble, troubles
from richpanel.store.destinations import ACCOUNT, DestinationRow
from tests.store.test_deliveries import ANN, BOB, NOW, OUTSIDE, Both, both

__all__ = ["both"]


def destination(number: int, endpoint: str) -> DestinationRow:
    return DestinationRow(
        number=number,
        id=f"dst_{number}",
        name="Hosted",
        catalog_id="richpanel",
        api_key="k",
        has_secret=False,
        endpoint=endpoint,
        enabled=True,
        filters=[],
        sources=(),
        source_numbers=(),
        created_at=0,
    )


ROWS = [destination(1, ACCOUNT), destination(OUTSIDE, "https://api.richpanel.com")]


def found(both: Both, now: int) -> list[Trouble]:
    with both.delivery.connect() as connection:
        return troubles(connection, ROWS, now)


def test_calls_that_wait_for_one_that_is_tried_in_vain(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    both.sent((100, ANN, 0), (200, ANN, 0), (300, BOB, 0))
    both.take_over()
    assert found(both, NOW + SOON_MS) == []
    ann, bob = both.due()
    busy = Attempt(NOW, 5, 503, "answered_5xx")
    both.record(Result(bob, DELIVERED, NOW), Result(ann, RETRYING, NOW, busy, "answered_5xx", NOW))
    assert found(both, NOW + SOON_MS - 1) == []
    (again,) = both.due()
    late = Attempt(NOW + 2_000, 5_000, None, "answer_timed_out")
    both.record(Result(again, RETRYING, NOW + 7_000, late, "answer_timed_out", NOW + 9_000))
    (one,) = found(both, NOW + SOON_MS)
    assert one == Trouble(
        destination=f"dst_{OUTSIDE}", name="Hosted", since=iso(NOW), code="answer_timed_out", waiting=2
    )
    monkeypatch.setattr(delivery_trouble, "COUNTED", 1)
    assert [each.waiting for each in found(both, NOW + SOON_MS)] == [1]


def test_calls_that_were_refused_of_late(both: Both) -> None:
    both.sent((100, ANN, 0), (200, BOB, 0), (300, 99, 0))
    both.take_over()
    ann, bob, third = both.due()
    both.record(
        Result(ann, FAILED, NOW, code="answered_401"),
        Result(bob, FAILED, NOW, code="answered_401"),
        Result(third, DEAD, NOW, code="answered_5xx"),
    )
    (one,) = found(both, NOW)
    assert (one.waiting, one.refused, one.dead, one.refusal) == (0, 3, 1, "answered_401")
    with both.delivery.begin() as connection:
        grant(connection, [Asked(third.id, OUTSIDE, "drop", NOW)], NOW)
    assert [each.refused for each in found(both, NOW)] == [2]
    assert found(both, NOW + RECENT_MS + 60_000) == []
