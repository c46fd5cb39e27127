"""What is kept of the events that count for somebody, so that a window can move on without them (`semantics.md` 8).

A figure of a window that moves is one of the newest entries: as time passes, the oldest one counts no more. So what is
kept is a list of entries by time, and the value at any instant is that of a suffix of it. What can never count again is
dropped: what lies a whole window behind the newest entry, and what a newer entry outdoes. Where all events count for
good, a total is enough.

Like all of a profile this is a union: entries may be added in any order, and what is kept of two sets of events can be
joined, with the same bytes. Only taking an event away needs a fresh fold. All of it is lists, maps, integers and texts.
"""

from bisect import bisect_right, insort
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final, Protocol, TypeAlias

from richpanel.core.computed import AMOUNTS, LEAST_FREQUENT, Kind, Raw, rank, ranked
from richpanel.core.money import average, plus, text, total
from richpanel.core.stamps import Stamp
from richpanel.core.windows import NEVER

Steps: TypeAlias = Iterator[tuple[Raw, int]]
"""Values with the time of the oldest entry that counts: each holds until a window begins there, the last for good."""

NOTHING: Final = "0.00"
"""An amount of nothing, as it is kept."""


class Kept(Protocol):
    """A way of keeping events. What is kept is changed in place."""

    def empty(self) -> Any:
        """Give what is kept of no events."""

    def add(self, kept: Any, stamp: Stamp, readings: list[str]) -> bool:
        """Add an event with what it says (`computed.readings`); tell whether that changed anything."""

    def join(self, kept: Any, other: Any) -> None:
        """Add what is kept of other events."""

    def steps(self, kept: Any, since: int) -> Steps:
        """Give the value of what is later than `since` (ms), then those that follow as `since` moves on."""


class Times:
    """The times of events, the newest `most` of them: a count within a window, as far as a comparison looks."""

    def __init__(self, length: int, most: int = NEVER) -> None:
        """Keep events for this long, ms."""
        self._length = length
        self._most = most

    def empty(self) -> list[int]:
        """Give what is kept of no events."""
        return []

    def add(self, kept: list[int], stamp: Stamp, _: list[str]) -> bool:
        """Add an event."""
        t = stamp[0]
        if kept and (t <= kept[-1] - self._length or (len(kept) >= self._most and t <= kept[0])):
            return False
        insort(kept, t)
        self._thin(kept)
        return True

    def join(self, kept: list[int], other: list[int]) -> None:
        """Add what is kept of other events."""
        kept += other
        kept.sort()
        self._thin(kept)

    def steps(self, kept: list[int], since: int) -> Steps:
        """Give how many are later than `since`, and so on."""
        at, end = bisect_right(kept, since), len(kept)
        while at < end:
            t = kept[at]
            yield end - at, t
            at = bisect_right(kept, t, at)
        yield 0, NEVER

    def _thin(self, kept: list[int]) -> None:
        if kept and kept[0] <= kept[-1] - self._length:
            del kept[: bisect_right(kept, kept[-1] - self._length)]
        if len(kept) > self._most:
            del kept[: len(kept) - self._most]


class Total:
    """The number of events, up to `most`: beyond that nothing changes any more, and nothing is written."""

    def __init__(self, most: int = NEVER) -> None:
        """Count up to this."""
        self._most = most

    def empty(self) -> list[int]:
        """Give what is kept of no events."""
        return [0]

    def add(self, kept: list[int], *_: object) -> bool:
        """Add an event."""
        if kept[0] >= self._most:
            return False
        kept[0] += 1
        return True

    def join(self, kept: list[int], other: list[int]) -> None:
        """Add what is kept of other events."""
        kept[0] = min(kept[0] + other[0], self._most)

    def steps(self, kept: list[int], _: int) -> Steps:
        """Give the number."""
        yield kept[0], NEVER


class Sums:
    """A sum, or an average: how many amounts, and what they come to."""

    def __init__(self, kind: Kind) -> None:
        """Keep a sum; `kind` says what is made of it."""
        self._kind = kind

    def empty(self) -> list[Any]:
        """Give what is kept of no events."""
        return [0, NOTHING]

    def add(self, kept: list[Any], _: Stamp, readings: list[str]) -> bool:
        """Add an event."""
        kept[0] += len(readings)
        kept[1] = text(total(map(Decimal, [kept[1], *readings])))
        return bool(readings)

    def join(self, kept: list[Any], other: list[Any]) -> None:
        """Add what is kept of other events."""
        kept[:] = [kept[0] + other[0], text(plus(Decimal(kept[1]), Decimal(other[1])))]

    def steps(self, kept: list[Any], _: int) -> Steps:
        """Give the sum, or the average; of nothing there is no average."""
        yield figure(self._kind, Decimal(kept[1]), kept[0]), NEVER


class Outermost:
    """The one that is outermost: the least or the greatest amount, the first or the last value."""

    def __init__(self, kind: Kind) -> None:
        """Keep the outermost of this kind."""
        self._kind = kind

    def empty(self) -> list[Any]:
        """Give what is kept of no events."""
        return []

    def add(self, kept: list[Any], stamp: Stamp, readings: list[str]) -> bool:
        """Add an event."""
        changed = False
        for reading in readings:
            changed |= self._take(kept, [reading] if self._kind in AMOUNTS else [*stamp, reading])
        return changed

    def join(self, kept: list[Any], other: list[Any]) -> None:
        """Add what is kept of other events."""
        if other:
            self._take(kept, other)

    def steps(self, kept: list[Any], _: int) -> Steps:
        """Give the value, if there is any."""
        yield reading_of(self._kind, kept[-1]) if kept else None, NEVER

    def _take(self, kept: list[Any], entry: list[Any]) -> bool:
        if kept and not outdoes(self._kind, entry, kept):
            return False
        kept[:] = entry
        return True


class Categories:
    """The values that were seen; for the most frequent one, how often each was."""

    def __init__(self, kind: Kind) -> None:
        """Keep the values."""
        self._kind = kind
        self._is_counted = kind == "most_frequent"

    def empty(self) -> dict[str, int]:
        """Give what is kept of no events."""
        return {}

    def add(self, kept: dict[str, int], _: Stamp, readings: list[str]) -> bool:
        """Add an event."""
        if not self._is_counted and all(reading in kept for reading in readings):
            return False
        for reading in readings:
            kept[reading] = kept.get(reading, 0) + 1 if self._is_counted else 1
        return bool(readings)

    def join(self, kept: dict[str, int], other: dict[str, int]) -> None:
        """Add what is kept of other events."""
        for reading, number in other.items():
            kept[reading] = kept.get(reading, 0) + number if self._is_counted else 1

    def steps(self, kept: dict[str, int], _: int) -> Steps:
        """Give the list, the number of values, or the most frequent one."""
        if self._kind == "most_frequent":
            yield _most_frequent(kept), NEVER
        else:
            yield ranked(kept) if self._kind == "unique_list" else len(kept), NEVER


def figure(kind: Kind, whole: Decimal, number: int) -> Raw:
    """Give a sum, or the average of so many amounts; of none there is no average."""
    if kind == "sum":
        return whole
    return average(whole, number) if number else None


def reading_of(kind: Kind, reading: str) -> Raw:
    """Give a reading as a value."""
    return Decimal(reading) if kind in AMOUNTS else reading


def outdoes(kind: Kind, entry: list[Any], kept: list[Any]) -> bool:
    """Tell whether an entry is further out than another one: `[amount]`, or a stamp and a value."""
    match kind:
        case "minimum":
            return Decimal(entry[0]) < Decimal(kept[0])
        case "maximum":
            return Decimal(entry[0]) > Decimal(kept[0])
        case "first":
            return entry < kept
        case _:
            return entry > kept


def _most_frequent(counts: dict[str, int]) -> str | None:
    most = max(counts.values(), default=0)
    if most < LEAST_FREQUENT:
        return None
    return min((reading for reading, number in counts.items() if number == most), key=rank)
