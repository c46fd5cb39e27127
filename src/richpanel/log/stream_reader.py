"""Reads the log on NATS JetStream, from any thread: a thread of its own keeps the connection (docs/decisions/0015).

A record is asked for by its sequence, from whichever server of the cluster is nearest, and where that one does not have
it, from the one that leads. How far the log goes is told by the writers, and looked up where they are silent.
"""

import asyncio
import threading
from collections import OrderedDict
from contextlib import suppress
from time import monotonic
from typing import Final

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from richpanel.log.contract import HEADER_SIZE, Entry, LogDamaged, LogGone
from richpanel.log.linked import LinkedThread
from richpanel.log.promise import StreamStatus
from richpanel.log.stream import WORKERS, Stream, StreamRefused, sequence_at, start_of, unacknowledged

READ_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.5
"""So often the stream is asked for its end, beside what the writers tell."""
_AT_ONCE: Final = 128
"""Records that are asked for together."""
_KEPT_BYTES: Final = 8 << 20
_KEPT_SECONDS: Final = 0.5
"""Slices of a record that was just asked for: a page shows many messages of one. Not longer, because of retention."""


class JetStreamReader:
    """A `LogReader` (log/contract.py). It connects when it is first asked for something."""

    def __init__(self, stream: Stream, *, seconds: float = READ_SECONDS) -> None:
        """A question that nobody answers within `seconds` ends in ConnectionError."""
        self._stream = stream
        self._seconds = seconds
        self._lock = threading.Lock()
        self._running: _Running | None = None
        self._kept: OrderedDict[int, tuple[float, bytes]] = OrderedDict()
        self._kept_bytes = 0

    def durable(self) -> int:
        """End of the log as the writers told it, some milliseconds ago; the first time, as the stream has it."""
        running = self._run()
        if not running.looked:
            running.wait(running.look())
        return running.end

    def end_now(self) -> int:
        """End of the log as the stream has it now (`LogReader.end_now`); any thread may ask."""
        running = self._run()
        running.wait(running.look())
        return running.end

    def first(self) -> int:
        """Position of the oldest record that is kept; 0 where there was none."""
        running = self._run()
        return start_of(running.wait(running.link.state())[0])

    def read(self, position: int, max_bytes: int = 8 << 20) -> list[Entry]:
        """Return the records from `position` (`LogReader.read`). It may be in a gap: what follows comes next."""
        running = self._run()
        return running.wait(running.read(position, max_bytes))

    def slice(self, place: int, size: int) -> bytes:
        """Return the bytes at `place`; any thread may ask (`LogReader.slice`)."""
        if size == 0:
            return b""
        sequence = sequence_at(place + 1) - 1
        offset = place - start_of(sequence) - HEADER_SIZE
        payload = self._record(sequence) if offset >= 0 else b""
        if offset < 0 or offset + size > len(payload):
            raise LogDamaged(place, f"the log has no {size} bytes here")
        return payload[offset : offset + size]

    def status(self) -> StreamStatus:
        """Tell how the stream stands. Raises ConnectionError, also where there is none."""
        running = self._run()
        return running.wait(running.status())

    def close(self) -> None:
        """Hang up."""
        with self._lock:
            if self._running is not None:
                self._running.stop()
                self._running = None

    def _run(self) -> "_Running":
        if self._running is None:
            with self._lock:
                if self._running is None:
                    self._running = _Running(self._stream, self._seconds)
        return self._running

    def _record(self, sequence: int) -> bytes:
        """Return a record's payload, from memory if it was asked for just now. Raises LogGone, LogDamaged."""
        now = monotonic()
        with self._lock:
            known = self._kept.get(sequence)
        if known is not None and now - known[0] < _KEPT_SECONDS:
            return known[1]
        running = self._run()
        payload = running.wait(running.record(sequence))
        with self._lock:
            if (old := self._kept.pop(sequence, None)) is not None:
                self._kept_bytes -= len(old[1])
            self._kept[sequence] = now, payload
            self._kept_bytes += len(payload)
            while self._kept_bytes > _KEPT_BYTES:
                self._kept_bytes -= len(self._kept.popitem(last=False)[1][1])
        return payload


class _Running(LinkedThread):
    """The thread that keeps the connection."""

    def __init__(self, stream: Stream, seconds: float) -> None:
        self.end = 0
        """How far the log goes, as far as is known here."""
        self.looked = False
        """Whether the stream was ever asked for that."""
        self._typical = 1024.0
        """Size of a record, as they have been of late."""
        super().__init__(stream, seconds, "log-reader")

    async def look(self) -> None:
        """Find out how far the log goes. Raises ConnectionError."""
        last = (await self.link.state())[1]
        if start_of(last + 1) > self.end and last and sequence_at(self.end) <= last:
            newest = await self._payload(last)
            self._reaches(start_of(last + 1) if newest is None else start_of(last) + HEADER_SIZE + len(newest))
        self.looked = True

    async def read(self, position: int, max_bytes: int) -> list[Entry]:
        """Read as `LogReader.read` does."""
        if position >= self.end:
            await self.look()
        found: list[Entry] = []
        sequence, left = sequence_at(position), max_bytes
        while start_of(sequence) < self.end and (not found or left > 0):
            count = min(_AT_ONCE, max(1, int(left / self._typical)), sequence_at(self.end) - sequence)
            payloads = await asyncio.gather(*(self._payload(sequence + step) for step in range(count)))
            for payload in payloads:
                if payload is None:
                    if found:
                        return found
                    await self._explain(sequence)
                else:
                    size = HEADER_SIZE + len(payload)
                    if found and size > left:
                        return found
                    start = start_of(sequence)
                    found.append(Entry(start, start + size, payload))
                    left -= size
                    self._typical += (size - self._typical) / 16
                sequence += 1
        return found

    async def status(self) -> StreamStatus:
        """Tell as `JetStreamReader.status` does."""
        try:
            told = await self.link.call("STREAM.INFO")
        except StreamRefused as refused:
            raise ConnectionError(f"the log's stream {self._stream.name} cannot be used: {refused}") from None
        config, state = told["config"], told["state"]
        try:
            pending = await unacknowledged(self.link, self._stream, WORKERS)
        except StreamRefused:  # No worker was ever there.
            pending = state["messages"]
        version = self.link.client.connected_server_version
        leader = (told.get("cluster") or {}).get("leader")
        return StreamStatus(
            name=config["name"],
            messages=state["messages"],
            bytes=state["bytes"],
            max_bytes=config["max_bytes"],
            replicas=config["num_replicas"],
            leader=leader if config["num_replicas"] > 1 else None,
            version=f"{version.major}.{version.minor}.{version.patch}",
            pending=pending,
        )

    async def record(self, sequence: int) -> bytes:
        """Return one record's payload. Raises LogGone, and LogDamaged where there is none."""
        payload = await self._payload(sequence)
        if payload is None:
            await self._explain(sequence)
            raise LogDamaged(start_of(sequence), "the stream has no such message")
        return payload

    async def _explain(self, sequence: int) -> None:
        """Raise LogGone where a message that is not there has been dropped; else it is a gap."""
        if sequence < (await self.link.state())[0]:
            raise LogGone(f"the log no longer has position {start_of(sequence)}")

    async def _payload(self, sequence: int) -> bytes | None:
        """Ask the nearest server for a message, and the leading one where that has none. Raises ConnectionError."""
        message = await self.link.ask(f"$JS.API.DIRECT.GET.{self._stream.name}", b'{"seq":%d}' % sequence)
        if message.headers is not None and "Status" not in message.headers:
            return message.data
        found = await self.link.message(sequence)
        return None if found is None else found.payload

    def _reaches(self, end: int) -> None:
        self.end = max(self.end, end)

    async def _told(self, message: Msg) -> None:
        """A writer tells how far the log goes."""
        self._reaches(int.from_bytes(message.data, "little"))

    async def _set_up(self) -> None:
        with suppress(NatsError):
            await self.link.client.subscribe(self._stream.ends, cb=self._told)

    async def _attend(self) -> None:
        """Look from time to time: what the writers tell may be lost."""
        with suppress(ConnectionError, StreamRefused):
            await self.look()
        await asyncio.sleep(_LOOK_SECONDS)
