"""The stream behind the log on NATS JetStream: its settings, its positions, and how its servers are asked.

A record is one message. Positions are the message's sequence with room for the largest record behind each
(docs/decisions/0015-jetstream.md), so a position alone says which message holds it, and no index is kept anywhere.
"""

import asyncio
import base64
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any, Final, NamedTuple

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from richpanel.log.address import MAX_BYTES, NAME

SPAN: Final = 1 << 21
"""Positions from one message's first byte to the next one's: more than a server takes in one message (1 MB, as it is
delivered), and 2^42 messages fit in the state's 64-bit integers."""
STREAM_MISSING: Final = 10059
"""JetStream's number for "stream not found"."""
_MESSAGE_MISSING: Final = 10037
CONSUMER_MISSING: Final = 10014
_NOT_IN_CLUSTER: Final = 10074
"""... "replicas > 1 not supported in non-clustered mode"."""
DUPLICATES_SECONDS: Final = 120
"""So long the stream knows a record's `Nats-Msg-Id` again: longer than any append tries."""
WORKERS: Final = "process"
"""The consumer that all who process share."""
MAX_UNACKNOWLEDGED: Final = 100_000
"""Records that all workers of a consumer together may have at a time."""
_LEAP: Final = 1 << 20
"""So many sequences are left out where a stream has lost its end: there may have been more than we know of."""
_ASK_SECONDS: Final = 2.0
_PAUSE_SECONDS: Final = 0.1

_encode: Final = msgspec.json.encode
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True, slots=True)
class Stream:
    """Where the log is, and how its stream is made where it is not there yet."""

    servers: tuple[str, ...]
    """`nats://host:port`, one or more of a cluster."""
    name: str = NAME
    max_bytes: int = MAX_BYTES
    """So much the stream holds at the most; what comes then is refused until retention has made room."""
    replicas: int | None = None
    """Servers that keep each record; None: 3 in a cluster, else 1."""

    @property
    def records(self) -> str:
        """The subject that records are published to."""
        return f"{self.name}.records"

    @property
    def unborn(self) -> str:
        """What a stream listens to until it begins high enough: nobody publishes there."""
        return f"{self.name}.unborn"

    @property
    def ends(self) -> str:
        """The subject on which writers tell how far the log goes. It is kept nowhere."""
        return f"{self.name}.end"


def start_of(sequence: int) -> int:
    """Return the position of a message's first byte. Sequences begin at 1, positions at 0."""
    return (sequence - 1) * SPAN


def sequence_at(position: int) -> int:
    """Return the first message that begins at this position or behind it."""
    return -(-position // SPAN) + 1


def following(end: int) -> int:
    """Return where the record begins that follows one which ends at this position, if there is one."""
    return start_of(sequence_at(end))


class StreamRefused(Exception):
    """JetStream answered, and said no."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Message(NamedTuple):
    """A record as JetStream gives it."""

    taken_at: float
    """The second in which the stream took it, UTC."""
    payload: bytes


class Link:
    """A connection to the stream's servers that is made anew, without end, where it was lost. For one event loop."""

    def __init__(self, stream: Stream, seconds: float, again: Callable[[], None]) -> None:
        """A question is asked again for `seconds`; `again` is called whenever the connection has been made anew."""
        self.client = Client()
        """Another one where a server had sent the last one away; what it subscribed to is then to be done again."""
        self.problem = "it has not answered yet"
        """What went wrong last."""
        self._stream = stream
        self._seconds = seconds
        self._again = again

    async def open(self) -> None:
        """Connect, however long that takes."""
        while not self.client.is_connected:
            if self.client.is_closed:
                self.client = Client()
            try:
                await self.client.connect(
                    list(self._stream.servers),
                    error_cb=self._failed,
                    reconnected_cb=self._reconnected,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=1,
                    ping_interval=5,
                    flush_timeout=_ASK_SECONDS,
                )
            except (
                NatsError,
                OSError,
            ) as error:  # Not to be reached, or it does not know us: neither need be so for ever.
                await self._failed(error)
                await asyncio.sleep(_PAUSE_SECONDS)

    async def ask(self, subject: str, request: bytes) -> Msg:
        """Ask, again and again, until somebody answers. Raises ConnectionError."""
        until = monotonic() + self._seconds
        while True:
            try:
                return await self.client.request(subject, request, timeout=_ASK_SECONDS)
            except (NatsError, OSError) as error:
                await self._failed(error)
            if monotonic() > until:
                raise ConnectionError(f"the log's stream {self._stream.name} cannot be reached: {self.problem}")
            await asyncio.sleep(_PAUSE_SECONDS)

    async def call(self, verb: str, **request: Any) -> dict[str, Any]:
        """Ask JetStream about the stream, or to do something with it. Raises StreamRefused, ConnectionError."""
        return await self.api(f"{verb}.{self._stream.name}", request)

    async def api(self, subject: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Ask JetStream about anything. Raises StreamRefused, ConnectionError."""
        message = await self.ask(f"$JS.API.{subject}", _encode(request) if request else b"")
        answer = _decode(message.data)
        if (error := answer.get("error")) is not None:
            raise StreamRefused(error.get("err_code", 0), error.get("description", "no reason given"))
        return answer

    async def state(self) -> tuple[int, int]:
        """Return the oldest message's sequence and the newest one's: 1 and 0 where there is no stream yet."""
        try:
            state = (await self.call("STREAM.INFO"))["state"]
        except StreamRefused as refused:
            if refused.code == STREAM_MISSING:
                return 1, 0
            raise
        return max(state["first_seq"], 1), state["last_seq"]

    async def message(self, sequence: int) -> "Message | None":
        """Return a message as the server that leads has it; None where it has none. Raises ConnectionError."""
        try:
            found = (await self.call("STREAM.MSG.GET", seq=sequence))["message"]
        except StreamRefused as refused:
            if refused.code in (_MESSAGE_MISSING, STREAM_MISSING):
                return None
            raise ConnectionError(f"the log's stream gives no message: {refused}") from None
        taken_at = datetime.fromisoformat(found["time"][:19] + "+00:00").timestamp()
        return Message(taken_at, base64.b64decode(found.get("data", "")))

    async def close(self) -> None:
        """Send what is to be sent, and hang up."""
        if self.client.is_connected or self.client.is_reconnecting:
            # Where the connection is lost there is nobody to take leave of, and the client says so (RuntimeError:
            # uvloop's word for a closed transport).
            with suppress(NatsError, OSError, RuntimeError):
                await self.client.close()

    async def _failed(self, error: Exception) -> None:
        self.problem = str(error) or type(error).__name__

    async def _reconnected(self) -> None:
        self._again()


async def make_stream(link: Link, stream: Stream, applied: int = 0, given: int = 0) -> bool:
    """Make the stream, or bring the one that is there to these settings; tell if it has lost records.

    No record gets a position below `applied`, the end of the last one that was ever applied, nor, where the stream is
    new, below `given`, the end of the last one that the caller put there. Raises StreamRefused, ConnectionError.
    """
    try:
        found = (await link.call("STREAM.INFO"))["config"]
    except StreamRefused as refused:
        if refused.code != STREAM_MISSING:
            raise
        found = await _create(link, stream)
    is_new = found["subjects"] == [stream.unborn]
    # What another stream kept of what came in here may be waiting to be applied: only a new one holds nothing.
    lost = await _keep_above(link, max(applied, given if is_new else 0))
    wanted = {**found, "max_bytes": stream.max_bytes}
    if is_new:
        wanted["subjects"] = [stream.records]
    if stream.replicas is not None:
        wanted["num_replicas"] = stream.replicas
    if wanted != found:
        await link.call("STREAM.UPDATE", **wanted)
    return lost


async def _create(link: Link, stream: Stream) -> dict[str, Any]:
    """Make a stream that takes no records before it begins high enough; give its settings."""
    config = {
        "name": stream.name,
        "subjects": [stream.unborn],
        "retention": "limits",
        "storage": "file",
        "discard": "new",
        "max_bytes": stream.max_bytes,
        "duplicate_window": DUPLICATES_SECONDS * 1_000_000_000,
        "allow_direct": True,
    }
    try:
        made = await link.call("STREAM.CREATE", **config, num_replicas=stream.replicas or 3)
    except StreamRefused as refused:
        if refused.code != _NOT_IN_CLUSTER or stream.replicas is not None:
            raise
        made = await link.call("STREAM.CREATE", **config, num_replicas=1)
    return dict(made["config"])


async def _keep_above(link: Link, floor: int) -> bool:
    """See to it that no record gets a position below `floor`, where the stream has lost its end; tell if it had to.

    What such a stream still holds lies below `floor`, so it is applied, and goes. Raises StreamRefused,
    ConnectionError.
    """
    _, last = await link.state()
    if sequence_at(floor) <= last + 1:
        return False
    await link.call("STREAM.PURGE", seq=sequence_at(floor) + _LEAP)
    with suppress(StreamRefused):  # A server that is alone has no followers.
        # The leader counts from the old end, and would refuse what comes; the next one counts from the new one.
        await link.call("STREAM.LEADER.STEPDOWN")
    return True


async def make_consumer(link: Link, stream: Stream, name: str, ack_seconds: float) -> None:
    """Make the durable consumer, or bring the one that is there to these settings.

    Raises StreamRefused, ConnectionError.
    """
    wanted: dict[str, Any] = {
        "durable_name": name,
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": int(ack_seconds * 1e9),
        "max_deliver": -1,
        "filter_subject": stream.records,
        "replay_policy": "instant",
        "max_ack_pending": MAX_UNACKNOWLEDGED,
        "num_replicas": 0,  # As many as the stream has.
    }
    try:
        found = (await link.api(f"CONSUMER.INFO.{stream.name}.{name}", {}))["config"]
    except StreamRefused as refused:
        if refused.code != CONSUMER_MISSING:
            raise
        found = {}
    if (config := {**found, **wanted}) != found:
        request = {"stream_name": stream.name, "config": config}
        await link.api(f"CONSUMER.DURABLE.CREATE.{stream.name}.{name}", request)


async def unacknowledged(link: Link, stream: Stream, name: str) -> int:
    """Count the records that a consumer has not seen acknowledged. Raises StreamRefused, ConnectionError."""
    told = await link.api(f"CONSUMER.INFO.{stream.name}.{name}", {})
    return int(told["num_pending"]) + int(told["num_ack_pending"])


async def first_since(link: Link, before: float, low: int, high: int) -> int:
    """Return the first sequence from `low` to `high` that was not taken before that time, UTC; `high` where none is.

    JetStream's times are looked at to the second, and a record in doubt counts as younger.
    """
    while low < high:
        middle = (low + high) // 2
        message = await link.message(middle)
        if message is None or message.taken_at < before - 1:
            low = middle + 1
        else:
            high = middle
    return low
