"""PostgreSQL's driver: how a session is set up, and connections without SQLAlchemy that wait for nothing for long.

`store.driver` is the same for SQLite. Texts may hold here what PostgreSQL's may not (`escape`).
"""

from collections.abc import Sequence
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


def session_options(settings: Sequence[tuple[str, object]]) -> dict[str, object]:
    """Give what every connection is opened with, its session's settings among it."""
    return {
        "options": " ".join(f"-c {name}={value}" for name, value in (*_LOST, *settings)),
        "application_name": APPLICATION,
        "client_encoding": "UTF8",  # Or a database without any (SQL_ASCII) would give bytes for texts.
        "connect_timeout": CONNECT_SECONDS,
        "keepalives_idle": 5,
        "keepalives_interval": 5,
        "tcp_user_timeout": SILENT_MS,
    }


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
    given = session_options(settings) | {"connect_timeout": max(2, ceil(seconds)), "tcp_user_timeout": patience}
    connection = Bounded.connect(url, autocommit=True, **given)  # type: ignore[arg-type]  # all are texts or numbers
    connection.seconds = seconds
    adapt(connection)
    return connection


def reason(error: psycopg.Error) -> str:
    """Say in a line what went wrong, without the values of anybody."""
    told = error.diag.message_primary or str(error).strip() or type(error).__name__
    return " ".join(told.split())
