"""What is still to be erased: bodies in the log, and what the state's own file has kept of rows that are gone."""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Connection

from richpanel.store import schema
from richpanel.store.bulk import LISTED, fetch, insert, listed, run


class Owed(NamedTuple):
    """A body in the log, of `size` bytes; none where that is 0. A `regulation` is done once all that it owes is."""

    id: int
    place: int
    size: int
    regulation: str | None


def add(connection: Connection, spans: Iterable[tuple[int, int]], regulation: str | None = None) -> None:
    """Note bodies that are to be erased."""
    rows = [(place, size, regulation) for place, size in spans]
    insert(connection, schema.erasing, rows, columns=("place", "size", "regulation"))


def owed(connection: Connection) -> list[Owed]:
    """Give all that is to be erased."""
    return [Owed(*row) for row in fetch(connection, "SELECT id, place, size, regulation FROM erasing ORDER BY id")]


def applied_among(connection: Connection, regulations: Iterable[str]) -> set[str]:
    """Tell which of these regulations, none of which is done, are applied to the state: they owe something."""
    asked = listed(regulations)
    rows = fetch(connection, f"SELECT DISTINCT regulation FROM erasing WHERE regulation IN {LISTED}", asked)
    return {row[0] for row in rows}


def done(connection: Connection, last: int) -> None:
    """Forget what has been erased, up to a number."""
    run(connection, "DELETE FROM erasing WHERE id <= ?", last)
