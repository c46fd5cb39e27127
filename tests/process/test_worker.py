"""The worker's pace: batches follow at once where much waits, and share their cost where little does."""

import threading
from functools import partial
from time import monotonic

import pytest

from richpanel.process import worker
from richpanel.process.batch import Applied
from richpanel.process.definitions import Watch
from richpanel.process.worker import Worker
from tests.process.account import Account, Arrived
from tests.process.calls import page

PACE = 0.2


def paced(account: Account, monkeypatch: pytest.MonkeyPatch, records: int) -> list[tuple[float, Applied]]:
    """Run a worker that takes a record at a time until three are applied; give when each was."""
    found: list[tuple[float, Applied]] = []
    stop = threading.Event()

    def note(applied: Applied, _seconds: float) -> None:
        found.append((monotonic(), applied))
        if len(found) == 3:
            stop.set()
        elif records == 1:
            account.write([Arrived([page(len(found), "u1")])])

    account.write([Arrived([page(n, "u1")]) for n in range(records)])
    running = Worker(account.reader, account.state_engine, Watch(account.account_engine), note)
    monkeypatch.setattr(running, "step", partial(running.step, 1))
    running.run(stop)
    running.close()
    return found


def test_small_batches_begin_apart(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "PACE_SECONDS", PACE)
    first, second, third = (at for at, _ in paced(account, monkeypatch, 1))
    assert second - first > PACE / 2
    assert third - first > PACE * 1.5


def test_batches_follow_at_once_where_more_waits(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "PACE_SECONDS", 600.0)
    assert [applied.messages for _, applied in paced(account, monkeypatch, 3)] == [1, 1, 1]
