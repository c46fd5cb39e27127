"""What comes between taking a batch in and its turn: somebody else's turn."""

import pytest
from sqlalchemy import Connection

from richpanel.log.contract import Entry
from richpanel.process.definitions import Watch
from richpanel.process.shared_batch import SharedBatches
from richpanel.store import progress, turns
from richpanel.store.bulk import fetch
from tests.process.account import ARRIVAL, Account, Arrived, on_postgres
from tests.process.calls import activity, identify, page, track
from tests.process.test_law import arrivals, assert_law
from tests.process.test_shared_law import entries

pytestmark = on_postgres
HOUR = 3_600_000


def applied(account: Account, records: list[Arrived], monkeypatch: pytest.MonkeyPatch) -> int:
    """Apply all but two of these records, then the last but one, and the last one right before the turn of that.

    Gives how often somebody waited for a turn.
    """
    stream = entries(account, records)
    one, other = (SharedBatches(account.state_engine, Watch(account.account_engine)) for _ in range(2))
    apply(one, stream[:-2])
    take, asked = turns.take, 0

    def late(connection: Connection) -> int:
        nonlocal asked
        asked += 1
        if asked == 1:
            apply(other, stream[-1:])
        return take(connection)

    monkeypatch.setattr(turns, "take", late)
    apply(one, stream[-2:-1])
    monkeypatch.undo()
    assert_law(account, arrivals(account, records))
    assert account.read(progress.read).position == stream[-1].end
    return asked


def apply(batches: SharedBatches, stream: list[Entry]) -> None:
    if stream:
        assert batches.apply(stream, orderly=False, seen=False)[0] == len(stream)


def test_a_visitor_whom_both_bring_is_one(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    applied(
        account,
        [Arrived([page(0, None, "a1")]), Arrived([page(1, None, "a2")]), Arrived([page(2, None, "a2")])],
        monkeypatch,
    )
    assert account.rows("SELECT count(*) FROM identities WHERE value = 'a2'") == [(1,)]


@pytest.mark.parametrize("last", [identify(3, "u1", "a1", email="ada@x.org"), activity(3, anonymousId="a1")])
def test_a_login_before_the_turn_is_seen(
    account: Account, monkeypatch: pytest.MonkeyPatch, last: dict[str, object]
) -> None:
    """What was read of the device's links before the turn does not hold any more."""
    door = "channel" if "channel" in last else "tracking"
    source = "Channels" if "channel" in last else "Website"
    records = [
        Arrived([page(0, None, "a1"), track(1, "Order Completed", None, "a1", order_id="o1", total=10)]),
        Arrived([page(5, None, "a1"), track(6, "Order Updated", None, "a1", order_id="o1", total=12)]),
        Arrived([last], source, door=door),
    ]
    applied(account, records, monkeypatch)


def test_a_repeat_is_of_the_message_that_counts_in_its_turn(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message that it repeats ceases to count meanwhile: an earlier one with its id has come."""
    call = page(0, "u1", "a1")
    records = [Arrived([call], at=ARRIVAL), Arrived([call], at=ARRIVAL + HOUR), Arrived([call], at=ARRIVAL - HOUR)]
    assert applied(account, records, monkeypatch) > 2


def test_a_record_that_two_have_in_hand_counts_once(account: Account) -> None:
    records = [Arrived([page(0, None, "a1")]), Arrived([page(1, "u1", "a1")])]
    stream = entries(account, records)
    one, other = (SharedBatches(account.state_engine, Watch(account.account_engine)) for _ in range(2))
    apply(one, stream)
    apply(other, stream)
    assert_law(account, arrivals(account, records))
    assert account.rows("SELECT count(*) FROM messages") == [(2,)]


def test_who_is_quick_waits_for_no_disk_and_all_others_do(account: Account) -> None:
    with account.state_engine.begin() as connection:
        turns.be_quick(connection)
        assert fetch(connection, "SHOW synchronous_commit") == [("off",)]
    with account.state_engine.begin() as connection:
        assert fetch(connection, "SHOW synchronous_commit") == [("on",)]
