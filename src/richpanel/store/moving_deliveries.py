"""Copying what was delivered, and what waits, from SQLite to PostgreSQL: what was sent must not be sent again.

Messages that came while the state was copied have other places in the stream, and are found there by what is told of
them. The numbers of what waits are put right by whoever delivers it first (`deliveries.renumber`).
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from sqlalchemy import Connection, Engine, Table

from richpanel.store.bulk import fetch
from richpanel.store.delivery_schema import metadata
from richpanel.store.moving import Move, Show, ever, in_pieces, unhurried
from richpanel.store.postgres import copy_rows
from richpanel.store.row_digest import RowDigest

MOVES: Final = {
    table.name: Move(table, tuple(column.name for column in table.columns)) for table in metadata.sorted_tables
}
"""All tables there are."""


def copy_deliveries(old: Connection, new: Engine, name: str, place_of: Callable[[int], int], show: Show) -> RowDigest:
    """Copy a table into an empty one; give the digest of what was written. Raises DatabaseError.

    `place_of` tells where in the new log something is that was at a place of the old one.
    """
    move, digest = MOVES[name], RowDigest()

    def rows() -> Iterator[tuple[Any, ...]]:
        for piece in in_pieces(old, move.query):
            moved = [_moved(move, row, place_of) for row in piece]
            digest.add(moved)
            yield from moved
            show(len(moved))

    with new.begin() as connection:
        unhurried(connection)
        copy_rows(connection, move.copy, rows())
        _number_on(old, connection, move.table)
    return digest


def digest_of_deliveries(new: Connection, name: str, show: Show) -> RowDigest:
    """Give the digest of what PostgreSQL holds of a table now."""
    digest = RowDigest()
    for rows in in_pieces(new, MOVES[name].query):
        digest.add(rows)
        show(len(rows))
    return digest


def any_deliveries(new: Connection) -> bool:
    """Tell whether anything was ever taken over, on PostgreSQL."""
    return bool(fetch(new, "SELECT 1 FROM cursors LIMIT 1") or fetch(new, "SELECT 1 FROM deliveries LIMIT 1"))


def _moved(move: Move, row: tuple[Any, ...], place_of: Callable[[int], int]) -> tuple[Any, ...]:
    if "place" not in move.columns:
        return row
    at = move.columns.index("place")
    return (*row[:at], place_of(row[at]), *row[at + 1 :])


def _number_on(old: Connection, new: Connection, table: Table) -> None:
    """Let PostgreSQL number on behind what was ever given: an id of before is nobody else's."""
    if table.autoincrement_column is not None and (number := ever(old, table.name)):
        fetch(
            new, "SELECT setval(pg_get_serial_sequence(?, ?), ?)", table.name, table.autoincrement_column.name, number
        )
