"""Replays: jobs whose next chunk is noted before it is done, one of a destination at a time; on either engine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from richpanel.store import replays
from richpanel.store.database import open_engine, sqlite_url
from richpanel.store.destinations import DestinationChanges, add_destination
from richpanel.store.migrating import migrate
from richpanel.store.replays import Chunk, Place, ReplayRow, RunningError, Scope
from richpanel.store.secrets import SecretBox
from richpanel.store.urls import schema_url
from tests.postgres_server import PostgresServer

NOW = 1_760_000_000_000


@pytest.fixture(params=["sqlite", "postgresql"])
def account(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """Definitions with two destinations."""
    if request.param == "sqlite":
        url = sqlite_url(tmp_path, "account")
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        url = schema_url(server.create(tmp_path.name), "account")
    migrate(url, "account")
    engine = open_engine(url)
    with engine.begin() as connection:
        for name in ("One", "Two"):
            add_destination(connection, SecretBox("k" * 32), "richpanel", DestinationChanges(name=name), now=NOW)
    yield engine
    engine.dispose()


def begun(account: Engine, destination: int = 1, delivery: int | None = None) -> ReplayRow:
    scope = Scope(destination, "failed", 9_000, person="a" * 48, from_at=NOW - 10, delivery=delivery)
    with account.begin() as connection:
        return replays.add(connection, scope, rate=50, matched=7, now=NOW)


def now(account: Engine, job: ReplayRow) -> ReplayRow:
    with account.connect() as connection:
        return replays.get(connection, job.id)


def test_a_job_is_kept_as_it_was_asked_for(account: Engine) -> None:
    job = begun(account)
    assert job.scope == Scope(1, "failed", 9_000, None, "a" * 48, NOW - 10, None, None)
    assert (job.status, job.matched, job.replayed, job.reached, job.rate) == ("running", 7, 0, Place(), 50)
    assert (job.created_at, job.finished_at, job.pending, job.problem) == (NOW, None, None, None)
    with account.connect() as connection:
        assert replays.running(connection) == replays.newest(connection, 5) == [job]
        assert replays.newest(connection, 5, before=job.number) == []
        assert replays.find(connection, "rpl_other") is None


def test_one_of_a_destination_runs_at_a_time(account: Engine) -> None:
    job = begun(account)
    with pytest.raises(RunningError, match=job.id):
        begun(account)
    begun(account, destination=2)
    begun(account, delivery=5)  # One delivery is another matter,
    with pytest.raises(RunningError):
        begun(account, delivery=5)  # but once.
    with account.begin() as connection:
        assert replays.cancel(connection, job.id, now=NOW + 1)
    other = begun(account)
    with account.begin() as connection, pytest.raises(RunningError, match=other.id):
        replays.resume(connection, job.id)


def test_a_chunk_counts_once(account: Engine) -> None:
    """A server that was killed does it again; one that comes late with the same finds that it is done."""
    job, chunk = begun(account), Chunk([10, 20], [7, -8], Place(3, 20, 2))
    with account.begin() as connection:
        assert replays.intend(connection, job.id, chunk)
    assert now(account, job).pending == chunk
    for _ in range(2):
        with account.begin() as connection:
            replays.advance(connection, job.id, chunk)
    done = now(account, job)
    assert (done.pending, done.reached, done.replayed, done.chunk) == (None, Place(3, 20, 2), 2, 1)


def test_a_cancelled_job_begins_no_chunk_and_goes_on_where_it_was(account: Engine) -> None:
    job, chunk = begun(account), Chunk([10], [], Place(0, 10))
    with account.begin() as connection:
        replays.intend(connection, job.id, chunk)
        replays.explain(connection, job.id, "the log is full")
        assert replays.cancel(connection, job.id, now=NOW + 5)
        assert not replays.cancel(connection, job.id, now=NOW + 6)
        assert not replays.intend(connection, job.id, Chunk([30], [], Place(0, 30)))
        assert not replays.finish(connection, job.id, now=NOW + 7)
    stopped = now(account, job)
    assert (stopped.status, stopped.finished_at, stopped.pending, stopped.problem) == (
        "cancelled",
        NOW + 5,
        chunk,
        None,
    )
    with account.begin() as connection:
        assert replays.resume(connection, job.id)
        assert not replays.resume(connection, job.id)
    assert (now(account, job).status, now(account, job).finished_at) == ("running", None)
    with account.begin() as connection:
        replays.give_up(connection, job.id, "it is gone", now=NOW + 8)
    assert (now(account, job).status, now(account, job).problem) == ("failed", "it is gone")
