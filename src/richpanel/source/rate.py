"""Rates: how many calls a second a source may send, and how long it waits when it sent more (`semantics.md` 2)."""

import math
from typing import Final

_NEVER_SECONDS: Final = 3_600
"""What a source is told that may send nothing."""


class Rates:
    """A bucket of calls for each source; it fills at the source's rate and holds one second of it."""

    def __init__(self) -> None:
        """Begin with full buckets."""
        self._buckets: dict[str, tuple[float, int]] = {}

    def take(self, source: str, rate: float, calls: int, now: int) -> int:
        """Take so many calls out of a source's bucket at `now` (ms); give 0, or the seconds to wait when it is empty.

        A bucket that is not empty lets a whole request pass, and may be in debt for it: a batch is not divided, and one
        that is larger than the bucket must pass, too.
        """
        full = max(rate, 1.0)
        level, since = self._buckets.get(source, (full, now))
        level = min(full, level + max(now - since, 0) * rate / 1000)
        if level < 1:
            self._buckets[source] = (level, now)
            return max(1, math.ceil((1 - level) / rate)) if rate > 0 else _NEVER_SECONDS
        self._buckets[source] = (level - calls, now)
        return 0
