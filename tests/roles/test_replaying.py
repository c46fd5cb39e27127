"""Replaying, as a job that somebody stops and lets go on: what it was about to do is not left out."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from richpanel.log.contract import LogWriter
from richpanel.log.segments import SegmentReader
from richpanel.roles.replaying import Means, Replaying
from richpanel.store import deliveries, replays
from richpanel.store.database import open_engine, reading
from richpanel.store.deliveries import FAILED, Result
from richpanel.store.leadership import Leadership
from richpanel.store.replays import Scope
from richpanel.store.secrets import open_secrets
from richpanel.store.status import processed
from tests.process.account import ARRIVAL, Account, Arrived, copy_of, make_template
from tests.process.calls import track
from tests.process.test_outgoing import Outside

CALLS = 2_000
TURNS = 3


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    made = copy_of(make_template(tmp_path / "template" / "data", None), tmp_path / "data")
    yield made
    made.close()


def refused(account: Account) -> tuple[int, Engine]:
    """A destination outside that has refused everything: its number, and the deliveries."""
    outside = Outside(account, open_secrets(account.directory.path))
    account.write([Arrived([track(n, "Seen", f"u{n % 7}") for n in range(CALLS)])])
    account.process()
    delivery = open_engine(account.directory.delivery_url)
    with delivery.begin() as connection, account.state() as state:
        deliveries.take_over(connection, state, outside.row.number, now=ARRIVAL)
    while True:
        with delivery.begin() as connection:
            due = deliveries.due(connection, outside.row.number, deliveries.LIVE, now=ARRIVAL, limit=500)
            deliveries.record(connection, [Result(each, FAILED, ARRIVAL, code="unauthorized") for each in due])
        if not due:
            return outside.row.number, delivery


def test_whoever_stops_a_job_and_lets_it_go_on_loses_nothing_of_it(account: Account) -> None:
    """Stopped as the next chunk is looked for, and let go on as soon as it has been given up."""
    number, delivery = refused(account)
    with reading(account.state_engine) as looked:
        until = processed(looked).position
    with account.account_engine.begin() as connection:
        job = replays.add(connection, Scope(number, "failed", until), rate=CALLS, matched=CALLS, now=ARRIVAL)
    turns = {"cancelled": 0, "resumed": 0}

    def cancel(*_: Any) -> None:
        if turns["cancelled"] == turns["resumed"] < TURNS:
            with account.account_engine.begin() as connection:
                turns["cancelled"] += replays.cancel(connection, job.id, now=ARRIVAL)

    def resume(*_: Any) -> None:
        if turns["cancelled"] > turns["resumed"]:
            with account.account_engine.begin() as connection:
                turns["resumed"] += replays.resume(connection, job.id)

    directory = account.directory
    state = open_engine(directory.state_url, read_only=True, cache_mib=1)
    definitions = open_engine(directory.account_url)
    deliveries_too = open_engine(directory.delivery_url, cache_mib=1)
    event.listen(state, "before_cursor_execute", cancel)
    event.listen(definitions, "checkin", resume)
    log, leadership = SegmentReader(directory.log), Leadership(None, "replaying")
    replaying = Replaying(Means(state, definitions, deliveries_too, log, no_writer, leadership))
    deadline = time.monotonic() + 60
    found = job
    while found.status != "done":
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
        with reading(account.account_engine) as connection:
            found = replays.get(connection, job.id)
    replaying.close()
    definitions.dispose()
    with reading(delivery) as connection:
        again = connection.exec_driver_sql("SELECT count(DISTINCT place), count(*) FROM deliveries WHERE replay <> ''")
        assert (found.replayed, *again.one()) == (CALLS, CALLS, CALLS)
    assert turns == {"cancelled": TURNS, "resumed": TURNS}
    delivery.dispose()


def no_writer() -> LogWriter:
    raise OSError("nothing is to be decided anew")
