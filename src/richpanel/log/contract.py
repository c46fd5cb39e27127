"""What a log promises, whichever engine keeps it (architecture.md, "One contract, two engines, one test suite").

A **position** is a virtual byte offset over everything that was ever appended; an empty log stands at 0. A record takes
`HEADER_SIZE + len(payload)` positions. Positions only grow and are never given twice to something that was readable,
though there may be a gap between two records (segments have one where a disk lost what it had promised, a stream behind
every record): read on from `Entry.end`, never from sums of your own.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from richpanel.core.record import BodyGone

HEADER_SIZE: Final = 8
"""Bytes before a payload: u32 length, u32 CRC-32, little endian. The CRC covers the length's four bytes and then the
payload, so that zeroes on a disk are never a record."""


class LogFull(Exception):
    """Too much is waiting, or the disk took nothing: nothing was kept, the caller answers 429 and may try again."""


class LogClosed(Exception):
    """The log was closed: nothing was kept."""


class LogUnsure(Exception):
    """The log's owner went away, or was silent for too long, before it answered: the record may be kept or not."""


class LogLocked(Exception):
    """Another process owns the log."""


class LogGone(BodyGone):
    """The position lies before the oldest record that is kept (retention)."""


class LogBusy(Exception):
    """Somebody reads the whole log (a backup) and needs it as it is: try again later."""


class LogDamaged(Exception):
    """What stands at `position` is not the record that was written there: the disk or a hand changed it."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(f"the log is damaged at position {position}: {reason}")
        self.position = position
        self.reason = reason


class Entry(NamedTuple):
    """One record as read. The payload's first byte stands at position `start + HEADER_SIZE`."""

    start: int
    """Position of the record's first byte, its header."""
    end: int
    """Position behind the record, where reading goes on."""
    payload: bytes
    """The exact payload, as a bytes object of its own: keeping it keeps nothing else alive."""


class LogWriter(Protocol):
    """One who appends: the only one to segments, one of many to a stream. Called on the event loop it was opened on."""

    @property
    def durable(self) -> int:
        """End of the last record that is safe on disk; the same number that readers see."""

    async def append(self, payload: bytes | Sequence[bytes]) -> int:
        """Keep one record and return its end position, once it is safe; records are kept in the order of the calls.

        A sequence of buffers is one payload, its parts one after the other. A caller who is cancelled may or may not
        have been kept. Raises LogFull (nothing was kept, try later), LogClosed, and ValueError for a payload that is
        larger than all that may ever wait, or than a record can be. A writer that reaches the log over a socket also
        raises LogUnsure.
        """

    async def archive(self, position: int, before: float) -> int | None:
        """Rewrite the oldest piece that is not archived yet in its compact, permanent form; return where it began.

        A piece that ends at or below `position` and took its last record before `before` (seconds UTC); None where
        there is none (a stream has none), or somebody needs them all as they are. Positions stay, and every record and
        slice reads as before, also meanwhile and after a crash at any instant. It yields to live traffic. Raises
        OSError (it can be tried again), and LogDamaged for a piece that has a damaged record: that stays as it is and
        is not tried again.
        """

    async def retain(self, position: int, before: float | None = None) -> list[int]:
        """Drop what is older than `position`, as far as that goes in whole pieces; return the positions they began at.

        With `before` (seconds UTC) only what is archived and took its last record before that. Never drops a record
        that ends behind `position`, nor anything while somebody reads them all. Raises OSError.
        """

    async def close(self) -> None:
        """Keep all that was appended before, then give the log free for another owner. A second call does nothing."""


class LogDoor(LogWriter, Protocol):
    """A writer that says how it fares, for the one who takes calls in: of segments their owner, of a stream anyone."""

    @property
    def waiting(self) -> int:
        """Bytes that wait to be safe, each append counted with 1 KB more than its payload."""

    @property
    def refusal(self) -> str | None:
        """Why records are refused just now, or wait without end; None where they are taken.

        It tries again by itself, so that this turns None without anybody appending.
        """


class LogEraser(LogWriter, Protocol):
    """A writer whose log can take bodies out of records that stay where they are: of segments, not of a stream."""

    async def erase(self, spans: Sequence[tuple[int, int]]) -> int:
        """Erase bodies for good; return how many records this has changed. A span is a body's (place, size).

        Afterwards no file of the log has those bodies, nor what a record's meta said of them alone (`record.erase`):
        spaces stand there instead. Every position, and all that was not named, reads as before; a reader in any process
        reads the new bytes within a second. What is erased or dropped already is passed over, so that a call that a
        crash cut short is made again. It yields to live traffic: seconds for each piece of the log that it touches.

        Raises LogBusy, OSError and LogFull (it can be tried again); LogClosed; and, when all the rest is done,
        LogDamaged for a piece that is damaged, or ValueError for a span that is no body: such a piece stays as it is.
        A writer in another process than the log's owner also raises LogUnsure, but waits as long as it takes.
        """


class LogReader(Protocol):
    """One who reads, in any process and, for `slice` and `durable`, on any thread. It never sees what is not safe.

    Where the log is reached over a network, each of them raises ConnectionError once that has been away for long.
    """

    def durable(self) -> int:
        """End of the last safe record as the writer published it, 0 where no writer ever ran. Costs next to nothing.

        Over a network it may be some milliseconds behind; `read` and `end_now` are not.
        """

    def end_now(self) -> int:
        """End of the log as it is asked for now: at or behind that of each record that was promised before the call.

        Over a network that is a question to the log's server.
        """

    def read(self, position: int, max_bytes: int = 8 << 20) -> list[Entry]:
        """Return the records from `position`, which is a record's start or the end, at most about `max_bytes` of them.

        At least one if there is one, however large; `[]` if there is none. May return fewer than there are: ask again
        from the last one's end. Raises LogGone and, when the damaged record comes first, LogDamaged.
        """

    def slice(self, place: int, size: int) -> bytes:
        """Return `size` bytes from position `place`, all of them inside one record (the body of a message).

        Not checked against the CRC. Raises LogGone, and LogDamaged where the log holds no such bytes.
        """

    def first(self) -> int:
        """Position of the oldest record that is kept."""

    def close(self) -> None:
        """Give back files and memory; nothing may be read afterwards."""
