"""Carrying records from one log to another, in their order, and seeing that what arrived is what was sent.

Both logs are read: of each record's bytes the SHA-256 goes into a chain, and the chains of both sides must be the same.
"""

import asyncio
from array import array
from bisect import bisect_right
from collections.abc import Callable
from hashlib import sha256
from time import monotonic
from typing import Final

from richpanel.log.contract import Entry, LogReader, LogWriter

_PIECE: Final = 4 << 20
"""Bytes that are on their way at a time."""
_PATIENCE_SECONDS: Final = 10.0
"""How long a record that was acknowledged may take to be seen by a reader."""

Show = Callable[[int, int], None]
"""Hears of more records and their bytes."""


class CarryError(ValueError):
    """What arrived is not what was sent; the text says where it began."""


class Chain:
    """A digest of records in their order."""

    def __init__(self) -> None:
        """No records yet."""
        self.records = 0
        self._digest = b""

    def add(self, entries: list[Entry]) -> None:
        """Add records."""
        for entry in entries:
            self._digest = sha256(self._digest + sha256(entry.payload).digest()).digest()
        self.records += len(entries)

    def __str__(self) -> str:
        """Write it as hex digits."""
        return self._digest.hex()


class Carrier:
    """Carries what a log has from a position on, as far as it has got; it can be told to go on."""

    def __init__(self, old: LogReader, position: int, writer: LogWriter, new: LogReader, start: int) -> None:
        """`start` is where the first record is to be in the new log, whose only writer this is."""
        self.position = position
        """Up to here the old log is carried."""
        self.sent = Chain()
        self.bytes = 0
        self._old = old
        self._writer = writer
        self._new = new
        self._seen = Chain()
        self._verified = start
        self._began, self._begins = array("q"), array("q")
        """Where each record began in the old log, and where it begins in the new one."""

    async def carry(self, until: int, show: Show = lambda _records, _bytes: None) -> None:
        """Carry the records before a position, and see that they arrived.

        After an error it cannot be gone on with: what was on its way may have arrived or not. Raises CarryError,
        LogFull, LogUnsure, LogDamaged, LogGone, ConnectionError.
        """
        while self.position < until:
            entries = await asyncio.to_thread(self._old.read, self.position, _PIECE)
            if not entries:
                raise CarryError(f"the log has nothing at {self.position:,}, before its end at {until:,}")
            await asyncio.gather(*(self._writer.append(entry.payload) for entry in entries))
            self.sent.add(entries)
            self._began.extend(entry.start for entry in entries)
            self.position = entries[-1].end
            size = sum(len(entry.payload) for entry in entries)
            self.bytes += size
            show(len(entries), size)
        await asyncio.to_thread(self._verify)

    def place(self, old: int) -> int:
        """Give where something stands by now that stood at a place of the old log; what was not carried has stayed."""
        index = bisect_right(self._began, old) - 1
        return old if index < 0 else self._begins[index] + old - self._began[index]

    def _verify(self) -> None:
        """Read what was sent since the last time, and compare."""
        began, deadline = self._verified, monotonic() + _PATIENCE_SECONDS
        while self._seen.records < self.sent.records:
            entries = self._new.read(self._verified, _PIECE)
            if entries:
                self._seen.add(entries)
                self._begins.extend(entry.start for entry in entries)
                self._verified = entries[-1].end
            elif monotonic() > deadline:
                break
        if (self._seen.records, str(self._seen)) != (self.sent.records, str(self.sent)):
            counts = f"{self._seen.records:,} records arrived, {self.sent.records:,} were sent"
            raise CarryError(f"the stream does not hold what was sent to it from {began:,} on: {counts}")
