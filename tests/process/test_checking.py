"""Checks: memberships counted again are those that are kept; what was made to differ is told, and mended."""

from contextlib import closing

import pytest

from richpanel.commands.database_checks import databases
from richpanel.core.computed import Computation
from richpanel.core.conditions import Count, Named, Performed
from richpanel.core.membership import Audience
from richpanel.core.timestamps import iso
from richpanel.process.checking import ALONE_MS, SHARED_MS, minutes
from richpanel.process.definitions import Watch
from richpanel.process.shared_batch import SharedBatches
from richpanel.process.worker import Worker
from richpanel.store import checks
from richpanel.store.bulk import run
from richpanel.store.checks import CheckRow
from tests.process.account import ARRIVAL, MINUTE, Account, on_postgres, on_sqlite
from tests.process.audiences import Found, add, found, tend
from tests.process.calls import identify, track
from tests.process.test_gone import let_go

DAY = 86_400_000
TWICE = Audience(Performed(Named("Order Completed"), Count(">=", 2)))
NEXT = ARRIVAL - ARRIVAL % DAY + DAY + 3 * 3_600_000
"""The first 03:00 that comes."""


def prepared(account: Account) -> tuple[int, int]:
    """People with orders, an audience and a computed trait that are live; gives their plans."""
    account.send(*[identify(1, f"u{n}") for n in range(4)])
    account.send(*[track(2 + each, "Order Completed", f"u{n}") for n in range(3) for each in range(n)])
    twice, orders = add(account, "twice", TWICE), add(account, "orders", Computation("count", Named("Order Completed")))
    tend(account, ARRIVAL)
    return twice, orders


def last(account: Account, plan: int) -> CheckRow | None:
    """What is noted of a plan."""
    with account.state() as connection:
        return checks.last(connection, plan)


def told(account: Account) -> list[tuple[str, str]]:
    """What `richpanel doctor` says of it."""
    found = databases(account.directory, None, deep=False)
    return [(check.state, check.text) for check in found if check.name == "audiences"]


def spoil(account: Account, statement: str, *parameters: object) -> None:
    """Changes rows behind the processing's back."""
    with account.state_engine.begin() as connection:
        assert run(connection, statement, *parameters) == 1


def test_once_a_day_all_are_counted_again_and_what_differs_is_mended(account: Account) -> None:
    twice, orders = prepared(account)
    kept = found(account, twice), found(account, orders)
    worker = Worker(account.reader, account.state_engine, Watch(account.account_engine), check_at=minutes("03:00"))
    try:
        assert not worker.tend(NEXT - 1)
        assert last(account, twice) is None
        while worker.tend(NEXT):
            pass
        assert last(account, twice) == last(account, orders) == CheckRow(NEXT, NEXT, 2, 0, [])
        agree = f"2 counted again since {iso(NEXT)}: all agree with the stored messages"
        assert told(account) == [("ok", agree)]
        assert not worker.tend(NEXT + DAY - 1)
        members = "WHERE plan = ? AND profile = (SELECT id FROM identities WHERE value = ?)"
        spoil(account, f"UPDATE memberships SET value = 'false' {members}", twice, "u2")
        spoil(account, f"DELETE FROM memberships {members}", orders, "u1")
        spoil(account, f"UPDATE memberships SET since = since - 1 {members}", orders, "u2")
        while worker.tend(NEXT + DAY):
            pass
    finally:
        worker.close()
    for plan in (twice, orders):
        row = last(account, plan)
        assert row is not None
        assert (row.began, row.ended, row.differing, len(row.sample)) == (NEXT + DAY, NEXT + DAY, 1, 1)
    assert [state for state, _ in told(account)] == ["note"]
    assert (found(account, twice), found(account, orders)) == kept
    assert kept[0][("uid", "u2")] == Found(True, None, 0)


@on_sqlite
def test_what_is_kept_of_bodies_that_are_gone_stays(account: Account) -> None:
    """PostgreSQL keeps bodies itself."""
    account.send(identify(0, "ann"), track(1, "Order Completed", "ann", total=9))
    spent = add(account, "spent", Computation("sum", Named("Order Completed"), "total"))
    orders = add(account, "orders", Computation("count", Named("Order Completed")))
    tend(account, ARRIVAL)
    kept = found(account, spent), found(account, orders)
    assert kept[0][("uid", "ann")].value == 9
    let_go(account)
    worker = Worker(account.reader, account.state_engine, Watch(account.account_engine), check_at=180)
    while worker.tend(NEXT):
        pass
    worker.close()
    assert (found(account, spent), found(account, orders)) == kept
    row = last(account, spent)
    assert row is not None
    assert (row.looked, row.differing) == (0, 0)


def test_a_plan_that_came_since_waits_for_the_next_day_and_never_is_never(account: Account) -> None:
    prepared(account)
    for at, now in ((None, NEXT), (minutes("never"), NEXT), (minutes("23:59"), ARRIVAL)):
        worker = Worker(account.reader, account.state_engine, Watch(account.account_engine), check_at=at)
        assert not worker.tend(now)
        worker.close()
    assert account.rows("SELECT plan FROM checks") == []


@on_postgres
def test_of_several_workers_one_checks(account: Account) -> None:
    twice, _ = prepared(account)
    workers = [SharedBatches(account.state_engine, Watch(account.account_engine), 0) for _ in range(2)]
    now = NEXT - 3 * 3_600_000
    assert workers[0].tend(now, now, [])
    assert not workers[1].tend(now, now, [])
    while workers[0].tend(now, now, []):
        pass
    assert last(account, twice) == CheckRow(now, now, 2, 0, [])
    now += DAY
    assert workers[0].tend(now, now, [])
    assert not workers[1].tend(now + SHARED_MS, now + SHARED_MS, [])
    now += SHARED_MS + 1  # Whoever began it is gone.
    while workers[1].tend(now, now, []):
        pass
    assert last(account, twice) == CheckRow(now, now, 2, 0, [])


def test_a_check_that_was_cut_short_is_begun_again_the_same_day(account: Account) -> None:
    twice, orders = prepared(account)

    def worker() -> Worker:
        return Worker(account.reader, account.state_engine, Watch(account.account_engine), check_at=minutes("03:00"))

    with closing(worker()) as killed:
        assert killed.tend(NEXT)
    assert last(account, twice) == CheckRow(NEXT, None, 0, 0, [])
    with closing(worker()) as next_one:
        assert not next_one.tend(NEXT + ALONE_MS)
        again = NEXT + ALONE_MS + MINUTE
        while next_one.tend(again):
            pass
        assert last(account, twice) == last(account, orders) == CheckRow(again, again, 2, 0, [])
        assert not next_one.tend(NEXT + DAY - 1)


@pytest.mark.parametrize(("text", "expected"), [("00:00", 0), ("03:05", 185), ("23:59", 1439), ("never", None)])
def test_a_time_of_day_is_minutes(text: str, expected: int | None) -> None:
    assert minutes(text) == expected
