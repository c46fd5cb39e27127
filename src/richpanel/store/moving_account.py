"""Copying the definitions and the ledger from one engine to the other, whole, in one transaction: they are few."""

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection, Table, select

from richpanel.store.bulk import fetch, insert
from richpanel.store.definitions import metadata
from richpanel.store.moving import STREAMED, ever
from richpanel.store.row_digest import RowDigest

_AT_ONCE: Final = 2_000


def copy_account(old: Connection, new: Connection) -> RowDigest:
    """Copy every table into an empty one; give the digest of what was written. The caller commits."""
    digest = RowDigest()
    for table in metadata.sorted_tables:
        for rows in _rows(old, table):
            insert(new, table, rows)
            digest.add((str(table.name), *row) for row in rows)
        _number_on(old, new, table)
    return digest


def digest_of_account(connection: Connection) -> RowDigest:
    """Give the digest of what is there."""
    digest = RowDigest()
    for table in metadata.sorted_tables:
        for rows in _rows(connection, table):
            digest.add((str(table.name), *row) for row in rows)
    return digest


def _rows(connection: Connection, table: Table) -> Iterator[list[tuple[Any, ...]]]:
    with connection.execute(select(table), execution_options=STREAMED) as result:
        while rows := result.fetchmany(_AT_ONCE):
            yield [tuple(row) for row in rows]


def _number_on(old: Connection, new: Connection, table: Table) -> None:
    """Let PostgreSQL number on behind what was ever given."""
    numbered = next((column for column in table.columns if column.identity is not None), None)
    if numbered is None:
        return
    greatest = fetch(new, f'SELECT coalesce(max("{numbered.name}"), 0) FROM "{table.name}"')[0][0]
    if number := max(int(greatest), ever(old, table.name)):
        fetch(new, "SELECT setval(pg_get_serial_sequence(?, ?), ?)", table.name, numbered.name, number)
