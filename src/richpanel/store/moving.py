"""Copying a state from SQLite to PostgreSQL, table by table, as the rows are: numbers and places stay what they are.

What differs on PostgreSQL (`store.schema`, `store.postgres_schema`) is made so on the way: everything is in one part
there, long texts in indexes are cut, search entries have their words beside them. What of a row is written is also what
its digest is of, on both sides. Memory holds a few hundred rows, however many there are.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Engine, Table
from sqlalchemy.exc import IntegrityError

from richpanel.store import identities, parts, progress, schema, search
from richpanel.store.bulk import fetch, index_text, run
from richpanel.store.parts import IndexedIds
from richpanel.store.postgres import copy_rows
from richpanel.store.profile_rows import SORTED_CHARACTERS
from richpanel.store.row_digest import RowDigest

Row = tuple[Any, ...]
Show = Callable[[int], None]
"""Hears how many more rows are done."""
_AT_ONCE: Final = 500
STREAMED: Final = {"stream_results": True, "max_row_buffer": _AT_ONCE}
"""Options of a query whose rows are nowhere all at once."""


class Move(NamedTuple):
    """A table that is copied: which columns of it, and what becomes of a row on its way (it stays, where None)."""

    table: Table
    columns: tuple[str, ...]
    changed: Callable[[Connection, Row], Row] | None = None

    @property
    def query(self) -> str:
        """Give all rows."""
        return f'SELECT {self._listed} FROM "{self.table.name}"'

    @property
    def copy(self) -> str:
        """Take all rows, on PostgreSQL."""
        return f'COPY "{self.table.name}" ({self._listed}) FROM STDIN'

    @property
    def _listed(self) -> str:
        return ", ".join(f'"{name}"' for name in self.columns)


def _whole(table: Table, changed: Callable[[Connection, Row], Row] | None = None) -> Move:
    return Move(table, tuple(column.name for column in table.columns), changed)


def _in_one_part(_connection: Connection, row: Row) -> Row:
    return (0, *row[1:])


def _session(connection: Connection, row: Row) -> Row:
    profile, key, *rest = row
    return (profile, index_text(connection, key), *rest)


def _profile(_connection: Connection, row: Row) -> Row:
    return tuple(value[:SORTED_CHARACTERS] if isinstance(value, str) else value for value in row)


MOVES: Final = {
    move.table.name: move
    for move in (
        *map(_whole, (schema.names, schema.identities, schema.ownership, schema.addresses, schema.messages)),
        Move(schema.message_ids, ("part", "hash", "n"), _in_one_part),
        _whole(schema.history, _in_one_part),
        _whole(schema.profiles, _profile),
        Move(schema.search, ("rowid", "name", "email", "phone", "uid")),
        _whole(schema.sessions, _session),
        *map(_whole, (schema.orders, schema.order_profiles, schema.channel_activity, schema.manual, schema.duplicates)),
        *map(
            _whole, (schema.discards, schema.changes, schema.counters, schema.suppressed, schema.pieces, schema.outbox)
        ),
        *map(_whole, (schema.memberships, schema.told, schema.first_runs, schema.traffic)),
    )
}
"""What is copied row by row. The rest is made: `progress`, `parts`, sequences (`settle`), `erasing`, and the bodies;
`checks` are made again the next day.
"""

_NUMBERED: Final = ("names", "pieces", "duplicates", "discards", "suppressed")
"""Tables whose rows PostgreSQL numbers by itself."""


def count(old: Connection, name: str) -> int:
    """Count the rows that there are to copy."""
    return int(fetch(old, f'SELECT count(*) FROM "{name}"')[0][0])


def copy_table(old: Connection, new: Engine, name: str, show: Show) -> RowDigest:
    """Copy a table into an empty one; give the digest of what was written. Raises DatabaseError."""
    move, digest = MOVES[name], RowDigest()
    with new.begin() as connection:
        unhurried(connection)
        rows = _read(old, connection, move, digest, show)
        if name == "search":
            _write_search(connection, rows)
        elif name != "message_ids":
            copy_rows(connection, move.copy, rows)  # it takes one after the other
        else:
            digest = _write_ids(old, connection, move, show)
    return digest


def unhurried(connection: Connection) -> None:
    """A commit need not be on disk at once: one that comes later is, and those before it are then, too."""
    connection.exec_driver_sql("SET LOCAL synchronous_commit = off")


def _read(old: Connection, new: Connection, move: Move, digest: RowDigest, show: Show) -> Iterator[Row]:
    for rows in in_pieces(old, move.query):
        if move.changed is not None:
            rows = [move.changed(new, row) for row in rows]
        digest.add(rows)
        yield from rows
        show(len(rows))


def in_pieces(connection: Connection, query: str) -> Iterator[list[Row]]:
    """Give the rows of a query, some at a time."""
    with connection.exec_driver_sql(query, execution_options=STREAMED) as result:
        while rows := result.fetchmany(_AT_ONCE):
            yield [tuple(row) for row in rows]


def _write_search(connection: Connection, rows: Iterable[Row]) -> None:
    for piece in pieces(rows, _AT_ONCE):
        search.add(connection, {number: search.Entry(*texts) for number, *texts in piece})


def pieces(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    """Give rows in lists of so many at the most."""
    piece: list[Row] = []
    for row in rows:
        piece.append(row)
        if len(piece) == size:
            yield piece
            piece = []
    if piece:
        yield piece


def _write_ids(old: Connection, connection: Connection, move: Move, show: Show) -> RowDigest:
    """Write message ids. Two that share a hash are counted up (`store.parts.IndexedIds`); there are hardly any."""
    digest, done = RowDigest(), 0

    def count_up(rows: int) -> None:
        nonlocal done
        done += rows
        show(rows)

    try:
        with connection.begin_nested():
            copy_rows(connection, move.copy, _read(old, connection, move, digest, count_up))
    except IntegrityError:
        show(-done)
        digest, known = RowDigest(), IndexedIds()
        for piece in pieces(_read(old, connection, move, digest, show), _AT_ONCE):
            for single in _each_hash_once(piece):
                known.find(connection, [hashed for hashed, _ in single])
                known.add(connection, single)
    return digest


def _each_hash_once(rows: Iterable[Row]) -> list[list[tuple[int, int]]]:
    """Give (hash, number) in lists none of which has a hash twice."""
    lists: list[dict[int, int]] = []
    for _, hashed, number in rows:
        place = next((each for each in lists if hashed not in each), None)
        if place is None:
            lists.append(place := {})
        place[hashed] = number
    return [list(each.items()) for each in lists]


def digest_of(new: Connection, name: str, show: Show) -> RowDigest:
    """Give the digest of what PostgreSQL holds of a table now."""
    move, digest = MOVES[name], RowDigest()
    for rows in in_pieces(new, move.query):
        digest.add(((0, *row[1:]) for row in rows) if name == "message_ids" else rows)
        show(len(rows))
    return digest


def analyze(new: Connection) -> None:
    """Let PostgreSQL know what the tables are like now, or its first plans are bad ones."""
    listed = ", ".join(f'"{name}"' for name in (*MOVES, schema.bodies.name))
    new.exec_driver_sql(f"ANALYZE {listed}")


def settle(old: Connection, new: Connection, position: int) -> None:
    """Write what is not copied row by row: how far the state is, numbers to go on with, regulations not done with.

    `position` is where the first record begins that is still to be applied. Bodies still to be erased are not copied
    at all, so that of each regulation only its end is left.
    """
    stored = progress.read(old)
    progress.advance(new, position, stored.messages, stored.received_at)
    parts.widen(new, {})
    _go_on(new, "message_numbers", max(stored.messages, _greatest(old, "messages", "n")))
    _go_on(new, "identity_numbers", identities.last_number(old))
    _go_on(new, "order_numbers", _greatest(old, "orders", "id"))
    for name in _NUMBERED:
        number = max(_greatest(old, name, "id"), ever(old, name))
        if number:
            fetch(new, "SELECT setval(pg_get_serial_sequence(?, 'id'), ?)", name, number)
    for (regulation,) in fetch(old, "SELECT DISTINCT regulation FROM erasing WHERE regulation IS NOT NULL"):
        run(new, "INSERT INTO erasing (place, size, regulation) VALUES (0, 0, ?)", regulation)


def _greatest(connection: Connection, table: str, column: str) -> int:
    return int(fetch(connection, f'SELECT coalesce(max("{column}"), 0) FROM "{table}"')[0][0])


def ever(old: Connection, table: str) -> int:
    """Give the greatest number that SQLite has ever given in a table whose numbers never come again; 0 in others."""
    if not fetch(old, "SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'"):
        return 0
    rows = fetch(old, "SELECT seq FROM sqlite_sequence WHERE name = ?", table)
    return int(rows[0][0]) if rows else 0


def _go_on(new: Connection, sequence: str, number: int) -> None:
    if number:
        fetch(new, f"SELECT setval('{sequence}', ?)", number)


def is_empty(new: Connection) -> bool:
    """Tell whether a state holds nothing, on PostgreSQL."""
    return not fetch(new, "SELECT 1 FROM progress") and not fetch(new, "SELECT 1 FROM messages LIMIT 1")


def clear(new: Connection, keep: Sequence[str] = ()) -> None:
    """Empty a schema of all that this product has put there; but for `keep`, and the revision."""
    named = fetch(
        new,
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND NOT c.relispartition",
    )
    tables = [name for (name,) in named if name not in ("alembic_version", *keep)]
    listed = ", ".join(f'"{name}"' for name in tables)
    new.exec_driver_sql(f"TRUNCATE {listed} RESTART IDENTITY")
    sequences = fetch(
        new,
        "SELECT sequencename FROM pg_sequences WHERE schemaname = current_schema() "
        "AND sequencename IN ('message_numbers', 'identity_numbers', 'order_numbers')",
    )
    for (name,) in sequences:
        new.exec_driver_sql(f'ALTER SEQUENCE "{name}" RESTART')
