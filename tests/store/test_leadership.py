"""Leadership: one leads at a time, and another one follows it."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from richpanel.store.advisory import ANSWER_SECONDS, SURE_SECONDS
from richpanel.store.leadership import Leadership
from tests.postgres_server import PostgresServer


@pytest.fixture
def url(postgres: PostgresServer, tmp_path: Path) -> str:
    return postgres.create(tmp_path.name)


@pytest.fixture
def two(url: str) -> Iterator[tuple[Leadership, Leadership]]:
    first, second = Leadership(url, "keeping"), Leadership(url, "keeping")
    assert first.is_leader()
    assert not second.is_leader()
    yield first, second
    first.close()
    second.close()


def soon(condition: Callable[[], bool], seconds: float = 3 * SURE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def backend(url: str) -> int:
    """The process that serves the leader."""
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = "
            "(SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        ((pid,),) = found.fetchall()
    return int(pid)


def test_where_the_databases_are_files_it_always_leads() -> None:
    alone = Leadership(None, "keeping")
    assert alone.is_leader()
    alone.close()
    assert alone.is_leader()


def test_each_thing_has_a_leader_of_its_own(url: str, two: tuple[Leadership, Leadership]) -> None:
    other = Leadership(url, "erasing")
    assert other.is_leader()
    other.close()
    assert two[0].is_leader()


def test_who_leaves_is_followed_and_does_not_come_back_by_itself(two: tuple[Leadership, Leadership]) -> None:
    first, second = two
    first.close()
    soon(second.is_leader)
    assert not first.is_leader()


def test_a_lost_connection_is_noticed_at_once_and_another_one_leads(
    url: str, two: tuple[Leadership, Leadership]
) -> None:
    first, second = two
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(%s, 5000)", (backend(url),))
    assert not first.is_leader()
    soon(second.is_leader)
    for _ in range(20):
        assert (first.is_leader(), second.is_leader()) == (False, True)
        time.sleep(0.1)


def test_a_server_that_does_not_answer_has_no_leader(url: str, two: tuple[Leadership, Leadership]) -> None:
    first, _ = two
    pid = backend(url)
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(SURE_SECONDS)
        started = time.monotonic()
        assert not first.is_leader()
        assert time.monotonic() - started < ANSWER_SECONDS + 2
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_database_that_comes_later_is_found(postgres: PostgresServer, tmp_path: Path) -> None:
    early = Leadership(postgres.url(tmp_path.name), "keeping")
    assert not early.is_leader()
    postgres.create(tmp_path.name)
    soon(early.is_leader)
    early.close()
