"""Turns: those who write a state of PostgreSQL's beside each other change what concerns people one after the other.

What is new and nobody's yet (rows of messages, their bodies) is written at any time, between `begin` and the turn. All
of it holds until the transaction ends.
"""

from typing import Final

from sqlalchemy import Connection

from richpanel.store.bulk import fetch

_TURN: Final = 0x72706E6C00000001
_WRITERS: Final = 0x72706E6C00000002
"""The locks' names among those of other programs in the same database."""
_QUICK: Final = "2s"


def begin(connection: Connection) -> None:
    """Begin to write what concerns nobody yet; wait while somebody is `alone`."""
    fetch(connection, "SELECT pg_advisory_xact_lock_shared(?)", _WRITERS)


def take(connection: Connection) -> int:
    """Wait for the turn; give its number. Where it follows one's own last, nobody else has had one meanwhile."""
    fetch(connection, "SELECT pg_advisory_xact_lock(?)", _TURN)
    return int(fetch(connection, "SELECT nextval('turn_numbers')")[0][0])


def begin_and_take(connection: Connection) -> int:
    """Begin, and wait for the turn at once."""
    begin(connection)
    return take(connection)


def alone(connection: Connection) -> int:
    """Wait until nobody else writes anything, and let nobody begin; give the number of this turn."""
    fetch(connection, "SELECT pg_advisory_xact_lock(?)", _WRITERS)
    return take(connection)


def be_quick(connection: Connection) -> None:
    """Have this transaction fail rather than wait for long: the one it waits for may wait for who began it.

    Nor does it wait for the disk. Who relies on what it writes commits later, and is on disk only together with it.
    """
    fetch(
        connection, "SELECT set_config('lock_timeout', ?, true), set_config('synchronous_commit', 'off', true)", _QUICK
    )
