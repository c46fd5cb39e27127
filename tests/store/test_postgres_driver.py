"""Sessions of PostgreSQL's: their settings hold, also behind a pooler, and one that shares them is found out."""

import threading
from contextlib import closing

import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from richpanel.store.database import open_engine
from richpanel.store.postgres_driver import SharedSessionsError, connect
from richpanel.store.urls import schema_url
from tests.pgbouncer import pgbouncer
from tests.postgres_server import PostgresServer

SETTINGS = {"search_path": "state", "default_transaction_read_only": "on", "tcp_keepalives_idle": "5"}


def settings_of(url: str) -> dict[str, str]:
    with closing(connect(url, "state", seconds=5)) as connection:
        return {name: connection.execute(f"SHOW {name}").fetchall()[0][0] for name in SETTINGS}


def test_a_session_has_its_settings(postgres: PostgresServer) -> None:
    assert settings_of(postgres.url()) == SETTINGS


def test_a_session_behind_a_pooler_has_its_settings(postgres: PostgresServer) -> None:
    with pgbouncer(postgres, "session") as url:
        assert settings_of(url + "postgres") == SETTINGS
        engine = open_engine(schema_url(url + "postgres", "state"), busy_seconds=7)
        with engine.connect() as connection:
            found = [connection.exec_driver_sql(f"SHOW {name}").scalar() for name in ("search_path", "lock_timeout")]
        engine.dispose()
        assert found == ["state", "7s"]


def test_a_pooler_that_shares_sessions_is_found_out_however_busy_it_is(postgres: PostgresServer) -> None:
    """Others take sessions and give them back all the while, so that ours may happen to be the same."""
    with pgbouncer(postgres, "transaction") as url:
        stop = threading.Event()

        def work() -> None:
            with psycopg.connect(url + "postgres", prepare_threshold=None) as connection:
                while not stop.is_set():
                    connection.execute("SELECT pg_sleep(0.001)")
                    connection.commit()

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(20):
                with pytest.raises(SharedSessionsError, match="`pool_mode = session`"):
                    connect(url + "postgres", "state", seconds=5)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        engine = open_engine(schema_url(url + "postgres", "state"))
        with pytest.raises(OperationalError, match="`pool_mode = session`"), engine.connect():
            pass
        engine.dispose()


def test_a_pooler_with_too_few_sessions_says_so(postgres: PostgresServer) -> None:
    with (
        pgbouncer(postgres, "session", default_pool_size="1") as url,
        pytest.raises(psycopg.OperationalError, match="default_pool_size"),
    ):
        connect(url + "postgres", "state", seconds=2)
