"""Slack: what a burst of work has freed and the allocator still holds goes back to the system once it is over.

Folding a backlog makes and drops a million objects at a time. glibc keeps what they leave wherever something small that
lives on stands behind it, for ever: 30 MB of the processing's memory after 300,000 events.
"""

import ctypes
import threading
from typing import Final

AFTER_SECONDS: Final = 10.0
"""Work that goes on is interrupted so seldom."""


class Slack:
    """Gives back what is free, some seconds after the first work since it did so last."""

    def __init__(self, after: float = AFTER_SECONDS) -> None:
        self._after = after
        self._is_due = False

    def worked(self) -> None:
        """Note that something was done."""
        if self._is_due or _trim is None:
            return
        self._is_due = True
        timer = threading.Timer(self._after, self._give_back)
        timer.name, timer.daemon = "slack", True
        timer.start()

    def _give_back(self) -> None:
        self._is_due = False
        if _trim is not None:
            _trim(0)


_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
"""glibc's alone; others have no such slack, or no such call."""
