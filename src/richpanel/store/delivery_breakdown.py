"""Figures of deliveries, broken down: over time, and by event."""

from collections import Counter, defaultdict
from typing import Final

import msgspec
from sqlalchemy import Connection

from richpanel.core.timestamps import iso
from richpanel.store.bulk import fetch
from richpanel.store.deliveries import ACCEPTED, DEAD, DELIVERED, FAILED, QUEUED, RETRYING, SUPERSEDED

MOST_DELIVERIES: Final = 200_000
"""So many of the newest deliveries are counted by event at the most."""
MOST_EVENTS: Final = 50
_SHOWN: Final = {DELIVERED: "delivered", ACCEPTED: "delivered", FAILED: "failed", DEAD: "failed", RETRYING: "retries"}
_NAMES: Final = {
    QUEUED: "queued",
    RETRYING: "retrying",
    SUPERSEDED: "superseded",
    FAILED: "failed",
    DEAD: "failed",
    DELIVERED: "delivered",
    ACCEPTED: "delivered",
}


class Moment(msgspec.Struct, rename="camel"):
    """A part of the window, from `at` on: how many were delivered and given up, and how many tries failed."""

    at: str
    delivered: int = 0
    failed: int = 0
    retries: int = 0


class EventFigures(msgspec.Struct, rename="camel", kw_only=True):
    """Calls of a name that came in the window, and what they are now; null stands for those without one, as identify.

    `failed` has the dead among it.
    """

    event: str | None
    received: int = 0
    filtered_at_destination: int = 0
    queued: int = 0
    retrying: int = 0
    failed: int = 0
    superseded: int = 0
    delivered: int = 0


ByEvent = dict[int, dict[str, Counter[str]]]
"""By destination number and event (empty without a name): how many there are of each figure."""


def series(delivery: Connection, destination: int, since: int, now: int, parts: int) -> list[Moment]:
    """Count what became of deliveries by the part of the window in which it did; times are ms UTC."""
    step = (now - since) // parts
    found: defaultdict[int, Counter[str]] = defaultdict(Counter)
    rows = fetch(
        delivery,
        "SELECT (minute - ?1) / ?2, status, sum(count) FROM figures WHERE destination = ?3 AND minute >= ?1 "
        "GROUP BY 1, 2",
        *(since, step, destination),
    )
    for part, status, count in rows:
        if status in _SHOWN:
            found[min(int(part), parts - 1)][_SHOWN[status]] += int(count)
    return [Moment(iso(since + part * step), **found[part]) for part in range(parts)]


def by_event(delivery: Connection, since: int) -> ByEvent:
    """Count deliveries of every destination that were made since an instant (ms UTC), by event and what they are."""
    rows = fetch(
        delivery,
        "SELECT destination, event, status, count(*) FROM "
        "(SELECT destination, event, status, created_at FROM deliveries ORDER BY id DESC LIMIT ?) newest "
        "WHERE created_at >= ? GROUP BY destination, event, status",
        *(MOST_DELIVERIES, since),
    )
    found: ByEvent = {}
    for destination, event, status, count in rows:
        counts = found.setdefault(destination, {}).setdefault(event or "", Counter())
        counts[_NAMES[status]] += count
    return found


def shown(counts: dict[str, Counter[str]]) -> list[EventFigures]:
    """Give the figures of the events that have the most."""
    most = sorted(counts.items(), key=lambda each: (-max(each[1].values(), default=0), each[0]))[:MOST_EVENTS]
    return [EventFigures(event=event or None, **figures) for event, figures in most]
