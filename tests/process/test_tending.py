"""Between batches: windows close to the very millisecond, first runs go on in slices, and what is no more is swept."""

import threading
import time
from functools import partial

import pytest

from richpanel.core.conditions import Named, Performed
from richpanel.core.membership import Audience
from richpanel.core.windows import Span, Window
from richpanel.process import running, tending
from richpanel.process.definitions import Watch
from richpanel.process.shared_batch import SharedBatches
from richpanel.process.worker import Worker
from richpanel.store import computations, memberships, plans, turns
from richpanel.store.computations import ComputationRow, get_computation
from tests.process.account import ARRIVAL, MINUTE, T0, Account, Arrived, on_postgres
from tests.process.audiences import Found, add, found, tell, tend
from tests.process.calls import identify, page, track

MONTH = 30 * 24 * 60 * MINUTE
LATELY = Audience(Performed(Named("Order Completed"), window=Window(within=Span(30, "days"))))
EVER = Audience(Performed(Named("Order Completed")))
ADA = ("uid", "ada")


def row_of(account: Account, key: str) -> ComputationRow:
    with account.account_engine.connect() as connection:
        row = get_computation(connection, "audience", key)
    assert row is not None
    return row


def statuses(account: Account) -> dict[str, str]:
    with account.account_engine.connect() as connection:
        return {row.key: row.status for row in computations.list_computations(connection)}


def ordered(account: Account, minutes: float, uid: str = "ada") -> None:
    account.write(
        [Arrived([identify(minutes, uid), track(minutes, "Order Completed", uid)], at=T0 + round(minutes * MINUTE))]
    )
    account.process()


def test_order_completed_last_30days(account: Account) -> None:
    """The example of the documents: in with the order, out 30 days later to the millisecond, in with the next one."""
    plan = add(account, "order_completed_last_30days", LATELY, now=T0)
    ordered(account, 5)
    closes = T0 + 5 * MINUTE + MONTH
    assert found(account, plan) == {ADA: Found(True, closes, 0)}
    assert tell(account, T0 + 6 * MINUTE) == 1
    tend(account, closes - 1)
    assert found(account, plan) == {ADA: Found(True, closes, 1)}
    tend(account, closes)
    assert found(account, plan) == {ADA: Found(False, None, 0)}
    assert account.rows("SELECT since FROM memberships") == [(closes,)]
    assert tell(account, closes + 1) == 1
    assert found(account, plan) == {ADA: Found(False, None, 1)}
    ordered(account, 40 * 24 * 60)
    assert found(account, plan) == {ADA: Found(True, T0 + 40 * 24 * 60 * MINUTE + MONTH, 0)}
    assert account.rows("SELECT value, number FROM told") == [("false", 2)]


def test_who_is_not_told_of_in_time_is_not_told_of_at_all(account: Account) -> None:
    plan = add(account, "lately", LATELY, now=T0)
    ordered(account, 5)
    tend(account, T0 + 5 * MINUTE + MONTH)
    assert found(account, plan) == {ADA: Found(False, None, 1)}
    assert tell(account, T0 + 6 * MINUTE + MONTH) == 0


def test_nobody_leaves_while_messages_lag_that_may_keep_them_in(account: Account) -> None:
    plan = add(account, "lately", LATELY, now=T0)
    ordered(account, 5)
    later = T0 + 6 * MINUTE + MONTH
    account.write([Arrived([track(MONTH / MINUTE, "Order Completed", "ada")], at=later)])
    assert not account.worker.tend(later + tending.LAG_MS)
    assert found(account, plan)[ADA].value is True
    account.process()
    tend(account, later + tending.LAG_MS)
    assert found(account, plan) == {ADA: Found(True, T0 + 2 * MONTH, 0)}


def test_a_first_run_goes_on_in_slices_and_then_the_plan_is_live(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "NARROWEST", 2)
    monkeypatch.setattr(running, "WIDEST", 2)
    for number in range(5):
        ordered(account, number, f"u{number}")
    plan = add(account, "ever", EVER)
    seen = []
    while account.worker.tend(ARRIVAL):
        row = row_of(account, "ever")
        seen.append((row.newest.done, row.newest.total, len(found(account, plan))))
        ordered(account, 9, "u4")  # Whom it has not reached yet.
    assert [count for _, _, count in seen[:3]] == [2, 4, 5]
    assert all(done <= total for done, total, _ in seen[:2])
    assert seen[0][0] < seen[1][0]
    assert statuses(account) == {"ever": "live"}
    assert {who: each.value for who, each in found(account, plan).items()} == {("uid", f"u{n}"): True for n in range(5)}


def test_a_first_run_of_an_edit_takes_the_place_of_the_version_before_and_only_differences_are_told(
    account: Account,
) -> None:
    add(account, "ever", EVER)
    ordered(account, 1, "one")
    account.send(identify(1, "two"), page(2, "two"))
    tend(account, ARRIVAL)
    assert tell(account, ARRIVAL) == 1
    row = row_of(account, "ever")
    before = row.newest.number
    with account.account_engine.begin() as connection:
        computations.redefine(connection, row, Audience(Performed(Named("Page Viewed"))), now=ARRIVAL)
    tend(account, ARRIVAL)
    row = row_of(account, "ever")
    assert row.live is not None
    assert (row.live.version, row.next) == (2, None)
    with account.account_engine.connect() as connection:
        assert [each.size for each in plans.versions(connection, row.number, 2)] == [None, 1]
    assert found(account, row.live.number) == {
        ("uid", "one"): Found(False, None, 0),
        ("uid", "two"): Found(True, None, 0),
    }
    assert tell(account, ARRIVAL) == 2
    assert found(account, before) == {}
    assert account.read(memberships.reached).keys() == {row.live.number}
    with account.account_engine.connect() as connection:
        assert plans.unswept(connection) == []


def test_time_goes_on_while_nothing_comes(account: Account) -> None:
    """The worker looks at the clock by itself."""
    plan = add(
        account, "lately", Audience(Performed(Named("Order Completed"), window=Window(within=Span(1, "seconds"))))
    )
    now = round(time.time() * 1000)
    account.write(
        [Arrived([identify((now - T0) / MINUTE, "ada"), track((now - T0) / MINUTE, "Order Completed", "ada")], at=now)]
    )
    stop = threading.Event()
    running = Worker(account.reader, account.state_engine, Watch(account.account_engine))
    thread = threading.Thread(target=partial(running.run, stop))
    thread.start()
    try:
        seen = set()
        until = time.monotonic() + 60
        while False not in seen and time.monotonic() < until:
            seen |= {each.value for each in found(account, plan).values()}
            time.sleep(0.02)
    finally:
        stop.set()
        thread.join()
        running.close()
    assert seen == {True, False}


@on_postgres
def test_who_shares_the_state_tends_it_in_turn(account: Account) -> None:
    ordered(account, 5)
    plan = add(account, "lately", LATELY, now=T0)
    closes = T0 + 5 * MINUTE + MONTH
    workers = [SharedBatches(account.state_engine, Watch(account.account_engine)) for _ in range(2)]
    while any(worker.tend(closes - 1, closes - 1, []) for worker in workers):
        pass
    assert found(account, plan) == {ADA: Found(True, closes, 0)}
    assert statuses(account) == {"lately": "live"}
    assert workers[1].tend(closes, closes, [])
    assert not workers[0].tend(closes, closes, [])
    assert found(account, plan) == {ADA: Found(False, None, 1)}


@on_postgres
def test_who_is_sent_away_from_the_queue_for_a_turn_tries_again(account: Account) -> None:
    """As PostgreSQL does with one of three where a batch and its neighbour wait for each other."""
    plan = add(account, "late", LATELY, now=T0)
    ordered(account, 5)
    closes = T0 + 5 * MINUTE + MONTH
    shared = SharedBatches(account.state_engine, Watch(account.account_engine))
    with account.state_engine.connect() as another:
        turns.take(another)
        assert shared.tend(closes, closes, [])
        assert found(account, plan)[ADA].value is True
    assert shared.tend(closes, closes, [])
    assert not shared.tend(closes, closes, [])
    assert found(account, plan) == {ADA: Found(False, None, 1)}
