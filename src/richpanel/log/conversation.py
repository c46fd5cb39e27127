"""A writer's conversation with the stream: what it sends, what it hears, and how the stream stands towards it."""

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, Final

import msgspec
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from richpanel import telemetry
from richpanel.log.contract import HEADER_SIZE, LogFull, LogUnsure
from richpanel.log.ending import end_tasks
from richpanel.log.stream import SPAN, Link, Stream, StreamRefused, make_stream, start_of
from richpanel.log.unanswered import Append, Unanswered

_HEADERS_BYTES: Final = 256
"""Room that a message's id takes of the largest message that a server accepts."""
_LOOK_SECONDS: Final = 0.25
_IN_FLIGHT: Final = 10158
"""JetStream's number for "duplicate message id is in process"; older servers say sequence 0 instead."""
_PAUSE_AFTER_REFUSAL: Final = 0.25
"""Seconds in which appends are refused at once after the stream has refused one: it need not be sent all of them."""
_SILENT_SECONDS: Final = 2.0
_PROBE_SECONDS: Final = 1.0
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
_log = telemetry.get_logger(__name__)


class Conversation:
    """Sends what waits, in its order, and settles it by the stream's answers. For one event loop."""

    def __init__(self, stream: Stream, unanswered: Unanswered, seconds: float, applied: Callable[[], int]) -> None:
        """Nothing is said before `begin`. No record is put below what `applied` tells."""
        self.link: Final = Link(stream, seconds, self.send_again)
        self.ready: Final = asyncio.Event()
        """Set once there is a stream."""
        self.wake: Final = asyncio.Event()
        """To be set where there is something to send."""
        self.end = 0
        """End of the last record that this one has put there."""
        self._stream = stream
        self._unanswered = unanswered
        self._writer_id = secrets.token_hex(8)
        self._tasks: list[asyncio.Task[None]] = []
        self._answers: Subscription | None = None
        self._told = 0.0
        self._applied = applied
        self._refusal: str | None = None
        self._refused_bytes = 0
        self._refuse_until = 0.0

    @property
    def refusal(self) -> str | None:
        """Why records are refused, or wait (`LogDoor.refusal`)."""
        if not self.ready.is_set() or not self.link.client.is_connected:
            return f"the stream cannot be reached: {self.link.problem}"
        return self._refusal

    @property
    def refuses(self) -> str | None:
        """Why the next record would be refused, as one was just now."""
        return self._refusal if monotonic() < self._refuse_until else None

    def has_room(self) -> None:
        """Somebody has made room: it need not be waited for."""
        self._refuse_until = 0.0

    def begin(self) -> None:
        """Connect, and keep talking until `end`; a second call does nothing."""
        if not self._tasks:
            doing = (self._talk(), self._look_after(), self._probe())
            self._tasks = [asyncio.create_task(each) for each in doing]

    async def hang_up(self) -> None:
        """End it."""
        await end_tasks(*self._tasks)
        await self.link.close()

    async def _talk(self) -> None:
        """Connect, see to it that there is a stream, and send what is to be sent."""
        while True:
            await self.link.open()
            client = self.link.client
            inbox = client.new_inbox()
            with suppress(NatsError):
                self._answers = await client.subscribe(f"{inbox}.*", cb=self._answered)
                while not self.ready.is_set():
                    try:
                        await self._make()
                        self.ready.set()
                    except (StreamRefused, ConnectionError) as error:
                        self.link.problem = str(error)
                        await asyncio.sleep(_LOOK_SECONDS)
            self.send_again()
            while not client.is_closed:  # A server's word ends a connection for good; a lost one it makes anew itself.
                await self.wake.wait()
                self.wake.clear()
                while client.is_connected and (found := self._unanswered.unsent()) is not None:
                    await self._send(*found, inbox)

    async def _make(self) -> None:
        """See to it that there is a stream, whose positions were never given before.

        Raises StreamRefused, ConnectionError.
        """
        applied = await asyncio.to_thread(self._applied)
        if await make_stream(self.link, self._stream, applied, self.end):
            _log.warning("stream_lost_records", applied=applied, given=self.end)

    async def _send(self, number: int, waiting: Append, inbox: str) -> None:
        client, size = self.link.client, len(waiting.payload)
        if size > (most := min(client.max_payload - _HEADERS_BYTES, SPAN - HEADER_SIZE)):
            fault = ValueError(f"a record of {size} bytes is larger than the stream takes ({most})")
            self._unanswered.settle(number, fault)
            return
        message_id = {"Nats-Msg-Id": f"{self._writer_id}-{number}"}
        with suppress(NatsError, OSError):  # Lost while it was sent: it is sent again.
            await client.publish(self._stream.records, waiting.payload, f"{inbox}.{number}", message_id)

    def send_again(self) -> None:
        """The connection has been made anew: whatever was not answered goes again, in its order."""
        self._unanswered.send_all_again()
        self.wake.set()

    async def _answered(self, message: Msg) -> None:
        """Take the stream's word on one record."""
        number = int(message.subject.rpartition(".")[2])
        waiting = self._unanswered.get(number)
        if waiting is None:
            return
        if message.headers and not message.data:  # Nobody is there who keeps the stream: no leader yet, or no stream.
            self._unanswered.nobody_there(number)
            self.link.problem = "none of its servers takes records just now"
            return
        answer = _decode(message.data)
        if (answer.error.err_code == _IN_FLIGHT) if answer.error is not None else not answer.seq:
            return  # An earlier copy is about to be kept, or not: it is asked for again.
        if answer.error is None:
            self._refusal = None
            end = start_of(answer.seq) + HEADER_SIZE + len(waiting.payload)
            self.end = max(self.end, end)
            self._unanswered.settle(number, end)
            await self._tell()
            return
        self._refusal = f"the stream takes nothing: {answer.error.description}"
        self._refused_bytes = len(waiting.payload) + _HEADERS_BYTES
        self._refuse_until = monotonic() + _PAUSE_AFTER_REFUSAL
        # Where it was sent before, that copy may have come through.
        kept_nothing = waiting.taken == 1
        self._unanswered.settle(number, LogFull(self._refusal) if kept_nothing else LogUnsure(self._refusal))

    async def _tell(self) -> None:
        """Let readers know how far the log goes, once for all the answers that came together."""
        now = monotonic()
        more: Any = self._answers is not None and self._answers.pending_msgs
        if not more or now - self._told > _TELL_SECONDS:
            self._told = now
            with suppress(NatsError, OSError):  # Who hears nothing asks.
                await self.link.client.publish(self._stream.ends, self.end.to_bytes(8, "little"))

    async def _look_after(self) -> None:
        """Send again what nobody answers, and let go of what has waited too long."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if self._unanswered.silence > _SILENT_SECONDS:
                self._refusal = f"the stream does not answer: {self.link.problem}"
            if self._unanswered.look(self.link.problem) or self.link.client.is_closed:
                self.wake.set()

    async def _probe(self) -> None:
        """Where nothing is taken, ask the stream whether it would be: nobody may send while we are not ready."""
        while True:
            await asyncio.sleep(_PROBE_SECONDS)
            if self._refusal is None or not self.ready.is_set():
                continue
            try:
                await self._make()
                found = await self.link.call("STREAM.INFO")
            except (StreamRefused, ConnectionError) as error:
                self._refusal = f"the stream cannot be used: {error}"
                continue
            room = found["config"]["max_bytes"] - found["state"]["bytes"]
            if room > self._refused_bytes and self._unanswered.silence <= _SILENT_SECONDS:
                self._refusal, self._refused_bytes = None, 0
