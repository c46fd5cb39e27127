"""Deliveries of a replay: one more of each message, once, in a lane of their own; on either engine."""

from richpanel.store import replay_deliveries, tries
from richpanel.store.deliveries import BULK, DEAD, DELIVERED, FAILED, QUEUED, Result
from tests.store.test_deliveries import ANN, BOB, NOW, OUTSIDE, Both, both

__all__ = ["both"]
ROWS = "SELECT place, replay, status, lane FROM deliveries ORDER BY id"


def again(both: Both, *places: int, replay: str = "rpl_1") -> int:
    with both.delivery.begin() as delivery, both.state.connect() as state:
        return replay_deliveries.add(delivery, state, OUTSIDE, replay, places, now=NOW + 5)


def settle(both: Both, status: int) -> None:
    both.record(*(Result(each, status, NOW, code="unauthorized") for each in both.due()))


def test_each_message_has_one_delivery_more(both: Both) -> None:
    both.sent((100, ANN, 0), (200, BOB, 0), (300, ANN, 0))
    both.take_over()
    settle(both, FAILED)  # Ann's second one waits for her first.
    settle(both, DEAD)
    assert again(both, 300, 100) == 2
    assert again(both, 300, 100) == 0  # A server that was killed does it again.
    assert both.rows(ROWS)[3:] == [(100, "rpl_1", QUEUED, BULK), (300, "rpl_1", QUEUED, BULK)]
    assert both.places(lane=BULK, now=NOW + 5) == [100]
    with both.delivery.connect() as connection:
        assert tries.replayed(connection) == 2
    assert both.rows("SELECT count FROM figures WHERE code = 'replay'") == [(2,)]
    assert both.rows("SELECT n, identity, received_at, created_at FROM deliveries WHERE id = 4") == [
        (100, ANN, NOW - 500, NOW + 5)
    ]


def test_what_waits_is_left_alone(both: Both) -> None:
    both.sent((100, ANN, 0))
    both.take_over()
    assert again(both, 100) == 0
    both.sent((200, BOB, 0))  # It is taken over in a moment, as anything else is.
    assert again(both, 200) == 0
    assert again(both, 999) == 0  # Nobody's.
    settle(both, FAILED)
    assert (again(both, 100), again(both, 100, replay="rpl_2")) == (1, 0)
    assert len(both.rows(ROWS)) == 2


def test_one_delivery_can_be_replayed_that_was_given_up_and_is_the_last(both: Both) -> None:
    def place(id: int) -> int | None:
        with both.delivery.connect() as connection:
            return replay_deliveries.given_up(connection, OUTSIDE, id)

    both.sent((100, ANN, 0), (200, BOB, 0))
    both.take_over()
    assert place(1) is None
    both.record(*(Result(each, status, NOW) for each, status in zip(both.due(), (DEAD, DELIVERED), strict=True)))
    assert (place(1), place(2), place(9)) == (100, None, None)
    again(both, 100)
    assert place(1) is None
