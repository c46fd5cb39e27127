"""What takes long to count, remembered for a while: whoever finds it a little old gets it, and it is counted again."""

import threading
from collections.abc import Callable, Hashable
from typing import Any, Final, Generic, NamedTuple, TypeVar

T = TypeVar("T")
FRESH_MS: Final = 3_000
OLD_MS: Final = 600_000
"""What is older than this nobody is given: they wait."""
MUCH: Final = 20_000
"""So many rows are looked at while somebody waits, some milliseconds; what took more is remembered."""


class Figured(NamedTuple, Generic[T]):
    """A value, as of when (ms UTC), and how many rows were looked at for it."""

    value: T
    at: int
    looked: int


class Remembered:
    """Values by key. Counting again takes a thread of whoever runs `later`, once at a time for each key."""

    def __init__(self, later: Callable[[Callable[[], object]], object], much: int = MUCH) -> None:
        """Know nothing yet. Where no more than `much` was looked at, it is counted each time."""
        self._later = later
        self._much = much
        self._known: dict[Hashable, Figured[Any]] = {}
        self._counting: set[Hashable] = set()
        self._lock = threading.Lock()

    def give(
        self, key: Hashable, now: int, count: Callable[[], Figured[T]], again: Callable[[], Figured[T]]
    ) -> Figured[T]:
        """Give a value. `count` counts it here, `again` elsewhere; `now` is ms UTC."""
        known = self._known.get(key)
        if known is None or known.looked <= self._much or not 0 <= now - known.at < OLD_MS:
            return self._note(key, count)
        if now - known.at >= FRESH_MS:
            with self._lock:
                is_first = key not in self._counting
                self._counting.add(key)
            if is_first:
                self._later(lambda: self._count_again(key, again))
        return known

    def _count_again(self, key: Hashable, again: Callable[[], Figured[T]]) -> None:
        try:
            self._note(key, again)
        finally:
            with self._lock:
                self._counting.discard(key)

    def _note(self, key: Hashable, count: Callable[[], Figured[T]]) -> Figured[T]:
        found = self._known[key] = count()
        return found
