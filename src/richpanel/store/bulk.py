"""Statements for many rows at a time: the tables are SQLAlchemy's, the rows go straight to the driver."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Table

LISTED: Final = "(SELECT value FROM json_each(?))"
"""A list of integers or strings as a sub-select; pass it as `listed(values)`."""
_encode = msgspec.json.Encoder().encode


def listed(values: Iterable[Any]) -> str:
    """Write values for `LISTED`."""
    return _encode(list(values)).decode()


@cache
def _insert(table: Table, verb: str) -> str:
    columns = ", ".join(f'"{column.name}"' for column in table.columns)
    marks = ", ".join("?" for _ in table.columns)
    return f'{verb} INTO "{table.name}" ({columns}) VALUES ({marks})'


def insert(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]], *, replace: bool = False) -> None:
    """Insert rows, each a tuple of all the table's columns in order; `replace` overwrites rows with the same key."""
    if rows:
        verb = "INSERT OR REPLACE" if replace else "INSERT"
        connection.exec_driver_sql(_insert(table, verb), list(rows))


def many(connection: Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Run a statement once per row of parameters."""
    if rows:
        connection.exec_driver_sql(statement, list(rows))


def fetch(connection: Connection, statement: str, *parameters: Any) -> Sequence[Any]:
    """Run a query and give all its rows as tuples."""
    return connection.exec_driver_sql(statement, parameters).fetchall()
