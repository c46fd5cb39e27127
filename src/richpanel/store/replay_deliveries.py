"""Deliveries of a replay: one more of each message, in the lane for bulk work, marked with the replay.

Whoever serves the destination is told by a mark of its own, for nothing else changes that it looks at. A row of the
same message, destination and replay is made once, so all of it can be done again.
"""

from collections import Counter
from collections.abc import Collection
from typing import Final

from sqlalchemy import Connection

from richpanel.store import delivery_schema as schema
from richpanel.store.bulk import LISTED, fetch, insert, listed
from richpanel.store.deliveries import BULK, QUEUED, SUPERSEDED
from richpanel.store.delivery_figures import REPLAYED
from richpanel.store.tries import REPLAYS, taken_over

_MINUTE_MS: Final = 60_000
_COLUMNS: Final = (
    *("destination", "place", "n", "identity", "alias", "lane", "status", "attempts", "due_at", "created_at"),
    *("received_at", "replay", "event"),
)


def add(
    delivery: Connection, state: Connection, destination: int, replay: str, places: Collection[int], *, now: int
) -> int:
    """Send the messages at these places again, in log order; give how many. The caller commits `delivery`.

    Those that wait to be sent anyhow are left alone, and so are those that the destination is not for, or that are no
    more. `now` is ms UTC.
    """
    rows = fetch(
        state,
        "SELECT o.place, o.n, o.identity, o.alias, m.received, e.value FROM outbox o "
        "CROSS JOIN messages m ON m.n = o.n "
        f"LEFT JOIN names e ON e.id = m.event WHERE o.destination = ? AND o.place IN {LISTED} ORDER BY o.place",
        *(destination, listed(places)),
    )
    reached = taken_over(delivery, destination)  # What is behind it is taken over as anything else is.
    there = {
        row[0]
        for row in fetch(
            delivery,
            f"SELECT place FROM deliveries WHERE destination = ? AND (status < 2 OR replay = ?) AND place IN {LISTED}",
            *(destination, replay, listed(places)),
        )
    }
    fresh = [row for row in rows if row[0] <= reached and row[0] not in there]
    insert(
        delivery,
        schema.deliveries,
        [
            (destination, place, n, identity, alias, BULK, QUEUED, 0, now, now, received, replay, event)
            for place, n, identity, alias, received, event in fresh
        ],
        columns=_COLUMNS,
        ignore=True,
    )
    count(delivery, destination, len(fresh), now)
    if fresh:
        insert(delivery, schema.cursors, [(REPLAYS, len(fresh))], plus="place")
    return len(fresh)


def count(delivery: Connection, destination: int, number: int, now: int) -> None:
    """Count replayed messages in the figures; `now` is ms UTC."""
    counts = Counter({(destination, now - now % _MINUTE_MS, QUEUED, REPLAYED): number})
    insert(delivery, schema.figures, [(*key, each) for key, each in counts.items() if each], plus="count")


def given_up(delivery: Connection, destination: int, id: int) -> int | None:
    """Give the place in the log of a delivery that was given up, and is its message's last; None for others."""
    rows = fetch(
        delivery,
        "SELECT d.place FROM deliveries d WHERE d.id = ? AND d.destination = ? AND d.status >= ? AND NOT EXISTS "
        "(SELECT 1 FROM deliveries l WHERE l.place = d.place AND l.destination = d.destination AND l.id > d.id)",
        *(id, destination, SUPERSEDED),
    )
    return int(rows[0][0]) if rows else None
