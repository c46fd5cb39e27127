"""How old what waits in the log is: the figure behind every "lag"."""

from typing import Protocol

from richpanel.core.record import decode_meta
from richpanel.log.contract import Entry, LogGone


class Followed(Protocol):
    """What is needed of a reader."""

    def durable(self) -> int:
        """`LogReader.durable`."""

    def read(self, position: int, max_bytes: int) -> list[Entry]:
        """`LogReader.read`."""

    def first(self) -> int:
        """`LogReader.first`."""


def what_waits(log: Followed, position: int, max_bytes: int) -> list[Entry]:
    """Read what is not applied: from `position` on, or where that was dropped, from the oldest record there is.

    A stream that has lost its end goes on far above what was applied. Raises as `LogReader.read`.
    """
    try:
        return log.read(position, max_bytes)
    except LogGone:
        first = log.first()
        if first <= position:
            raise
        return log.read(first, max_bytes)


def kept_since(log: Followed) -> int | None:
    """Give `receivedAt` (ms UTC) of the oldest record that is kept; None without any. Raises as `waiting_since`."""
    return waiting_since(log, log.first())


def waiting_since(log: Followed, position: int) -> int | None:
    """Give `receivedAt` (ms UTC) of the first record from `position` on; None where there is none.

    Raises LogGone, LogDamaged, and ConnectionError over a network. On one thread at a time, as `LogReader.read` says.
    """
    if log.durable() <= position:
        return None
    waiting = what_waits(log, position, 1)
    return decode_meta(waiting[0].payload)[0].at if waiting else None
