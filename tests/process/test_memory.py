"""A failure in a transaction loses nothing and applies nothing twice: the next step does it all, once."""

import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from richpanel.process import known
from richpanel.process import memory as remembered
from tests.process.account import ARRIVAL, Account, Arrived, copy_of, on_sqlite
from tests.process.calls import activity, identify, page, track
from tests.process.dump import customer, dump, ids

FIRST = [
    Arrived([page(0, None, "a1"), track(1, "Order Completed", None, "a1", order_id="o1", total=10)]),
    Arrived([identify(2, "u1", "a1", email="a@x"), page(40, "u1", "a1")]),
]
SECOND = [
    Arrived([identify(20, "u2", "a1"), page(30, None, "a1"), track(3, "Order Refunded", "u1", order_id="o1", total=1)]),
    Arrived([activity(50, email="a@x")], "Channels", door="channel"),
    Arrived([page(0, None, "a1"), page(60, None, "a2")]),
    Arrived([{**identify(41, "u3", "a2"), "messageId": "page-40-u1-a1"}], at=ARRIVAL - 1),
    Arrived([{"type": "unlink", "messageId": "cut", "uid": "u3", "anonymousId": "a2"}], "Channels", door="people"),
]


def expected(account: Account, records: list[Arrived]) -> dict[Any, Any]:
    """The state without any failure."""
    account.write(records)
    account.process()
    return dump(account)


def failing_at(account: Account, statement: int) -> Callable[[], None]:
    """Make the n-th statement of the next transactions fail; call what it gives to end that."""
    seen = 0

    def fail(_connection: Any, _cursor: Any, sql: str, *_: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == statement:
            raise sqlite3.OperationalError(f"disk I/O error in {sql[:40]}")

    event.listen(account.state_engine, "before_cursor_execute", fail)
    return lambda: event.remove(account.state_engine, "before_cursor_execute", fail)


def test_every_statement_may_fail(account: Account, template: Any, tmp_path: Any) -> None:
    """One after the other, so that whatever was done before it is undone."""
    spare = copy_of(template, tmp_path / "spare")
    wanted = expected(spare, [*FIRST, *SECOND])
    spare.close()
    account.write(FIRST)
    account.process()
    account.write(SECOND)
    before, statement = dump(account), 0
    while True:
        statement += 1
        end = failing_at(account, statement)
        try:
            account.step()
        except sqlite3.OperationalError:
            end()
            if statement % 5 == 0:
                assert dump(account) == before
        else:
            end()
            break
    assert statement > 40
    assert account.step() is None
    assert dump(account) == wanted
    assert account.rows("SELECT what, sum(count) FROM counters GROUP BY what") == [("duplicate", 2), ("kept", 10)]


@on_sqlite
def test_a_full_disk(account: Account) -> None:
    account.write(FIRST)
    account.process()
    many = [page(100 + n, f"v{n}", None, text="x" * 500) for n in range(300)]
    account.write([Arrived(many)])
    before = dump(account)
    with account.state_engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()

    def limit(connection: Any, _record: Any, _proxy: Any) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")

    event.listen(account.state_engine, "checkout", limit)
    for _ in range(2):
        with pytest.raises(DBAPIError, match="full"):
            account.step()
    event.remove(account.state_engine, "checkout", limit)
    account.state_engine.dispose()
    assert dump(account) == before
    assert account.process() == 1
    assert len(dump(account)) == len(before) + 300


def test_running_goes_on_where_the_database_was_busy(account: Account) -> None:
    """`run` says what happened, waits, and tries the same batch again."""
    account.write(FIRST)
    stop = threading.Event()
    thread = threading.Thread(target=account.worker.run, args=(stop,))
    try:
        with account.state() as other:
            # SQLite: the transaction has the write lock already. It stays for longer than the worker waits.
            other.exec_driver_sql("LOCK TABLE progress" if account.database else "SELECT 1")
            thread.start()
            time.sleep(0.5)
        deadline = time.monotonic() + 60
        while not account.rows("SELECT position FROM progress") and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        stop.set()
        thread.join(10)
    assert customer(account, "u1")["ltv"] == "10.00"


def test_what_is_forgotten_is_read_again(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "MAX_IDENTITIES", 1)
    for limit in ("MAX_PROFILES", "MAX_NAMES"):
        monkeypatch.setattr(remembered, limit, 1)
    account.write([*FIRST, *SECOND])
    assert account.process(max_bytes=1) == 7
    assert ids(customer(account, "u1")) == [*("page-0-a1", "track-1-a1", "customer", "track-3-u1", "activity-50")]
    assert ids(customer(account, "u2")) == ["customer", "page-30-a1"]
