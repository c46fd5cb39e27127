"""Claiming: which deliveries of one destination may be sent now, from its line, and from the database beyond it."""

from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection

from richpanel.deliver.line import Line, Waiting
from richpanel.store import deliveries
from richpanel.store.deliveries import BULK, FINISHED, LIVE, Delivery, Result
from richpanel.store.delivery_requests import Asked

_AT_ONCE: Final = 5_000
_MOST_IN_LINE: Final = 50_000
"""So many stand in a line at the most, of each destination: 20 MB."""
_LOOK_AGAIN_MS: Final = 1_000


class Wanted(NamedTuple):
    """How many deliveries may be claimed in each lane, but none of those that are under way.

    `asked` is what people ask of others than those.
    """

    live: int
    bulk: int
    under_way: Collection[int]
    asked: Sequence[Asked]


class Claims:
    """What may be claimed of one destination. It knows nothing that the deliveries do not say, and can be made anew."""

    def __init__(self, destination: int) -> None:
        """Begin with an empty line."""
        self._destination = destination
        self._line = Line()
        self._looked_at = 0

    def record(self, delivery: Connection, results: Iterable[Result]) -> None:
        """Put on record what came of deliveries, and let whoever waited for them come up. The caller commits."""
        if not (found := list(results)):
            return
        deliveries.record(delivery, found)
        for result in found:
            if result.status >= FINISHED:
                self._line.finish(result.delivery.id)
            else:
                due_at = result.delivery.due_at if result.due_at is None else result.due_at
                self._line.put_off(result.delivery.id, due_at)

    def due(self, delivery: Connection, wanted: Wanted, now: int) -> list[Delivery]:
        """Claim from the line, which is filled up as far as that takes. `now` is ms UTC."""
        if wanted.live <= 0:
            return []
        self._line.hold(wanted.under_way)
        ids = self._take(wanted, now)
        while len(ids) < wanted.live and not self._is_full:
            rows = self._standing(delivery, now)
            self._line.add(rows)
            ids += self._take(wanted, now, len(ids))
            if len(rows) < _AT_ONCE:
                break
        there = deliveries.load(delivery, ids)
        for id_ in ids:
            if id_ not in there:
                self._line.finish(id_)  # Somebody was erased.
        found = [there[id_] for id_ in ids if id_ in there]
        return found + self._beyond(delivery, wanted, found, now) if self._is_full else found

    def next_due(self, now: int) -> int | None:
        """Give when something is due that is not due yet and waits for nobody, ms UTC."""
        at = self._line.next_due(now)
        return now + _LOOK_AGAIN_MS if at is None and self._is_full else at

    @property
    def _is_full(self) -> bool:
        return len(self._line) >= _MOST_IN_LINE

    def _take(self, wanted: Wanted, now: int, has: int = 0) -> list[int]:
        """Take from both lanes, what is live first, where `has` are taken already."""
        found = self._line.take(LIVE, now, wanted.live - has)
        return found + self._line.take(BULK, now, min(wanted.bulk, wanted.live - has - len(found)))

    def _standing(self, delivery: Connection, now: int) -> list[Waiting]:
        """Give what stands in line next; from time to time what became visible later than what was made after it."""
        rows = deliveries.standing(delivery, self._destination, self._line.last, _AT_ONCE)
        if not rows and len(self._line) < _AT_ONCE and now >= self._looked_at + _LOOK_AGAIN_MS:
            self._looked_at = now
            rows = deliveries.standing(delivery, self._destination, 0, _AT_ONCE)
        return [Waiting(*row) for row in rows]

    def _beyond(self, delivery: Connection, wanted: Wanted, found: Sequence[Delivery], now: int) -> list[Delivery]:
        """Claim what has no room in the line, in which too many wait for somebody."""
        beyond: list[Delivery] = []
        without = {*wanted.under_way, *(each.id for each in found)}
        for lane, most in ((LIVE, wanted.live), (BULK, wanted.bulk)):
            limit = min(most, wanted.live - len(found) - len(beyond))
            if limit > 0:
                beyond += deliveries.due(delivery, self._destination, lane, now=now, limit=limit, without=without)
        return beyond
