"""PostgreSQL's driver: how a session is set up, and connections without SQLAlchemy that wait for nothing for long.

`store.driver` is the same for SQLite. Texts may hold here what PostgreSQL's may not (`escape`).
"""

from collections.abc import Sequence
from contextlib import closing
from functools import cache
from math import ceil
from typing import Any, Final

import psycopg
from psycopg.abc import Buffer, PQGen
from psycopg.types.string import StrBinaryDumper, StrDumperUnknown, TextLoader

from richpanel.store.application import APPLICATION

DriverError: Final = psycopg.Error
NotThere: Final = (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName)
CONNECT_SECONDS: Final = 5
SILENT_MS: Final = 15_000
"""A server from which nothing comes for so long, not even the acknowledgement of a packet, is given up."""
_LOST: Final = (
    ("tcp_keepalives_idle", 5),
    ("tcp_keepalives_interval", 5),
    ("tcp_keepalives_count", 3),
    ("tcp_user_timeout", SILENT_MS),
)
"""The same the other way round: what a machine held that is gone, or behind a cut cable, others get within seconds. Two
hours is what the system would wait."""

_LOOKS: Final = 10
_SHARED: Final = (
    "a pooler (PgBouncer or the like) stands between us and PostgreSQL, and gives each transaction another session: "
    "locks, settings and prepared statements get lost. Have it pool sessions (`pool_mode = session`), or name "
    "PostgreSQL itself in RICHPANEL_DATABASE_URL"
)
_FEW: Final = (
    "a pooler (PgBouncer or the like) stands between us and PostgreSQL, and does not give it a second session "
    "(`default_pool_size`, `pool_mode = session`)"
)


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


class _BinaryDumper(StrBinaryDumper):
    def dump(self, obj: str) -> Buffer | None:
        return super().dump(escape(obj))


class _Loader(TextLoader):
    def load(self, data: Buffer) -> bytes | str:
        found = super().load(data)
        return unescape(found) if isinstance(found, str) else found


def adapt(connection: Any) -> None:
    """Let a connection's texts hold anything."""
    connection.adapters.register_dumper(str, _BinaryDumper)  # For COPY; the last one is for all else.
    connection.adapters.register_dumper(str, _Dumper)
    connection.adapters.register_loader("text", _Loader)


def arguments() -> dict[str, Any]:
    """Give what every connection is opened with; its session's settings follow (`set_up`)."""
    return {
        "application_name": APPLICATION,
        "client_encoding": "UTF8",  # Or a database without any (SQL_ASCII) would give bytes for texts.
        "connect_timeout": CONNECT_SECONDS,
        "keepalives_idle": 5,
        "keepalives_interval": 5,
        "tcp_user_timeout": SILENT_MS,
    }


def set_up(connection: "psycopg.Connection[Any]", url: str, settings: Sequence[tuple[str, object]]) -> None:
    """Set up the session of a new connection to `url`, which is outside of every transaction; one round trip.

    By a statement: what a connection is opened with does not get through a pooler. Raises SharedSessionsError where
    that one's sessions are not ours alone: they are left as they are then, for others use them.
    """
    given = [(name, str(value)) for name, value in (*_LOST, *settings)]
    rows = ", ".join(["(%s, %s)"] * len(given))
    values = [each for row in given for each in row]
    query: Any = f"SELECT set_config(name, value, false) FROM (VALUES {rows}) AS given (name, value)"
    direct = connection.execute(f"{query} WHERE pg_backend_pid() = %s", [*values, connection.info.backend_pid])
    if not direct.fetchall():  # Somebody in between answers in PostgreSQL's place.
        _refuse_shared_sessions(url)
        connection.execute(query, values)


class SharedSessionsError(psycopg.OperationalError):
    """A pooler is between us and PostgreSQL that does not leave a session to whoever has got it."""


class Bounded(psycopg.Connection[tuple[Any, ...]]):
    """A connection that is closed, with OperationalError, where an answer takes longer than `seconds`.

    A server that is frozen, or on the other side of a cut network, gives no error of its own.
    """

    seconds: float = CONNECT_SECONDS

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait for the server's answer."""
        try:
            return super().wait(gen, interval, self.seconds if timeout is None else timeout)
        except psycopg.errors._WaitTimeout:
            self.pgconn.finish()
            raise psycopg.OperationalError(f"no answer within {self.seconds:g} s") from None


@cache
def _refuse_shared_sessions(url: str) -> None:
    """See that a session is ours until we end it, behind a pooler. Raises SharedSessionsError, psycopg.Error.

    While somebody else is in a transaction, its session is another one than ours, and ours is the same as before. A
    pooler that has many to give may seem to keep to that by chance, so it is asked several times.
    """
    with (
        closing(Bounded.connect(url, autocommit=True, **arguments())) as ours,
        closing(Bounded.connect(url, autocommit=True, **arguments())) as another,
    ):
        try:
            mine = _process_of(ours)
            for _ in range(_LOOKS):
                another.execute("BEGIN")
                others = _process_of(another)
                if others == mine or _process_of(ours) != mine:
                    raise SharedSessionsError(_SHARED)
                another.execute("ROLLBACK")
        except SharedSessionsError:
            raise
        except (psycopg.OperationalError, psycopg.ProgrammingError) as error:
            # A server's answer is that transactions are not for us (`pool_mode = statement`), or that it does not know
            # a statement that was prepared: in another session, that is.
            raise SharedSessionsError(_SHARED if error.sqlstate else f"{_FEW}: {reason(error)}") from None


def _process_of(connection: Bounded) -> int:
    return int(connection.execute("SELECT pg_backend_pid()").fetchall()[0][0])


def connect(url: str, schema: str, *, seconds: float, read_only: bool = True) -> Bounded:
    """Connect to a schema of the database at `postgresql://...`; every statement is a transaction of its own.

    Connecting takes two seconds at the least before it is given up, a statement `seconds`. Raises psycopg.Error.
    """
    patience = round(seconds * 1000)
    settings: list[tuple[str, object]] = [
        ("search_path", schema),
        ("statement_timeout", patience),
        ("client_min_messages", "warning"),
        ("default_transaction_read_only", "on" if read_only else "off"),
    ]
    given = arguments() | {"connect_timeout": max(2, ceil(seconds)), "tcp_user_timeout": patience}
    connection = Bounded.connect(url, autocommit=True, **given)
    try:
        connection.seconds = seconds
        set_up(connection, url, settings)
        adapt(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def reason(error: psycopg.Error) -> str:
    """Say in a line what went wrong, without the values of anybody."""
    told = error.diag.message_primary or str(error).strip() or type(error).__name__
    return " ".join(told.split())
