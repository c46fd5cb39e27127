"""The front's glance into a schema of PostgreSQL's: `store.glance` on a cluster.

A database that hangs must not keep the front from anything for long: everything here is waited for a few seconds only.
"""

import threading
from typing import Any, Final

import psycopg

from richpanel.store.driver import Unreadable
from richpanel.store.postgres_driver import Bounded, connect, reason

SECONDS: Final = 3.0
"""How long a connection, and then each answer, is waited for."""


class Schema:
    """A schema, its connection kept; it is opened again after an error."""

    def __init__(self, url: str, schema: str, *, seconds: float = SECONDS) -> None:
        self._url = url
        self._schema = schema
        self._seconds = seconds
        self._connection: Bounded | None = None
        self._mutex = threading.Lock()

    def ask(self, question: str) -> list[Any]:
        """Give all rows of a query."""
        with self._mutex:
            try:
                return self._open().execute(_own(question)).fetchall()
            except psycopg.Error as error:
                raise self._failed(error, "read") from None

    def ask_all(self, *questions: str) -> list[list[Any]]:
        """Give all rows of each query, as of one moment."""
        with self._mutex:
            try:
                connection = self._open()
                connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
                answers: list[list[Any]] = [connection.execute(_own(each)).fetchall() for each in questions]
                connection.execute("COMMIT")
            except psycopg.Error as error:
                raise self._failed(error, "read") from None
        return answers

    def write(self, statement: str, rows: list[tuple[object, ...]]) -> None:
        """Run a statement (with `?`) for each row, in one transaction."""
        with self._mutex:
            try:
                connection = self._open()
                connection.execute("BEGIN READ WRITE")
                connection.cursor().executemany(_own(statement.replace("?", "%s")), rows)
                connection.execute("COMMIT")
            except psycopg.Error as error:
                raise self._failed(error, "written") from None

    def close(self) -> None:
        """Close it."""
        with self._mutex:
            self._close()

    def _open(self) -> Bounded:
        if self._connection is None:
            self._connection = connect(self._url, self._schema, seconds=self._seconds)
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _failed(self, error: psycopg.Error, what: str) -> Unreadable:
        self._close()
        return Unreadable(f"the schema {self._schema} cannot be {what}: {reason(error)}")


def _own(statement: str) -> Any:
    """Our own texts, of which the driver would like to be sure that nobody's values are in them."""
    return statement
