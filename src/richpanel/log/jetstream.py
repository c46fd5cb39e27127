"""The log on NATS JetStream: any number of writers, on any number of machines (docs/decisions/0015-jetstream.md).

Life of an append: it is numbered and sent at once, over one connection, and ends when the stream says that it has the
record. What was not answered is sent again, in order, under the same `Nats-Msg-Id`, by which the stream knows a record
that it has already. Readers, in any process, hear from the writers how far the log goes.
"""

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, Final

import msgspec
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from richpanel.log.contract import HEADER_SIZE, LogClosed, LogFull, LogReader, LogUnsure
from richpanel.log.stream import SPAN, Link, Stream, StreamRefused, first_since, make_stream, sequence_at, start_of
from richpanel.log.unanswered import Append, Unanswered

APPEND_SECONDS: Final = 10.0
_HEADERS_BYTES: Final = 256
"""Room that a message's id takes of the largest message that a server accepts."""
_LOOK_SECONDS: Final = 0.25
_IN_FLIGHT: Final = 10158
"""JetStream's number for "duplicate message id is in process"; older servers say sequence 0 instead."""
_TELL_SECONDS: Final = 0.005
"""No later than this after an acknowledgement readers are told of it, also under load."""


class _Refusal(msgspec.Struct):
    err_code: int = 0
    description: str = "no reason given"


class _Answer(msgspec.Struct):
    """What the stream says to a record: its sequence, or why it has none."""

    seq: int = 0
    error: _Refusal | None = None


_decode: Final = msgspec.json.Decoder(_Answer).decode


class JetStreamWriter:
    """A `LogWriter` (log/contract.py), one of any number. It connects when it is first needed."""

    def __init__(
        self, stream: Stream, log: LogReader, *, max_waiting_bytes: int = 64 << 20, seconds: float = APPEND_SECONDS
    ) -> None:
        """`log` reads the same stream. An append that the stream has not answered within `seconds` ends in LogUnsure.

        Call it on the event loop that will append.
        """
        self._stream = stream
        self._log = log
        self._seconds = seconds
        self._link = Link(stream, seconds, self._resend)
        self._writer_id = secrets.token_hex(8)
        self._unanswered = Unanswered(max_waiting_bytes, seconds)
        self._wake = asyncio.Event()
        self._ready = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._closing: asyncio.Task[None] | None = None
        self._answers: Subscription | None = None
        self._end = 0
        self._told = 0.0

    @property
    def durable(self) -> int:
        """End of the last record that the stream is known to have, whoever wrote it."""
        return max(self._end, self._log.durable())

    async def append(self, payload: bytes | Sequence[bytes]) -> int:
        """Keep one record; return its end position once the stream has it (`LogWriter.append`)."""
        record = payload if isinstance(payload, bytes) else b"".join(payload)
        if self._closing is not None:
            raise LogClosed("the log is closed")
        future = self._unanswered.add(record)
        self._begin()
        self._wake.set()
        return await future

    async def archive(self, position: int, before: float) -> int | None:  # noqa: ARG002  # the contract's
        """Return None: a stream has one form, in which its records stay (`LogWriter.archive`)."""
        return None

    async def retain(self, position: int, before: float | None = None) -> list[int]:
        """Drop the records that end at or below `position`, but for the log's newest (`LogWriter.retain`)."""
        await self._reach()
        try:
            first, last = await self._link.state()
            limit = min(sequence_at(position), last)
            below = await self._link.message(limit - 1) if limit > first else None
            if below is not None and start_of(limit - 1) + HEADER_SIZE + len(below.payload) > position:
                limit -= 1
            if before is not None:
                limit = await first_since(self._link, before, first, limit)
            if limit <= first:
                return []
            await self._link.call("STREAM.PURGE", seq=limit)
        except StreamRefused as refused:
            raise OSError(f"the stream drops nothing: {refused}") from None
        return [start_of(first)]

    async def close(self) -> None:
        """Wait for what was appended before, and hang up; the stream stays."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        await self._unanswered.settled.wait()
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self._link.close()

    def _begin(self) -> None:
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._talk()), asyncio.create_task(self._look_after())]

    async def _reach(self) -> None:
        """Be connected. Raises LogClosed, ConnectionError."""
        if self._closing is not None:
            raise LogClosed("the log is closed")
        self._begin()
        try:
            async with asyncio.timeout(self._seconds):
                await self._ready.wait()
        except TimeoutError:
            raise ConnectionError(f"the log's stream cannot be reached: {self._link.problem}") from None

    async def _talk(self) -> None:
        """Connect, see to it that there is a stream, and send what is to be sent."""
        while True:
            await self._link.open()
            client = self._link.client
            inbox = client.new_inbox()
            with suppress(NatsError):
                self._answers = await client.subscribe(f"{inbox}.*", cb=self._answered)
                while not self._ready.is_set():
                    try:
                        await make_stream(self._link, self._stream)
                        self._ready.set()
                    except (StreamRefused, ConnectionError) as error:
                        self._link.problem = str(error)
                        await asyncio.sleep(_LOOK_SECONDS)
            self._resend()
            while not client.is_closed:  # A server's word ends a connection for good; a lost one it makes anew itself.
                await self._wake.wait()
                self._wake.clear()
                while client.is_connected and (found := self._unanswered.unsent()) is not None:
                    await self._send(*found, inbox)

    async def _send(self, number: int, waiting: Append, inbox: str) -> None:
        client, size = self._link.client, len(waiting.payload)
        if size > (most := min(client.max_payload - _HEADERS_BYTES, SPAN - HEADER_SIZE)):
            fault = ValueError(f"a record of {size} bytes is larger than the stream takes ({most})")
            self._unanswered.settle(number, fault)
            return
        message_id = {"Nats-Msg-Id": f"{self._writer_id}-{number}"}
        with suppress(NatsError, OSError):  # Lost while it was sent: it is sent again.
            await client.publish(self._stream.records, waiting.payload, f"{inbox}.{number}", message_id)

    def _resend(self) -> None:
        """The connection has been made anew: whatever was not answered goes again, in its order."""
        self._unanswered.send_all_again()
        self._wake.set()

    async def _answered(self, message: Msg) -> None:
        """Take the stream's word on one record."""
        number = int(message.subject.rpartition(".")[2])
        waiting = self._unanswered.get(number)
        if waiting is None:
            return
        if message.headers and not message.data:  # Nobody is there who keeps the stream: no leader yet, or no stream.
            self._unanswered.nobody_there(number)
            self._link.problem = "none of its servers takes records just now"
            return
        answer = _decode(message.data)
        if (answer.error.err_code == _IN_FLIGHT) if answer.error is not None else not answer.seq:
            return  # An earlier copy is about to be kept, or not: it is asked for again.
        if answer.error is None:
            end = start_of(answer.seq) + HEADER_SIZE + len(waiting.payload)
            self._end = max(self._end, end)
            self._unanswered.settle(number, end)
            await self._tell()
        elif waiting.taken == 1:
            self._unanswered.settle(number, LogFull(f"the stream takes nothing: {answer.error.description}"))
        else:  # Refused, and what was sent before it may have come through.
            self._unanswered.settle(number, LogUnsure(f"the stream takes nothing more: {answer.error.description}"))

    async def _tell(self) -> None:
        """Let readers know how far the log goes, once for all the answers that came together."""
        now = monotonic()
        more: Any = self._answers is not None and self._answers.pending_msgs
        if not more or now - self._told > _TELL_SECONDS:
            self._told = now
            with suppress(NatsError, OSError):  # Who hears nothing asks.
                await self._link.client.publish(self._stream.ends, self._end.to_bytes(8, "little"))

    async def _look_after(self) -> None:
        """Send again what nobody answers, and let go of what has waited too long."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if self._unanswered.look(self._link.problem) or self._link.client.is_closed:
                self._wake.set()
