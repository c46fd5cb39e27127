"""PostgreSQL's side of the store: connections to a schema.

Both databases of an installation are schemas of one database there; a connection's search path names its own, so that
statements name tables as they do on SQLite.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL, ExceptionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from richpanel.store.postgres_driver import adapt, arguments, reason, set_up
from richpanel.store.postgres_driver import escape as escape
from richpanel.store.postgres_driver import unescape as unescape
from richpanel.store.urls import SCHEMA
from richpanel.store.urls import schema_url as schema_url

_BINARY: Final = frozenset(
    psycopg.adapters.types[name].oid for name in ("int2", "int4", "int8", "text", "bytea", "bool")
)
"""Types whose values are sent as they are; a `tsvector` is written as text."""
_STUCK_SECONDS: Final = 30.0
"""A process that says nothing for so long in the middle of a transaction hangs: others get what it has locked."""
_WRITERS: Final = "SELECT pg_advisory_xact_lock(hashtextextended('richpanel definitions', 0))"


def open_postgres(url: str, *, read_only: bool, busy_seconds: float) -> Engine:
    """Open a schema (`schema_url`). A commit is on disk when it returns.

    `read_only` connections refuse every write, and all statements of a transaction see one snapshot. A statement waits
    for others' locks for `busy_seconds` at the most. Definitions have one writer at a time, as a file of SQLite's has:
    what a transaction has read is still so when it writes.
    """
    given = make_url(url)
    schema = str(given.query[SCHEMA])
    settings = _settings(schema, read_only=read_only, busy_seconds=busy_seconds)
    plain = _without_schema(given).set(drivername="postgresql").render_as_string(hide_password=False)
    engine = create_engine(
        _without_schema(given),
        poolclass=QueuePool,
        pool_size=4,
        pool_use_lifo=True,
        max_overflow=12,
        pool_pre_ping=True,  # A server that was started again is not noticed by those who did not ask it meanwhile.
        isolation_level="REPEATABLE READ" if read_only else "READ COMMITTED",
        connect_args=arguments(),
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect", insert=True)  # Before SQLAlchemy asks for anything.
    def _set_up(connection: Any, _record: Any) -> None:
        connection.autocommit = True
        set_up(connection, plain, settings)
        connection.autocommit = False

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, record: Any) -> None:
        record.info["copy_rows"] = copy_rows
        adapt(connection)

    if schema == "account" and not read_only:

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql(_WRITERS)

    @event.listens_for(engine, "handle_error")
    def _tell_no_values(context: ExceptionContext) -> None:
        fault, raised = context.original_exception, context.sqlalchemy_exception
        if isinstance(fault, psycopg.Error) and isinstance(raised, DBAPIError):
            raise _told(fault, disconnected=context.is_disconnect) from None

    return engine


def is_pooled(connection: Connection) -> bool:
    """Tell whether a pooler is between us and the server: it has its own number for the session."""
    driver: Any = connection.connection.driver_connection
    return bool(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar() != driver.info.backend_pid)


def _without_schema(url: URL) -> URL:
    return url.difference_update_query([SCHEMA])


def _settings(schema: str, *, read_only: bool, busy_seconds: float) -> list[tuple[str, object]]:
    settings: list[tuple[str, object]] = [
        ("search_path", schema),
        ("lock_timeout", round(busy_seconds * 1000)),
        ("jit", "off"),  # It compiles for longer than any of our statements runs.
        ("client_min_messages", "warning"),
    ]
    if read_only:
        settings.append(("default_transaction_read_only", "on"))
    else:  # Who writes says the same again and again; to plan for 5,000 values takes longer than to look them up.
        settings.append(("plan_cache_mode", "force_generic_plan"))
        settings.append(("idle_in_transaction_session_timeout", round(_STUCK_SECONDS * 1000)))
    return settings


def _told(fault: psycopg.Error, *, disconnected: bool) -> DBAPIError:
    """Give SQLAlchemy's error for a driver's. Its text may be logged or shown: no detail, which has people's values."""
    told = DBAPIError.instance(
        None, None, type(fault)(reason(fault)), psycopg.Error, hide_parameters=True, connection_invalidated=disconnected
    )
    return cast("DBAPIError", told)


@contextmanager
def raw_cursor(connection: Connection) -> Iterator[Any]:
    """Give a cursor of psycopg's own on a connection. Errors come as SQLAlchemy's."""
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor:
            yield cursor
    except psycopg.Error as fault:
        if driver.closed:
            connection.invalidate(fault)
        raise _told(fault, disconnected=bool(driver.closed)) from None


def copy_rows(connection: Connection, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """Send rows by a statement `COPY table (columns) FROM STDIN`.

    They go in binary form where the columns' types allow it: that costs the server less.
    """
    table, columns = statement.removeprefix("COPY ").removesuffix(") FROM STDIN").split(" (", 1)
    types = _types(connection, f"SELECT {columns} FROM {table} LIMIT 0")
    binary = _BINARY.issuperset(types)
    with raw_cursor(connection) as cursor, cursor.copy(f"{statement} (FORMAT BINARY)" if binary else statement) as copy:
        if binary:
            copy.set_types(types)
        for row in rows:
            copy.write_row(row)


def _types(connection: Connection, query: str) -> list[int]:
    """Give the types of a query's columns; each connection asks once."""
    known: dict[str, list[int]] = connection.info.setdefault("types", {})
    if query not in known:
        with raw_cursor(connection) as cursor:
            known[query] = [column.type_code for column in cursor.execute(query).description]
    return known[query]
