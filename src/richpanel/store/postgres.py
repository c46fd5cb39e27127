"""PostgreSQL's side of the store: connections to a schema, and texts that may hold what PostgreSQL's may not.

Both databases of an installation are schemas of one database there; a connection's search path names its own, so that
statements name tables as they do on SQLite.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast

import psycopg
from psycopg.abc import Buffer
from psycopg.types.string import StrDumperUnknown, TextLoader
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL, ExceptionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

SCHEMA: Final = "schema"
"""The parameter of an engine's URL that names the schema; PostgreSQL itself does not know it."""
_CONNECT_SECONDS: Final = 5
_SILENT_MS: Final = 15_000
"""A server from which nothing comes for so long, not even the acknowledgement of a packet, is given up."""


def schema_url(url: str, schema: str) -> str:
    """Give the engine's URL of a schema in the database at `postgresql://...`."""
    given = make_url(url).set(drivername="postgresql+psycopg").update_query_dict({SCHEMA: schema})
    return given.render_as_string(hide_password=False)


def escape(text: str) -> str:
    r"""Write a text without NUL, which PostgreSQL's texts cannot hold; the order of texts stays.

    `\0` becomes `\1\1`, and `\1` itself `\1\2`.
    """
    if "\0" in text or "\1" in text:
        return text.replace("\1", "\1\2").replace("\0", "\1\1")
    return text


def unescape(text: str) -> str:
    """Read what `escape` wrote."""
    if "\1" in text:
        return text.replace("\1\1", "\0").replace("\1\2", "\1")
    return text


class _Dumper(StrDumperUnknown):
    def dump(self, obj: str) -> Buffer | None:
        return super().dump(escape(obj))


class _Loader(TextLoader):
    def load(self, data: Buffer) -> bytes | str:
        found = super().load(data)
        return unescape(found) if isinstance(found, str) else found


def open_postgres(url: str, *, read_only: bool, busy_seconds: float) -> Engine:
    """Open a schema (`schema_url`). A commit is on disk when it returns.

    `read_only` connections refuse every write, and all statements of a transaction see one snapshot. A statement waits
    for others' locks for `busy_seconds` at the most.
    """
    given = make_url(url)
    engine = create_engine(
        _without_schema(given),
        poolclass=QueuePool,
        pool_size=4,
        pool_use_lifo=True,
        max_overflow=12,
        pool_pre_ping=True,  # A server that was started again is not noticed by those who did not ask it meanwhile.
        isolation_level="REPEATABLE READ" if read_only else "READ COMMITTED",
        connect_args={
            "options": _options(str(given.query[SCHEMA]), read_only=read_only, busy_seconds=busy_seconds),
            "application_name": "richpanel",
            "connect_timeout": _CONNECT_SECONDS,
            "keepalives_idle": 5,
            "keepalives_interval": 5,
            "tcp_user_timeout": _SILENT_MS,
        },
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, record: Any) -> None:
        record.info["copy_rows"] = copy_rows
        connection.adapters.register_dumper(str, _Dumper)
        connection.adapters.register_loader("text", _Loader)

    @event.listens_for(engine, "handle_error")
    def _tell_no_values(context: ExceptionContext) -> None:
        fault, raised = context.original_exception, context.sqlalchemy_exception
        if isinstance(fault, psycopg.Error) and isinstance(raised, DBAPIError):
            raise _told(fault, disconnected=context.is_disconnect) from None

    return engine


def _without_schema(url: URL) -> URL:
    return url.difference_update_query([SCHEMA])


def _options(schema: str, *, read_only: bool, busy_seconds: float) -> str:
    settings: list[tuple[str, object]] = [
        ("search_path", schema),
        ("lock_timeout", round(busy_seconds * 1000)),
        ("jit", "off"),  # It compiles for longer than any of our statements runs.
        ("client_min_messages", "warning"),
    ]
    if read_only:
        settings.append(("default_transaction_read_only", "on"))
    return " ".join(f"-c {name}={value}" for name, value in settings)


def _told(fault: psycopg.Error, *, disconnected: bool) -> DBAPIError:
    """Give SQLAlchemy's error for a driver's. Its text may be logged or shown: no detail, which has people's values."""
    known = fault.diag.message_primary
    if known is not None:
        fault = type(fault)(known)
    told = DBAPIError.instance(
        None, None, fault, psycopg.Error, hide_parameters=True, connection_invalidated=disconnected
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


def copy_rows(connection: Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Send rows by a COPY statement."""
    with raw_cursor(connection) as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)
