"""A line: what waits for one destination, in memory, so that who is next is known without asking for it.

A delivery waits for the one before it that shares one of its two numbers, in the same lane, until that one is finished.
Each is told whom to let go once it is finished itself; so what a delivery costs does not depend on how much waits.
"""

import heapq
from collections.abc import Collection, Iterable
from typing import NamedTuple


class Waiting(NamedTuple):
    """What a line knows of a delivery; `due_at` is ms UTC, `alias` 0 without one."""

    id: int
    identity: int
    alias: int
    lane: int
    due_at: int


class _Place:
    """A delivery's place: how many it waits for, and who waits for it, by either of its numbers."""

    __slots__ = ("after", "before", "due_at", "finished", "keys", "lane", "taken")

    def __init__(self, row: Waiting) -> None:
        """Wait for nobody."""
        self.keys = _keys(row)
        self.lane, self.due_at = row.lane, row.due_at
        self.before, self.taken, self.finished = 0, False, False
        self.after: list[int] = []


class Line:
    """Who is next, for one destination. What is added waits for all that was added before it."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self.last = 0
        """The highest id that was ever added."""
        self._places: dict[int, _Place] = {}
        self._tails: dict[int, int] = {}
        self._heads: dict[int, list[tuple[int, int]]] = {}
        self._taken: set[int] = set()

    def __len__(self) -> int:
        """Count those that are not finished."""
        return len(self._places)

    def add(self, rows: Iterable[Waiting]) -> int:
        """Let deliveries stand in line, in their order, where they do not yet; give how many are new."""
        before = len(self._places)
        for row in rows:
            self.last = max(self.last, row.id)
            if row.id in self._places:
                continue
            place = self._places[row.id] = _Place(row)
            for key in place.keys:
                if (tail := self._tails.get(key)) is not None:
                    self._places[tail].after.append(row.id)
                    place.before += 1
                self._tails[key] = row.id
            if not place.before:
                self._push(row.id, place)
        return len(self._places) - before

    def take(self, lane: int, now: int, limit: int) -> list[int]:
        """Give the ids of deliveries that may be sent now, the longest due first; they are given once."""
        heads, found = self._heads.get(lane, []), list[int]()
        while heads and len(found) < limit and heads[0][0] <= now:
            _, id_ = heapq.heappop(heads)
            place = self._places.get(id_)
            if place is None or place.taken or place.finished:
                continue
            place.taken = True
            found.append(id_)
        self._taken.update(found)
        return found

    def hold(self, under_way: Collection[int]) -> None:
        """Take those that are under way for given, and those back that were given and are not."""
        for id_ in self._taken.difference(under_way):
            self._taken.discard(id_)
            if (place := self._places.get(id_)) is not None:
                place.taken = False
                self._push(id_, place)
        for id_ in set(under_way) - self._taken:
            if (place := self._places.get(id_)) is not None:
                place.taken = True
                self._taken.add(id_)

    def put_off(self, id_: int, due_at: int) -> None:
        """Let a delivery that was given have its turn again, not before `due_at`, ms UTC."""
        self._taken.discard(id_)
        if (place := self._places.get(id_)) is not None:
            place.taken, place.due_at = False, due_at
            self._push(id_, place)

    def finish(self, id_: int) -> None:
        """Let a delivery go, and whoever waits for it come up."""
        self._taken.discard(id_)
        if id_ in self._places:
            self._places[id_].finished = True
        gone = [id_]
        while gone:
            at = gone.pop()
            place = self._places.get(at)
            if place is None or place.before:  # It goes when its turn comes: others wait for those before it, too.
                continue
            del self._places[at]
            for key in place.keys:
                if self._tails.get(key) == at:
                    del self._tails[key]
            for next_ in place.after:
                follower = self._places[next_]
                follower.before -= 1
                if follower.finished:
                    gone.append(next_)
                else:
                    self._push(next_, follower)

    def next_due(self, now: int) -> int | None:
        """Give when the first of those is due that are not due yet and wait for nobody; ms UTC."""
        return min((heads[0][0] for heads in self._heads.values() if heads and heads[0][0] > now), default=None)

    def _push(self, id_: int, place: _Place) -> None:
        if not place.before and not place.taken:
            heapq.heappush(self._heads.setdefault(place.lane, []), (place.due_at, id_))


def _keys(row: Waiting) -> tuple[int, ...]:
    """Give what a delivery must not share with one that is sent before it is finished: its numbers, in its lane."""
    identity, alias = row.identity * 2 + row.lane, row.alias * 2 + row.lane
    return (identity,) if not row.alias or row.alias == row.identity else (identity, alias)
