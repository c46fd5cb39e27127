"""Discards and repeats, as they are looked through where somebody is erased: no message that counts tells of them."""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, Table

from richpanel.store import bodies, schema
from richpanel.store.bodies import Place
from richpanel.store.bulk import LISTED, delete, fetch, listed, on_postgres


def discards(connection: Connection) -> Sequence[tuple[int, int, int, str, int, int, int | None]]:
    """Give all discards: (row id, source number, at, code, place, size, hash of the message id)."""
    return fetch(connection, "SELECT id, source, at, code, place, size, hash FROM discards")


def let_go(connection: Connection) -> Sequence[tuple[int, int, int]]:
    """Give (at, place, size) of discards that can be looked up no more, whose bytes the log still has."""
    return fetch(connection, "SELECT at, place, size FROM let_go")


def conflicts(connection: Connection) -> Sequence[tuple[int, int, int, int, int]]:
    """Give (row id, source number, receivedAt, place, size) of repeats with another content than what counts."""
    return fetch(
        connection,
        "SELECT d.id, m.source, d.received, d.place, d.size FROM duplicates d JOIN messages m ON m.n = d.n "
        "WHERE d.conflict = 1",
    )


def repeats_of(connection: Connection, numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Give place and size of all repeats of these messages."""
    statement = f"SELECT place, size FROM duplicates WHERE n IN {LISTED}"
    return [tuple(row) for row in fetch(connection, statement, listed(numbers))]


def remove_discards(connection: Connection, rows: Iterable[int]) -> None:
    """Remove discards by row id, with their bodies where the state has them."""
    _remove(connection, schema.discards, list(rows))


def remove_repeats(connection: Connection, rows: Iterable[int]) -> None:
    """Remove repeats by row id, with their bodies where the state has them."""
    _remove(connection, schema.duplicates, list(rows))


def _remove(connection: Connection, table: Table, rows: list[int]) -> None:
    if on_postgres(connection):
        found = fetch(connection, f"SELECT place, lead FROM {table.name} WHERE id IN {LISTED}", listed(rows))
        bodies.remove(connection, [Place(*row) for row in found])
    delete(connection, table, [(row,) for row in rows], keys=("id",))


def forget_let_go(connection: Connection, places: Iterable[int]) -> None:
    """Forget discards that were let go, now that their bytes go too."""
    delete(connection, schema.let_go, [(place,) for place in places], keys=("place",))
