"""The outbox: which messages are for which destinations outside, written in the transaction that applies them.

Rows stay as long as their messages do. They are found by place, for a message's place in the log never changes, while a
state that is made anew numbers messages and identities afresh.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection

from richpanel.store import schema
from richpanel.store.bulk import LISTED, fetch, insert, listed, run

LIVE: Final = 0
BULK: Final = 1
"""Lanes: bulk work never holds up live traffic."""


class Numbers(NamedTuple):
    """What a message has in this state: its own number, and those of the identities that it names (`alias` 0: none)."""

    n: int
    identity: int
    alias: int


class Outgoing(NamedTuple):
    """A message for a destination; `received_at` is ms UTC, `event` the name of a track or page call."""

    place: int
    n: int
    identity: int
    alias: int
    lane: int
    received_at: int
    event: str | None


def add(connection: Connection, rows: Sequence[tuple[int, ...]]) -> None:
    """Add rows: (place, destination number, message number, identity, alias or 0, lane)."""
    insert(connection, schema.outbox, rows, ignore=True)


def remove(connection: Connection, numbers: Iterable[int]) -> None:
    """Remove what is there of messages, given by number, before their own rows go."""
    run(
        connection,
        f"DELETE FROM outbox WHERE place IN (SELECT place FROM messages WHERE n IN {LISTED})",
        listed(numbers),
    )


def any_at_all(connection: Connection) -> bool:
    """Tell whether anything was ever for a destination outside."""
    return bool(fetch(connection, "SELECT 1 FROM outbox LIMIT 1"))


def waiting(connection: Connection, destination: int, after: int, limit: int) -> tuple[list[Outgoing], int]:
    """Give the first messages for a destination behind a place, in log order, and up to which place those are all.

    None is given that is above the low-water mark: what is below it may be not there yet.
    """
    ((mark,),) = fetch(connection, "SELECT coalesce(max(position), 0) FROM progress WHERE id = 1")
    rows = fetch(
        connection,
        "SELECT o.place, o.n, o.identity, o.alias, o.lane, m.received, e.value FROM outbox o "
        "CROSS JOIN messages m ON m.n = o.n LEFT JOIN names e ON e.id = m.event "
        "WHERE o.place > ? AND o.place < ? AND o.destination = ? ORDER BY o.place LIMIT ?",
        *(after, mark, destination, limit),
    )
    found = [Outgoing(*row) for row in rows]
    return found, found[-1].place if len(found) == limit else max(mark, after)


def numbers(connection: Connection, destination: int, places: Iterable[int]) -> dict[int, Numbers]:
    """Give what messages have in this state, by place; without those that are no more."""
    rows = fetch(
        connection,
        f"SELECT place, n, identity, alias FROM outbox WHERE destination = ? AND place IN {LISTED}",
        *(destination, listed(places)),
    )
    return {place: Numbers(*rest) for place, *rest in rows}


def there(connection: Connection, places: Collection[int]) -> set[int]:
    """Tell which of these places the outbox has."""
    if not places:
        return set()
    rows = fetch(connection, f"SELECT DISTINCT place FROM outbox WHERE place IN {LISTED}", listed(places))
    return {row[0] for row in rows}
