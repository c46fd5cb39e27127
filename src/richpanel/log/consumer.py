"""A durable consumer of the log's stream, which any number of workers on any machine share (docs/decisions/0015).

Each record goes to one of them. It goes to another one where the first gives it back, or where its process is gone and
`ACK_SECONDS` have passed: so a worker may see a record that another has applied already, and passes over it. Once
acknowledged, which is after the state's transaction, it comes no more.
"""

import asyncio
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Final, NamedTuple

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from richpanel.log.contract import HEADER_SIZE, Entry
from richpanel.log.linked import LinkedThread
from richpanel.log.stream import (
    SPAN,
    WORKERS,
    Stream,
    StreamRefused,
    make_consumer,
    start_of,
    unacknowledged,
)

ACK_SECONDS: Final = 5.0
"""After so long without a word from the process that has a record, it goes to another one."""
HOLD_SECONDS: Final = 60.0
"""So long a process says by itself that it is still at work on what it has fetched."""
FETCH_SECONDS: Final = 10.0
_AT_ONCE: Final = 8192
"""Records that are asked for together."""
_SMALLEST: Final = 512
_ANSWER_SECONDS: Final = 2.0
"""So much longer than it was told to wait the server may take before its answer is taken for lost."""
_PAUSE_SECONDS: Final = 0.1
_ACK, _NAK, _IN_PROGRESS = b"+ACK", b"-NAK", b"+WPI"
_NOTHING, _TIMEOUT, _CONFLICT = "404", "408", "409"


class Delivery(NamedTuple):
    """A record that this worker is to apply."""

    entry: Entry
    token: str
    """What it is acknowledged by."""
    redelivered: bool
    """Whether somebody, perhaps this one, has been given it before: then it may be applied already."""


class StreamConsumer:
    """One worker's share. It connects when it is first asked for something; any thread may ask."""

    def __init__(
        self,
        stream: Stream,
        *,
        name: str = WORKERS,
        ack_seconds: float = ACK_SECONDS,
        hold_seconds: float = HOLD_SECONDS,
        seconds: float = FETCH_SECONDS,
    ) -> None:
        """Workers with the same `name` share; the first one makes the consumer, which then delivers all there is.

        One that was deleted by hand is made anew and delivers everything that the stream still holds again. Servers
        that have not answered for `seconds` end a question in ConnectionError.
        """
        self._stream = stream
        self._plan = _Plan(name, ack_seconds, hold_seconds)
        self._seconds = seconds
        self._lock = threading.Lock()
        self._fetching = threading.Lock()
        self._pulling: _Pulling | None = None

    def fetch(self, max_bytes: int = 8 << 20, wait_seconds: float = 0.0) -> list[Delivery]:
        """Take what is there, about `max_bytes` of it (but 2 MB, where it is less); wait for the first one if asked to.

        They come in the log's order, but for those that come again. `[]` where there is none. They are this process's
        until they are acknowledged or given back, for `HOLD_SECONDS` at the most unless `hold` is called. Raises
        ConnectionError.
        """
        with self._fetching:
            pulling = self._run()
            return pulling.wait(pulling.fetch(max(max_bytes, SPAN), wait_seconds))

    def ack(self, deliveries: Iterable[Delivery]) -> None:
        """They are applied and committed. Where the connection is lost they come again; nothing is raised."""
        self._answer(deliveries, _ACK)

    def give_back(self, deliveries: Iterable[Delivery]) -> None:
        """Let other workers have them, at once."""
        self._answer(deliveries, _NAK)

    def hold(self, deliveries: Iterable[Delivery]) -> None:
        """Say that they are still being worked on, and keep them for another `HOLD_SECONDS`."""
        self._answer(deliveries, _IN_PROGRESS)

    def pending(self) -> int:
        """Count the records that are not acknowledged: those that wait, and those at the workers.

        Raises ConnectionError.
        """
        pulling = self._run()
        return pulling.wait(pulling.pending())

    def acknowledged(self) -> int:
        """Tell up to which position every record that the stream still has is acknowledged. Raises ConnectionError."""
        pulling = self._run()
        return pulling.wait(pulling.acknowledged())

    def close(self) -> None:
        """Give back what was not acknowledged, and hang up; the consumer stays."""
        with self._lock:
            if self._pulling is not None:
                self._pulling.have_done(self._pulling.let_go())
                self._pulling.stop()
                self._pulling = None

    def _answer(self, deliveries: Iterable[Delivery], word: bytes) -> None:
        pulling = self._run()
        pulling.have_done(pulling.answer([delivery.token for delivery in deliveries], word))

    def _run(self) -> "_Pulling":
        with self._lock:
            if self._pulling is None:
                self._pulling = _Pulling(self._stream, self._seconds, self._plan)
            return self._pulling


@dataclass(frozen=True, slots=True)
class _Plan:
    name: str
    ack_seconds: float
    hold_seconds: float


class _Pulling(LinkedThread):
    """The thread that keeps the connection, and what was fetched over it."""

    def __init__(self, stream: Stream, seconds: float, plan: _Plan) -> None:
        self._plan = plan
        self._inbox = ""
        self._asked = 0
        """Number of the newest question."""
        self._asking = False
        self._arrived: asyncio.Queue[Msg | None] = asyncio.Queue()
        """Answers to it; None where the connection was lost meanwhile."""
        self._heard = monotonic()
        self._held: dict[str, tuple[float, float]] = {}
        """What this process has: when the server heard of it last, and until when it is to be held."""
        super().__init__(stream, seconds, "log-consumer")

    async def fetch(self, max_bytes: int, seconds: float) -> list[Delivery]:
        """Fetch as `StreamConsumer.fetch` does."""
        until = monotonic() + seconds
        while True:
            found = await self._pull(_count(max_bytes), max_bytes, 0.0)
            if not found and (left := until - monotonic()) > 0:
                found = await self._pull(1, SPAN, left)
                if found and (rest := max_bytes - len(found[0].entry.payload)) > 0:
                    found += await self._pull(_count(rest), rest, 0.0)
            if found:
                return found
            if monotonic() - self._heard > self._seconds:
                raise ConnectionError(f"the log's stream {self._stream.name} delivers nothing: {self.link.problem}")
            if monotonic() >= until:
                return []

    async def answer(self, tokens: Sequence[str], word: bytes) -> None:
        """Say something about what was fetched."""
        now = monotonic()
        for token in tokens:
            if word == _IN_PROGRESS:
                self._held[token] = now, now + self._plan.hold_seconds
            else:
                self._held.pop(token, None)
            with suppress(NatsError, OSError):  # It comes again.
                await self.link.client.publish(token, word)

    async def let_go(self) -> None:
        """Give back all that is held."""
        await self.answer(list(self._held), _NAK)

    async def pending(self) -> int:
        """Count as `StreamConsumer.pending` does."""
        try:
            return await unacknowledged(self.link, self._stream, self._plan.name)
        except StreamRefused as refused:
            raise ConnectionError(f"the log's stream tells nothing of its consumer: {refused}") from None

    async def acknowledged(self) -> int:
        """Tell as `StreamConsumer.acknowledged` does."""
        try:
            told = await self.link.api(f"CONSUMER.INFO.{self._stream.name}.{self._plan.name}", {})
        except StreamRefused as refused:
            raise ConnectionError(f"the log's stream tells nothing of its consumer: {refused}") from None
        return max(start_of(int(told["ack_floor"]["stream_seq"]) + 1) - 1, 0)

    async def _pull(self, count: int, max_bytes: int, wait: float) -> list[Delivery]:
        """Ask for so much; without a wait for what is there just now."""
        self._asked += 1
        self._asking = True
        request = f'{{"batch":{count},"max_bytes":{max_bytes},'
        request += f'"expires":{int(wait * 1e9)}}}' if wait else '"no_wait":true}'
        found: list[Delivery] = []
        try:
            await self.link.client.publish(
                f"$JS.API.CONSUMER.MSG.NEXT.{self._stream.name}.{self._plan.name}",
                request.encode(),
                f"{self._inbox}.{self._asked}",
            )
            await self._collect(found, count, wait + _ANSWER_SECONDS)
        except TimeoutError:
            self.link.problem = "it does not answer"  # A consumer that is gone is silent, too.
            await self._make()
        except (NatsError, OSError) as error:
            self.link.problem = str(error)
            await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            self._asking = False
            while not self._arrived.empty():
                if (message := self._arrived.get_nowait()) is not None and message.reply:
                    found.append(_delivery(message))
        return found

    async def _collect(self, found: list[Delivery], count: int, seconds: float) -> None:
        """Take the answers as they come. Raises TimeoutError once there was none for `seconds`."""
        while len(found) < count:
            async with asyncio.timeout(seconds):
                message = await self._arrived.get()
                if message is None:
                    return
                if message.reply:
                    found.append(_delivery(message))
                    self._heard = monotonic()
                elif int(message.subject.rpartition(".")[2]) == self._asked:
                    await self._ended(message.headers or {})
                    return

    async def _ended(self, headers: Mapping[str, str]) -> None:
        """The server sends no more; see to it that there is a consumer if that is why."""
        status, description = headers.get("Status"), headers.get("Description", "")
        if status in (_NOTHING, _TIMEOUT) or (status == _CONFLICT and "exceeds" in description.lower()):
            self._heard = monotonic()
            return
        self.link.problem = description or "nobody serves the consumer"
        await asyncio.sleep(_PAUSE_SECONDS)
        await self._make()

    async def _make(self) -> bool:
        """See to it that there is a consumer, within seconds. The stream itself is made by who appends to it."""
        try:
            async with asyncio.timeout(2 * _ANSWER_SECONDS):
                await make_consumer(self.link, self._stream, self._plan.name, self._plan.ack_seconds)
        except (StreamRefused, ConnectionError, TimeoutError) as error:
            self.link.problem = str(error) or self.link.problem
            return False
        return True

    async def _set_up(self) -> None:
        client = self.link.client
        self._inbox = client.new_inbox()
        with suppress(NatsError):
            await client.subscribe(f"{self._inbox}.*", cb=self._received)
        while not client.is_closed:
            if await self._make():
                break
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _attend(self) -> None:
        """Say of what is held that it is being worked on; what was held for too long others may have."""
        pause = self._plan.ack_seconds / 3
        await asyncio.sleep(pause / 2)
        now = monotonic()
        for token, (told, until) in list(self._held.items()):
            if now > until:
                self._held.pop(token, None)
            elif now - told > pause and token in self._held:
                self._held[token] = now, until
                with suppress(NatsError, OSError):
                    await self.link.client.publish(token, _IN_PROGRESS)

    def _reconnected(self) -> None:
        self._arrived.put_nowait(None)

    async def _received(self, message: Msg) -> None:
        """Take a record or the end of an answer. A record that comes late, to a question that was given up, is one."""
        if message.reply:
            now = monotonic()
            self._held[message.reply] = now, now + self._plan.hold_seconds
            if not self._asking:
                await self.answer([message.reply], _NAK)
                return
        self._arrived.put_nowait(message)


def _count(max_bytes: int) -> int:
    return max(1, min(_AT_ONCE, max_bytes // _SMALLEST))


def _delivery(message: Msg) -> Delivery:
    """Read `$JS.ACK.[domain.account.]stream.consumer.delivered.sequence.consumer-sequence.time.pending[.token]`."""
    parts = message.reply.split(".")
    delivered, sequence = (parts[4], parts[5]) if len(parts) == 9 else (parts[6], parts[7])
    start = start_of(int(sequence))
    entry = Entry(start, start + HEADER_SIZE + len(message.data), message.data)
    return Delivery(entry, message.reply, redelivered=delivered != "1")
