"""Figures of a window that moves: entries by time, and the values of their suffixes (`core.kept`)."""

from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from itertools import accumulate
from operator import itemgetter
from typing import Any, Final, TypeAlias

from richpanel.core.computed import AMOUNTS, LEAST_FREQUENT, Computation, Kind, Raw, rank, ranked
from richpanel.core.kept import Categories, Kept, Outermost, Steps, Sums, Times, Total, figure, reading_of
from richpanel.core.money import plus
from richpanel.core.stamps import Stamp
from richpanel.core.windows import NEVER

Entry: TypeAlias = list[Any]
"""The time, what is needed to tell which of one instant is first, and the reading."""
Suffix: TypeAlias = Callable[[int], Raw]
"""Gives the value of the entries from an index on."""

_time: Final = itemgetter(0)


class Entries:
    """Entries `[t, reading]`, or for first and last `[t, messageId, source, reading]`, sorted."""

    def __init__(self, kind: Kind, length: int) -> None:
        """Keep what a figure of this kind over this length of time (ms) needs."""
        self._kind = kind
        self._length = length

    def empty(self) -> list[Entry]:
        """Give what is kept of no events."""
        return []

    def add(self, kept: list[Entry], stamp: Stamp, readings: list[str]) -> bool:
        """Add an event."""
        if not readings or (kept and stamp[0] <= kept[-1][0] - self._length):
            return False
        place = list(stamp) if self._kind in ("first", "last") else [stamp[0]]
        before = kept[:] if self._kind in _THINNED else None
        for reading in readings:
            insort(kept, [*place, reading])
        self._thin(kept)
        return before is None or kept != before

    def join(self, kept: list[Entry], other: list[Entry]) -> None:
        """Add what is kept of other events."""
        kept += other
        kept.sort()
        self._thin(kept)

    def steps(self, kept: list[Entry], since: int) -> Steps:
        """Give the value of what is later than `since`, then those that follow as the window leaves entries behind."""
        at, end = bisect_right(kept, since, key=_time), len(kept)
        value = _SUFFIXES[self._kind](self._kind, kept, at)
        while at < end:
            t = kept[at][0]
            yield value(at), t
            at += 1
            while at < end and kept[at][0] == t:
                at += 1
        yield value(end), NEVER

    def _thin(self, kept: list[Entry]) -> None:
        if kept and kept[0][0] <= kept[-1][0] - self._length:
            del kept[: bisect_right(kept, kept[-1][0] - self._length, key=_time)]
        thin = _THINNED.get(self._kind)
        if thin is not None:
            kept[:] = thin(kept)


def _least(kept: list[Entry]) -> list[Entry]:
    """Keep what no entry of the same time or later is as little as: the least of any suffix is its first."""
    return _falling(kept, lambda one, other: one < other)


def _greatest(kept: list[Entry]) -> list[Entry]:
    return _falling(kept, lambda one, other: one > other)


def _falling(kept: list[Entry], outdoes: Callable[[Decimal, Decimal], bool]) -> list[Entry]:
    found: list[Entry] = []
    best: Decimal | None = None
    for entry in reversed(kept):
        amount = Decimal(entry[1])
        if best is None or outdoes(amount, best):
            if found and found[-1][0] == entry[0]:
                found.pop()
            found.append(entry)
            best = amount
    return found[::-1]


def _newest(kept: list[Entry]) -> list[Entry]:
    """Keep the newest entry of each reading."""
    return sorted({reading: [t, reading] for t, reading in kept}.values())


_THINNED: Final[dict[Kind, Callable[[list[Entry]], list[Entry]]]] = {
    "minimum": _least,
    "maximum": _greatest,
    "last": lambda kept: kept[-1:],
    "unique_list": _newest,
    "unique_count": _newest,
}


def _sums(kind: Kind, kept: list[Entry], start: int) -> Suffix:
    amounts = map(Decimal, (kept[index][1] for index in range(len(kept) - 1, start - 1, -1)))
    sums = list(accumulate(amounts, plus, initial=Decimal(0)))
    if kind == "sum":
        return lambda at: sums[len(kept) - at]
    return lambda at: figure(kind, sums[len(kept) - at], len(kept) - at)


def _first(kind: Kind, kept: list[Entry], __: int) -> Suffix:
    return lambda at: reading_of(kind, kept[at][-1]) if at < len(kept) else None


def _uniques(kind: Kind, kept: list[Entry], _: int) -> Suffix:
    if kind == "unique_count":
        return lambda at: len(kept) - at
    return lambda at: ranked(reading for _, reading in kept[at:])


def _frequent(_: Kind, kept: list[Entry], start: int) -> Suffix:
    counts: Counter[str] = Counter()
    best: list[tuple[int, str | None]] = [(0, None)]
    for index in range(len(kept) - 1, start - 1, -1):
        reading = kept[index][1]
        counts[reading] += 1
        number, known = best[-1]
        is_ahead = counts[reading] > number or (
            counts[reading] == number and known is not None and rank(reading) < rank(known)
        )
        best.append((counts[reading], reading) if is_ahead else best[-1])

    def value(at: int) -> Raw:
        number, reading = best[len(kept) - at]
        return reading if number >= LEAST_FREQUENT else None

    return value


_SUFFIXES: Final[dict[Kind, Callable[[Kind, list[Entry], int], Suffix]]] = {
    "sum": _sums,
    "average": _sums,
    "minimum": _first,
    "maximum": _first,
    "first": _first,
    "last": _first,
    "most_frequent": _frequent,
    "unique_list": _uniques,
    "unique_count": _uniques,
}


def keeping(computation: Computation) -> Kept:
    """Give the way in which a computation's events are kept."""
    kind, length = computation.kind, computation.window.length
    if kind == "count":
        return Total() if length == NEVER else Times(length)
    if length != NEVER:
        return Entries(kind, length)
    if kind in ("sum", "average"):
        return Sums(kind)
    return Outermost(kind) if kind in AMOUNTS or kind in ("first", "last") else Categories(kind)
