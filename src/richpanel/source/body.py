"""Bodies: read and inflated within bounds of size, of time, and of what all requests together may hold in memory."""

import asyncio
import zlib
from typing import Final, NamedTuple

from richpanel.core.codes import Code
from richpanel.core.message import MAX_INFLATED_BYTES, MAX_REQUEST_BYTES
from richpanel.source.answers import Receive

_GZIP: Final = 16 + zlib.MAX_WBITS
_GZIP_NAMES: Final = frozenset({b"gzip", b"x-gzip"})


class Disconnected(Exception):
    """The client went away before its body was here: nobody waits for an answer, nothing is kept."""


class Refused(NamedTuple):
    """Why a body was not taken, and its beginning and size as far as they are known."""

    code: Code
    head: bytes = b""
    size: int = 0


class Bodies:
    """Reads the bodies of one server's requests, and keeps count of what unfinished ones hold in memory.

    A finished one is bounded by the log: between reading and appending nothing is waited for.
    """

    def __init__(self, seconds: float, max_held_bytes: int) -> None:
        """Give each body so many seconds to arrive, and all that are on their way so many bytes together."""
        self.held = 0
        self._max_held = max_held_bytes
        self._deadlines = Deadlines(seconds)

    async def read(self, receive: Receive) -> bytes | Refused:
        """Read a body, compressed as it may be, of at most 1 MiB; or tell why it was refused. Raises Disconnected."""
        watch = self._deadlines.watch()
        try:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            body: bytes = message.get("body", b"")
            return await self._read_on(receive, body) if message.get("more_body") else body
        except asyncio.CancelledError:
            if not watch.expired:
                raise
            watch.task.uncancel()
            return Refused(Code.REQUEST_TIMEOUT)
        finally:
            self._deadlines.leave(watch)

    async def _read_on(self, receive: Receive, first: bytes) -> bytes | Refused:
        """Read a body that comes in pieces."""
        pieces, size, more = [first], 0, True
        try:
            while self.held + len(pieces[-1]) <= self._max_held:
                self.held += len(pieces[-1])
                size += len(pieces[-1])
                if size > MAX_INFLATED_BYTES:
                    return Refused(Code.PAYLOAD_TOO_LARGE, first, size)
                if not more:
                    return b"".join(pieces)
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Disconnected
                more = message.get("more_body", False)
                pieces.append(message.get("body", b""))
            return Refused(Code.LOG_FULL)
        finally:
            self.held -= size


class Deadlines:
    """Gives tasks the same time each, with one timer for all of them: a timer per request would cost more."""

    def __init__(self, seconds: float) -> None:
        """Give each task so many seconds."""
        self._seconds = seconds
        self._waiting: dict[Watch, None] = {}  # In order of their deadlines, because they all have the same time.
        self._timer: asyncio.TimerHandle | None = None

    def watch(self) -> "Watch":
        """Cancel this task unless it leaves before its time is over; `expired` tells that from other reasons."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # an ASGI application runs in a task
        watch = Watch(task, loop.time() + self._seconds)
        self._waiting[watch] = None
        if self._timer is None:
            self._timer = loop.call_at(watch.at, self._expire, loop)
        return watch

    def leave(self, watch: "Watch") -> None:
        """Say that the task is in time."""
        self._waiting.pop(watch, None)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        self._timer = None
        for watch in list(self._waiting):
            if watch.at > now:
                self._timer = loop.call_at(watch.at, self._expire, loop)
                return
            del self._waiting[watch]
            watch.expired = True
            watch.task.cancel()


class Watch:
    """A task, and when its time is over."""

    __slots__ = ("at", "expired", "task")

    def __init__(self, task: asyncio.Task[object], at: float) -> None:
        self.task = task
        self.at = at
        self.expired = False


def inflate(body: bytes, encoding: bytes | None) -> bytes | Refused:
    """Undo a body's Content-Encoding; it costs as much as inflating 1 MiB at the most (`semantics.md` 2)."""
    plain = body
    if encoding is not None and (name := encoding.strip().lower()) not in (b"", b"identity"):
        if name not in _GZIP_NAMES:
            return Refused(Code.UNSUPPORTED_ENCODING, body, len(body))
        gzip = zlib.decompressobj(_GZIP)
        try:
            plain = gzip.decompress(body, MAX_INFLATED_BYTES + 1)
        except zlib.error:
            return Refused(Code.INVALID_GZIP, body, len(body))
        if len(plain) > MAX_INFLATED_BYTES:
            return Refused(Code.INFLATED_TOO_LARGE, plain, len(plain))
        if not gzip.eof or gzip.unused_data:  # Cut short, or with something behind it.
            return Refused(Code.INVALID_GZIP, body, len(body))
    return Refused(Code.PAYLOAD_TOO_LARGE, plain, len(plain)) if len(plain) > MAX_REQUEST_BYTES else plain
