"""Locks that those hold who write a state of PostgreSQL's beside each other, each until its transaction ends.

Everybody whom a transaction may change is in a **lane**, by the hash of the identity they are known by. Who holds a
lane is the only one to read and write what is in it; an order is held by holding all who have part in it.
"""

from collections.abc import Collection, Iterable
from typing import Final

from sqlalchemy import Connection

from richpanel.store.bulk import LISTED, fetch, listed

LANES: Final = 16
"""As many can write at a time at the most. All writers must have the same number."""
_EVERYBODY: Final = 0x72706E6C00000001
_LANES: Final = 0x72706E6C
"""The locks' names among those of other programs in the same database: a number of 64 bits, and the first of two."""


def lane(hashed: int) -> int:
    """Give the lane of an identity's hash."""
    return hashed % LANES


def lanes_of(connection: Connection, numbers: Iterable[int]) -> dict[int, int]:
    """Give the lanes of identities, by number."""
    rows = fetch(connection, f"SELECT id, hash FROM identities WHERE id IN {LISTED}", listed(set(numbers)))
    return {number: lane(hashed) for number, hashed in rows}


def hold(connection: Connection, lanes: Collection[int]) -> None:
    """Wait until nobody else has one of these lanes; they are taken in one order by all."""
    fetch(connection, "SELECT pg_advisory_xact_lock_shared(?)", _EVERYBODY)
    for each in sorted(lanes):
        fetch(connection, "SELECT pg_advisory_xact_lock(?, ?)", _LANES, each)


def alone(connection: Connection) -> None:
    """Wait until nobody else writes anything, and let nobody begin."""
    fetch(connection, "SELECT pg_advisory_xact_lock(?)", _EVERYBODY)


def writes(connection: Connection) -> int:
    """Tell how often lanes have been written, all together."""
    return int(fetch(connection, "SELECT sum(version) FROM lanes")[0][0])


def count_up(connection: Connection, lanes: Collection[int] | None) -> dict[int, int]:
    """Count a write of lanes that are held, or of all; give each one's new count, which tells others of it."""
    rows = fetch(
        connection,
        f"UPDATE lanes SET version = version + 1 WHERE lane IN {LISTED} RETURNING lane, version",
        listed(range(LANES) if lanes is None else lanes),
    )
    return {row[0]: row[1] for row in rows}
