"""Tries at deliveries, as whoever serves a destination needs them beside `store.deliveries`."""

from collections.abc import Iterable
from typing import Final

from sqlalchemy import Connection

from richpanel.store import deliveries
from richpanel.store.bulk import LISTED, fetch, listed, on_postgres
from richpanel.store.deliveries import Delivery

REPLAYS: Final = 0
"""Where `cursors` has how many deliveries replays have made: no destination has this number."""


def first_tries(connection: Connection, numbers: Iterable[int]) -> dict[int, int]:
    """Give when each of these deliveries was tried for the first time, ms UTC; without those that never were."""
    asked = listed(numbers)
    if not asked:
        return {}
    rows = fetch(
        connection, f"SELECT delivery, min(at) FROM attempts WHERE delivery IN {LISTED} GROUP BY delivery", asked
    )
    return {row[0]: row[1] for row in rows}


def waiting(connection: Connection, destination: int, limit: int) -> list[Delivery]:
    """Give deliveries of a destination that are not finished, whenever they are due."""
    rows = fetch(
        connection,
        f"SELECT {deliveries.COLUMNS} FROM deliveries WHERE destination = ? AND status < 2 ORDER BY id LIMIT ?",
        *(destination, limit),
    )
    return [Delivery(*row) for row in rows]


def was_served(connection: Connection, destination: int) -> bool:
    """Tell whether there is any delivery of a destination."""
    return bool(fetch(connection, "SELECT 1 FROM deliveries WHERE destination = ? LIMIT 1", destination))


def taken_over(connection: Connection, destination: int) -> int:
    """Give up to which place the outbox was taken over for a destination."""
    rows = fetch(connection, "SELECT place FROM cursors WHERE destination = ?", destination)
    return int(rows[0][0]) if rows else 0


def applied_to(state: Connection) -> int:
    """Give up to which place the log is in a state, without a gap."""
    return int(fetch(state, "SELECT coalesce(max(position), 0) FROM progress WHERE id = 1")[0][0])


def identity_of(state: Connection) -> str:
    """Tell this state from one that takes its place by the same name, whose numbers mean others."""
    if on_postgres(state):
        return str(fetch(state, "SELECT 'messages'::regclass::oid")[0][0])
    return str(fetch(state, "PRAGMA database_list")[0][2])  # Links are followed.


def replayed(connection: Connection) -> int:
    """Give what grows whenever a replay makes deliveries."""
    return taken_over(connection, REPLAYS)
