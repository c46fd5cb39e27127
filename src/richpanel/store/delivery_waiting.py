"""What waits to be delivered, by destination, and since when: asked of either engine, with SQLAlchemy or without."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

Ask = Callable[[str], Sequence[Any]]
"""Gives all rows of a query."""


class Waiting(NamedTuple):
    """What there is of a destination; times are ms UTC. `delivered_at`: the minute in which something arrived last."""

    destination: int
    queued: int = 0
    retrying: int = 0
    dead: int = 0
    oldest_at: int | None = None
    delivered_at: int | None = None


def waiting(ask: Ask, destinations: Iterable[int]) -> list[Waiting]:
    """Tell of each of these destinations, by number, what waits."""
    numbers = sorted(set(destinations))
    if not numbers:
        return []
    named = ", ".join(map(str, numbers))
    counts = Counter[tuple[int, int]]()
    for destination, status, count in ask(
        f"SELECT destination, status, count(*) FROM deliveries WHERE destination IN ({named}) AND status IN (0, 1, 6) "
        "GROUP BY destination, status"
    ):
        counts[destination, status] = int(count)
    first = " UNION ALL ".join(
        f"SELECT * FROM (SELECT {number} AS destination, created_at FROM deliveries WHERE destination = {number} "
        f"AND status = {status} ORDER BY id LIMIT 1) AS first_{number}_{status}"
        for number in numbers
        for status in (0, 1)
    )
    oldest: dict[int, int] = {}
    for destination, created_at in ask(first):
        oldest[destination] = min(oldest.get(destination, created_at), created_at)
    arrived = {
        row[0]: int(row[1])
        for row in ask(
            f"SELECT destination, max(minute) FROM figures WHERE destination IN ({named}) AND status IN (2, 3) "
            "GROUP BY destination"
        )
    }
    return [
        Waiting(
            number,
            counts[number, 0],
            counts[number, 1],
            counts[number, 6],
            oldest.get(number),
            arrived.get(number) or None,
        )
        for number in numbers
    ]
