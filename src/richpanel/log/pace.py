"""A pace: how much of the disk work in the background may take, so that live traffic keeps its latency."""

from math import inf
from time import monotonic, sleep
from typing import Final

_BEHIND_SECONDS: Final = 0.25
"""What was not used is kept for so long; after a pause nobody gets to take all that was missed at once."""


class Pace:
    """Holds work to so many bytes a second."""

    def __init__(self, bytes_per_second: float = inf) -> None:
        self._rate = bytes_per_second
        self._due = monotonic()

    def spend(self, count: int) -> None:
        """Wait until `count` more bytes are in order."""
        self._due = max(self._due, monotonic() - _BEHIND_SECONDS) + count / self._rate
        wait = self._due - monotonic()
        if wait > 0:
            sleep(wait)
