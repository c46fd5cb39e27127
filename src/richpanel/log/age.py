"""How old what waits in the log is: the figure behind every "lag"."""

from typing import Protocol

from richpanel.core.record import decode_meta
from richpanel.log.contract import Entry


class Followed(Protocol):
    """What is needed of a reader."""

    def durable(self) -> int:
        """`LogReader.durable`."""

    def read(self, position: int, max_bytes: int) -> list[Entry]:
        """`LogReader.read`."""


def waiting_since(log: Followed, position: int) -> int | None:
    """Give `receivedAt` (ms UTC) of the first record from `position` on; None where there is none.

    Raises LogGone, LogDamaged, and ConnectionError over a network. On one thread at a time, as `LogReader.read` says.
    """
    if log.durable() <= position:
        return None
    waiting = log.read(position, 1)
    return decode_meta(waiting[0].payload)[0].at if waiting else None
