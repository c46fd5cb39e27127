"""The schemas of a cluster as files, table by table, and back: what `richpanel backup` takes of PostgreSQL.

A file has a table's rows as COPY writes them, a line each; whoever reads them back, in whichever order, has the same
digest. Numbers that sequences gave are taken after all rows, so that none is given twice.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from richpanel.store.bulk import fetch
from richpanel.store.definitions import metadata as account_tables
from richpanel.store.postgres import raw_cursor
from richpanel.store.row_digest import RowDigest

SCHEMAS: Final = ("account", "state", "delivery")
_NOT_COPIED: Final = ("alembic_version", "half_copy")
"""What the tables of a revision bring along, or what concerns one database alone."""
_TABLES: Final = (
    "SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum) FROM pg_class c JOIN pg_attribute a "
    "ON a.attrelid = c.oid WHERE c.relnamespace = ?::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition "
    "AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' GROUP BY c.relname"
)
_SEQUENCES: Final = (
    "SELECT schemaname || '.' || sequencename, last_value FROM pg_sequences "
    "WHERE schemaname IN ('account', 'state', 'delivery') AND last_value IS NOT NULL"
)
_AT_ONCE: Final = 1_000
Show = Callable[[int], None]
"""Hears how many more bytes were read or written."""


class Dumped(msgspec.Struct, frozen=True):
    """A table in a backup: its columns in the order of the file, and the digest of its rows."""

    schema: str
    table: str
    columns: list[str]
    digest: str

    @property
    def file(self) -> str:
        """What its file is called."""
        return f"{self.schema}/{self.table}.copy"

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return int(self.digest.partition(":")[0])


def tables(connection: Connection) -> list[Dumped]:
    """Name all tables that a backup has, in an order in which they can be filled again; none has a digest yet."""
    order = {str(table.name): number for number, table in enumerate(account_tables.sorted_tables)}
    found = []
    for schema in SCHEMAS:
        rows = [(name, columns) for name, columns in fetch(connection, _TABLES, schema) if name not in _NOT_COPIED]
        for name, columns in sorted(rows, key=lambda row: (order.get(row[0], len(order)), row[0])):
            found.append(Dumped(schema, name, list(columns), ""))
    return found


def dump(connection: Connection, table: Dumped, write: Callable[[bytes], object], show: Show) -> Dumped:
    """Write the rows of a table, as this connection sees them; give it with its digest. Raises DatabaseError."""
    digest = RowDigest()
    for lines in _in_pieces(_rows(connection, table)):
        digest.add((line,) for line in lines)
        piece = b"".join(lines)
        write(piece)
        show(len(piece))
    return msgspec.structs.replace(table, digest=str(digest))


def load(connection: Connection, table: Dumped, pieces: Iterable[bytes], show: Show) -> None:
    """Put rows into an empty table. Raises DatabaseError."""
    with raw_cursor(connection) as cursor, cursor.copy(f"COPY {_name(table)} ({_columns(table)}) FROM STDIN") as copy:
        for piece in pieces:
            copy.write(piece)
            show(len(piece))


def digest_of(connection: Connection, table: Dumped, show: Show) -> str:
    """Give the digest of what a table holds now."""
    return dump(connection, table, len, show).digest


def numbers(connection: Connection) -> dict[str, int]:
    """Give the last number that each sequence gave, by its name."""
    return dict(tuple(row) for row in fetch(connection, _SEQUENCES))


def number_on(connection: Connection, last: dict[str, int]) -> None:
    """Let sequences go on behind these numbers."""
    for name, number in last.items():
        fetch(connection, "SELECT setval(?::regclass, ?)", name, number)


def _rows(connection: Connection, table: Dumped) -> Iterator[bytes]:
    rows = f"SELECT {_columns(table)} FROM {_name(table)}"  # A partitioned table cannot be copied by its name.
    with raw_cursor(connection) as cursor, cursor.copy(f"COPY ({rows}) TO STDOUT") as copy:
        for line in copy:  # The server sends each row by itself.
            yield bytes(line)


def _in_pieces(rows: Iterator[bytes]) -> Iterator[Sequence[bytes]]:
    piece: list[Any] = []
    for row in rows:
        piece.append(row)
        if len(piece) == _AT_ONCE:
            yield piece
            piece = []
    if piece:
        yield piece


def _name(table: Dumped) -> str:
    return f'{table.schema}."{table.table}"'


def _columns(table: Dumped) -> str:
    return ", ".join(f'"{column}"' for column in table.columns)
