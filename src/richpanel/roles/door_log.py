"""The log at the front, whichever engine keeps it."""

from collections.abc import Callable
from dataclasses import dataclass

from richpanel.log.contract import LogDoor, LogReader
from richpanel.web.health import LogState


@dataclass(frozen=True)
class DoorLog:
    """The log at the front: what reads it, what takes records (None where this server takes none in), how it is."""

    reader: LogReader
    writer: LogDoor | None
    state: Callable[[], LogState]
    recovered: str | None = None
    """What opening it found that a person should know."""

    @property
    def refusal(self) -> str | None:
        """Why records are refused just now."""
        return self.writer.refusal if self.writer is not None else None

    @property
    def waiting(self) -> int:
        """Bytes that wait to be safe."""
        return self.writer.waiting if self.writer is not None else 0
