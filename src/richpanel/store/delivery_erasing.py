"""Erasing deliveries: whoever is erased is gone from what was sent, and from the files that it stood in."""

from collections.abc import Collection, Iterable

from sqlalchemy import Connection, Engine

from richpanel.store import outbox
from richpanel.store.bulk import LISTED, fetch, listed
from richpanel.store.deliveries import forget
from richpanel.store.vacuum import cut_wal, vacuum

_AT_ONCE = 5_000


def named(delivery: Engine, places: Collection[int]) -> list[str]:
    """Name the deliveries of messages, given by their places in the log: what a receipt is made of."""
    found: list[str] = []
    asked = list(places)
    with delivery.connect() as connection:
        for start in range(0, len(asked), _AT_ONCE):
            rows = fetch(
                connection,
                f"SELECT destination, place, replay FROM deliveries WHERE place IN {LISTED}",
                listed(asked[start : start + _AT_ONCE]),
            )
            found += [f"{destination}:{place}:{replay}" for destination, place, replay in rows]
    return found


def erase(delivery: Engine, places: Iterable[int]) -> bool:
    """Erase the deliveries of messages, with every try, from the files, too; False where a reader is in the way.

    Safe to do again. SQLite overwrites what it deletes (`store.database`); what its write-ahead log had goes here.
    """
    with delivery.begin() as connection:
        gone, _ = forget(connection, places)
    if delivery.dialect.name == "postgresql":
        if gone:
            vacuum(delivery)
        return True
    return cut_wal(delivery)


def sweep(connection: Connection, state: Connection) -> int:
    """Forget the deliveries of messages that the state does not have; give how many went. The caller commits.

    For a copy of the deliveries that is older than what was erased.
    """
    gone, last = 0, -1
    while True:
        rows = fetch(
            connection, "SELECT DISTINCT place FROM deliveries WHERE place > ? ORDER BY place LIMIT ?", last, _AT_ONCE
        )
        if not rows:
            return gone
        places = [row[0] for row in rows]
        gone += forget(connection, set(places) - outbox.there(state, places))[0]
        last = places[-1]
