"""Sequences: events in strict order, and what did not follow (`conditions.Sequence`), kept so that time may go on.

An entry is an event's stamp and which steps it may be, a bit each. From the entries follow the times at which there is
somebody for whom the sequence holds: for each event that may be the last one, from when it is settled that nothing
followed until the first event leaves the window. Of all first events the latest is best, so one pass finds them.
"""

from bisect import bisect_right, insort
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeAlias

from richpanel.core.conditions import Sequence, Step
from richpanel.core.filtering import matching
from richpanel.core.happened import Happened, event_name
from richpanel.core.windows import NEVER

Interval: TypeAlias = tuple[int, int]
"""The instants from the first on, up to but not at the second."""
Entry: TypeAlias = list[Any]
"""`[t, messageId, source, bits]`."""

_DONE: Final = 0
"""Stands alone among the entries where the sequence has happened and nothing can undo it."""
_time: Final = itemgetter(0)


class _Not(NamedTuple):
    """What must not follow: its bit, and for how long, ms."""

    bit: int
    length: int


class _Link(NamedTuple):
    """A step that must follow: its bit, how soon, and what must not stand between."""

    bit: int
    length: int
    nots: tuple[_Not, ...]


class Chain:
    """A sequence, ready: keeps events, and tells when it holds."""

    def __init__(self, sequence: Sequence) -> None:
        """Prepare a sequence."""
        self._window = sequence.window
        self._length = sequence.window.length
        self._links: list[_Link] = []
        nots: list[_Not] = []
        for number, step in enumerate(sequence.steps, 1):
            length = NEVER if step.within is None else step.within.ms
            if step.followed:
                self._links.append(_Link(1 << number, length, tuple(nots)))
                nots = []
            else:
                nots.append(_Not(1 << number, length))
        self._nots = tuple(nots)
        steps = (Step(sequence.first), *sequence.steps)
        self._steps = [
            (event_name(step.event.name), 1 << number, step.followed, matching(step.event))
            for number, step in enumerate(steps)
        ]
        self._can_end = self._length == NEVER and all(step.followed for step in steps)
        self.names = frozenset(name for name, *_ in self._steps)
        self.looks_around = any(step.event.looks_around for step in steps)
        self.newest = NEVER
        self.looks_inside = True  # Of two of one instant their ids tell which was first.

    def empty(self) -> list[Any]:
        """Give what is kept of no events."""
        return []

    def take(self, kept: list[Any], happened: Happened) -> bool:
        """Add an event; tell whether that changed anything."""
        if kept and (kept[0] == _DONE or happened.t <= kept[-1][0] - self._length):
            return False
        lies_in = self._window.holds(happened.t)
        bits = 0
        for name, bit, followed, matches in self._steps:
            if name == happened.name and (lies_in or not followed) and matches(happened):
                bits |= bit
        if not bits:
            return False
        insort(kept, [*happened.stamp, bits])
        self._thin(kept)
        return True

    def join(self, kept: list[Any], other: list[Any]) -> None:
        """Add what is kept of other events."""
        if _DONE in (*kept[:1], *other[:1]):
            kept[:] = [_DONE]
        else:
            kept += other
            kept.sort()
            self._thin(kept)

    def judge(self, kept: list[Any], now: int) -> tuple[bool, int]:
        """Tell whether the sequence holds, and the next instant at which time alone changes that, else NEVER."""
        for since, until in self.holding(kept):
            if now < since:
                return False, since
            if now < until:
                return True, until
        return False, NEVER

    def holding(self, kept: list[Any]) -> list[Interval]:
        """Give the times at which the sequence holds, if nothing more happens."""
        if kept and kept[0] == _DONE:
            return [(-NEVER, NEVER)]
        firsts = [entry[0] if entry[3] & 1 else None for entry in kept]
        for link in self._links:
            follow = _follow_free if link.length == NEVER and not link.nots else _follow
            firsts = follow(kept, firsts, link)
        found = []
        following: dict[int, int] = {}
        for entry, first in zip(reversed(kept), reversed(firsts), strict=True):
            if first is not None:
                settled = self._settled(entry[0], following)
                until = min(first + self._length, NEVER)
                if settled is not None and settled < until:
                    found.append((settled, until))
            for bit, _ in self._nots:
                if entry[3] & bit:
                    following[bit] = entry[0]
        return _merged(found)

    def _settled(self, t: int, following: dict[int, int]) -> int | None:
        """Give from when on it is settled that nothing followed an event that must not; None where something did.

        `following` has the time of the next event of each bit.
        """
        settled = -NEVER
        for bit, length in self._nots:
            if bit in following and following[bit] < t + length:
                return None
            if length != NEVER:
                settled = max(settled, t + length)
        return settled

    def _thin(self, kept: list[Any]) -> None:
        if kept and kept[0][0] <= kept[-1][0] - self._length:
            del kept[: bisect_right(kept, kept[-1][0] - self._length, key=_time)]
        if self._can_end and self.holding(kept):
            kept[:] = [_DONE]


Firsts: TypeAlias = list[int | None]
"""For each entry, as the event of a step: the latest time of a first event that leads there, None where none does."""


def _follow_free(kept: list[Entry], firsts: Firsts, link: _Link) -> Firsts:
    best: int | None = None
    found: Firsts = []
    for entry, first in zip(kept, firsts, strict=True):
        found.append(best if entry[3] & link.bit else None)
        if first is not None and (best is None or first > best):
            best = first
    return found


def _follow(kept: list[Entry], firsts: Firsts, link: _Link) -> Firsts:
    return [_latest(kept, firsts, link, index) if entry[3] & link.bit else None for index, entry in enumerate(kept)]


def _latest(kept: list[Entry], firsts: Firsts, link: _Link, index: int) -> int | None:
    """Look back from an entry for those that it may follow."""
    t = kept[index][0]
    nearest: dict[int, int] = {}
    best: int | None = None
    for at in range(index - 1, -1, -1):
        before = kept[at][0]
        if t - before >= link.length:
            break
        first = firsts[at]
        if first is not None and (best is None or first > best) and _is_free(link, nearest, before):
            best = first
        for each in link.nots:
            if kept[at][3] & each.bit:
                nearest[each.bit] = before
                if each.length == NEVER:
                    return best
    return best


def _is_free(link: _Link, nearest: dict[int, int], before: int) -> bool:
    return all(nearest.get(each.bit, NEVER) - before >= each.length for each in link.nots if each.length != NEVER)


def _merged(intervals: list[Interval]) -> list[Interval]:
    found: list[Interval] = []
    for since, until in sorted(intervals):
        if found and since <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], until))
        else:
            found.append((since, until))
    return found
