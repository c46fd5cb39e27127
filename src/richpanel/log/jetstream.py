"""The log on NATS JetStream: any number of writers, on any number of machines (docs/decisions/0015-jetstream.md).

Life of an append: it is numbered and sent at once, over one connection, and ends when the stream says that it has the
record. What was not answered is sent again, in order, under the same `Nats-Msg-Id`, by which the stream knows a record
that it has already. Readers, in any process, hear from the writers how far the log goes.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from richpanel.log.contract import HEADER_SIZE, LogClosed, LogFull, LogReader
from richpanel.log.conversation import Conversation
from richpanel.log.stream import Stream, StreamRefused, first_since, sequence_at, start_of
from richpanel.log.unanswered import Unanswered

APPEND_SECONDS: Final = 10.0


class JetStreamWriter:
    """A `LogDoor` (log/contract.py), one of any number. It connects when it is first needed, or told to."""

    def __init__(
        self,
        stream: Stream,
        log: LogReader,
        *,
        max_waiting_bytes: int = 64 << 20,
        seconds: float = APPEND_SECONDS,
        applied: Callable[[], int] = lambda: 0,
    ) -> None:
        """`log` reads the same stream. An append that the stream has not answered within `seconds` ends in LogUnsure.

        `applied` tells the end of the last record that was ever applied (on a thread; it may raise ConnectionError): it
        is asked wherever the stream may be another one than before, and no record is put below that. Call it on the
        event loop that will append.
        """
        self._log = log
        self._seconds = seconds
        self._unanswered = Unanswered(max_waiting_bytes, seconds)
        self._talk = Conversation(stream, self._unanswered, seconds, applied)
        self._closing: asyncio.Task[None] | None = None

    @property
    def durable(self) -> int:
        """End of the last record that the stream is known to have, whoever wrote it."""
        return max(self._talk.end, self._log.durable())

    @property
    def waiting(self) -> int:
        """Bytes that wait for the stream (`LogDoor.waiting`)."""
        return self._unanswered.waiting

    @property
    def refusal(self) -> str | None:
        """Why records are refused, or wait (`LogDoor.refusal`)."""
        return self._talk.refusal

    def connect(self) -> None:
        """Connect now, so that the first append need not wait for it and `refusal` says how it stands."""
        self._talk.begin()

    async def append(self, payload: bytes | Sequence[bytes]) -> int:
        """Keep one record; return its end position once the stream has it (`LogWriter.append`)."""
        record = payload if isinstance(payload, bytes) else b"".join(payload)
        if self._closing is not None:
            raise LogClosed("the log is closed")
        if (refusal := self._talk.refuses) is not None:
            raise LogFull(refusal)
        future = self._unanswered.add(record)
        self._talk.begin()
        self._talk.wake.set()
        return await future

    async def archive(self, position: int, before: float) -> int | None:  # noqa: ARG002  # the contract's
        """Return None: a stream has one form, in which its records stay (`LogWriter.archive`)."""
        return None

    async def retain(self, position: int, before: float | None = None) -> list[int]:
        """Drop the records that end at or below `position`, but for the log's newest (`LogWriter.retain`)."""
        await self._reach()
        link = self._talk.link
        try:
            first, last = await link.state()
            limit = min(sequence_at(position), last)
            below = await link.message(limit - 1) if limit > first else None
            if below is not None and start_of(limit - 1) + HEADER_SIZE + len(below.payload) > position:
                limit -= 1
            if before is not None:
                limit = await first_since(link, before, first, limit)
            if limit <= first:
                return []
            await link.call("STREAM.PURGE", seq=limit)
            self._talk.has_room()
        except StreamRefused as refused:
            raise OSError(f"the stream drops nothing: {refused}") from None
        return [start_of(first)]

    async def size(self) -> int:
        """Tell how many bytes the stream holds. Raises LogClosed, ConnectionError."""
        await self._reach()
        try:
            return int((await self._talk.link.call("STREAM.INFO"))["state"]["bytes"])
        except StreamRefused as refused:
            raise ConnectionError(f"the log's stream cannot be used: {refused}") from None

    async def close(self) -> None:
        """Wait for what was appended before, and hang up; the stream stays."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        await self._unanswered.settled.wait()
        await self._talk.hang_up()

    async def _reach(self) -> None:
        """Be connected. Raises LogClosed, ConnectionError."""
        if self._closing is not None:
            raise LogClosed("the log is closed")
        self._talk.begin()
        try:
            async with asyncio.timeout(self._seconds):
                await self._talk.ready.wait()
        except TimeoutError:
            raise ConnectionError(f"the log's stream cannot be reached: {self._talk.link.problem}") from None
