"""Health: how the destinations outside have taken what was sent to them lately, in two short questions for all."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Connection

from richpanel.core.latencies import percentile
from richpanel.store.bulk import fetch
from richpanel.store.deliveries import ACCEPTED, DEAD, DELIVERED, FAILED
from richpanel.store.delivery_waiting import Waiting, waiting


class Health(NamedTuple):
    """What became of deliveries in a window, and what waits now.

    `percent` is the share of those done with that arrived, None where none was. The latencies are ms, from the arrival
    of a call to the answer. `waiting` is as of now.
    """

    waiting: Waiting
    delivered: int = 0
    failed: int = 0
    percent: float | None = None
    p50: int | None = None
    p99: int | None = None


def health(delivery: Connection, destinations: Iterable[int], since: int) -> dict[int, Health]:
    """Tell of destinations, by number, how they did since an instant (ms UTC)."""
    numbers = sorted(set(destinations))
    counts: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for number, status, count in fetch(
        delivery,
        "SELECT destination, status, sum(count) FROM figures WHERE minute >= ? AND code <> 'dropped' "
        "GROUP BY destination, status",
        since,
    ):
        counts[number][status] = int(count)
    took: defaultdict[int, dict[int, int]] = defaultdict(dict)
    for number, bucket, count in fetch(
        delivery,
        "SELECT destination, bucket, sum(count) FROM latencies WHERE minute >= ? GROUP BY destination, bucket",
        since,
    ):
        took[number][bucket] = int(count)
    now = {each.destination: each for each in waiting(lambda query: fetch(delivery, query), numbers)}
    return {number: _health(now[number], counts[number], took[number]) for number in numbers}


def _health(now: Waiting, counts: Counter[int], took: dict[int, int]) -> Health:
    delivered, failed = counts[DELIVERED] + counts[ACCEPTED], counts[FAILED] + counts[DEAD]
    done = delivered + failed
    percent = 100 * delivered / done if done else None
    return Health(now, delivered, failed, percent, percentile(took, 50), percentile(took, 99))
