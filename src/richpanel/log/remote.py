"""Appending from another process: a writer that asks the log's owner over a Unix socket, and the owner's end of that.

Each request is a frame: number, verb and size, then the payload; the answer carries the same number, so appends share a
connection and its order. The socket is for this user alone and both ends are of one release, so frames are simple.
"""

import asyncio
import socket
import struct
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from enum import IntEnum
from itertools import starmap
from math import isnan, nan
from typing import Any, Final, assert_never

import msgspec

from richpanel.log.contract import LogBusy, LogClosed, LogDamaged, LogEraser, LogFull, LogReader, LogUnsure
from richpanel.log.ending import end_tasks

_ASKED: Final = struct.Struct("<QBI")
_ANSWERED: Final = struct.Struct("<I")
_SPAN: Final = struct.Struct("<Qd")
"""A position, and a time in seconds UTC, not a number where there is none."""
_BODY: Final = struct.Struct("<QQ")
"""A place and a size."""
_BODIES_BYTES: Final = _BODY.size << 14
"""So many are named in one request, a quarter of a MB, which counts as waiting until it is answered."""
_MOST_BYTES: Final = 1 << 30
"""No log lets so much wait; a frame that says so is none."""
_WAITING_BYTES: Final = 16 << 20
ANSWER_SECONDS: Final = 10.0


class _Verb(IntEnum):
    APPEND = 1
    RETAIN = 2
    ARCHIVE = 3
    ERASE = 4


_ERRORS: Final[tuple[type[Exception], ...]] = (LogFull, LogClosed, LogBusy, ValueError, OSError)
"""What an owner's log raises comes through as such; the answer has its place in this list."""


class _Answer(msgspec.Struct, array_like=True):
    """The owner's word on a request: the positions it gave, or which error and its text; both for a damaged record."""

    number: int
    positions: list[int] = []
    error: int | None = None
    text: str = ""


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Answer).decode


class RemoteWriter:
    """A `LogEraser` (log/contract.py) beside the owner; it connects when it is first needed, and again where it must.

    While the owner is away appends wait, for the socket is held by the parent; after `seconds` they end in LogUnsure.
    """

    def __init__(self, path: str, log: LogReader, *, seconds: float = ANSWER_SECONDS) -> None:
        """Reach the owner by the socket at `path`; `log` reads what it writes."""
        self._path = path
        self._log = log
        self._seconds = seconds
        self._waiting: dict[int, asyncio.Future[_Answer]] = {}
        self._unsent: list[tuple[int, bytes, bytes]] = []
        self._bytes = 0
        self._number = 0
        self._wake = asyncio.Event()
        self._talking: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def durable(self) -> int:
        """End of the last record that is safe on disk."""
        return self._log.durable()

    async def append(self, payload: bytes | Sequence[bytes]) -> int:
        """Keep one record; return its end position once it is on the owner's disk (`LogWriter.append`)."""
        parts = (payload,) if isinstance(payload, bytes) else payload
        (position,) = await self._ask(_Verb.APPEND, b"".join(parts), self._seconds)
        return position

    async def archive(self, position: int, before: float) -> int | None:
        """Have the owner archive the oldest piece that is not (`LogWriter.archive`)."""
        found = await self._ask(_Verb.ARCHIVE, _SPAN.pack(position, before), self._seconds)
        return found[0] if found else None

    async def retain(self, position: int, before: float | None = None) -> list[int]:
        """Have the owner drop what is older (`LogWriter.retain`)."""
        span = _SPAN.pack(position, nan if before is None else before)
        return await self._ask(_Verb.RETAIN, span, self._seconds)

    async def erase(self, spans: Sequence[tuple[int, int]]) -> int:
        """Have the owner erase bodies, however long that takes (`LogEraser.erase`)."""
        try:
            asked = b"".join(starmap(_BODY.pack, sorted(spans)))
        except struct.error as error:
            raise ValueError(f"a place or a size is none: {error}") from None
        parts = [asked[start : start + _BODIES_BYTES] for start in range(0, len(asked), _BODIES_BYTES)]
        return sum([changed for part in parts for changed in await self._ask(_Verb.ERASE, part, None)])

    async def close(self) -> None:
        """Wait for what was asked before, and hang up; the owner's log stays open."""
        self._closed = True
        if self._waiting:
            await asyncio.wait(self._waiting.values())
        if self._talking is not None:
            await end_tasks(self._talking)
            self._talking = None

    async def _ask(self, verb: _Verb, payload: bytes, seconds: float | None) -> list[int]:
        if self._closed:
            raise LogClosed("the log is closed")
        if len(payload) >= _MOST_BYTES:
            raise ValueError(f"a record of {len(payload)} bytes is larger than all that may wait")
        if self._bytes and self._bytes + len(payload) > _WAITING_BYTES:
            raise LogFull(f"{self._bytes} bytes wait for the log's owner")
        self._number += 1
        number, size = self._number, len(payload)
        answer: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        self._bytes += size
        self._unsent.append((number, _ASKED.pack(number, verb, size), payload))
        self._wake.set()
        if self._talking is None:
            self._talking = asyncio.create_task(self._talk())
        try:
            async with asyncio.timeout(seconds):
                given = await answer
        except TimeoutError:
            raise LogUnsure(f"the log's owner has not answered for {seconds:.0f} s") from None
        finally:
            self._bytes -= size
            self._waiting.pop(number, None)
        if given.error is not None:
            if given.positions:
                raise LogDamaged(given.positions[0], given.text)
            raise _ERRORS[given.error](given.text)
        return given.positions

    async def _talk(self) -> None:
        """Keep a connection as long as something is to be said."""
        while True:
            await self._wake.wait()
            try:
                reader, writer = await asyncio.open_unix_connection(self._path)
            except OSError as error:
                self._unsent.clear()
                self._give_up(f"the log's owner cannot be reached: {error}")
                continue
            hearing = asyncio.create_task(self._hear(reader))
            try:
                await self._speak(writer, hearing)
            except OSError:
                pass
            finally:
                hearing.cancel()
                writer.close()
            self._give_up("the log's owner went away before it answered")

    async def _speak(self, writer: asyncio.StreamWriter, hearing: "asyncio.Task[None]") -> None:
        """Send what is to be sent, until the owner hangs up. Raises OSError."""
        while not hearing.done():
            self._wake.clear()
            unsent, self._unsent = self._unsent, []
            writer.writelines(part for number, *frame in unsent if number in self._waiting for part in frame)
            await writer.drain()
            waking = asyncio.ensure_future(self._wake.wait())
            await asyncio.wait((waking, hearing), return_when=asyncio.FIRST_COMPLETED)
            waking.cancel()

    async def _hear(self, reader: asyncio.StreamReader) -> None:
        """Hand answers to who waits for them, until the owner hangs up."""
        with suppress(asyncio.IncompleteReadError, OSError):
            while True:
                (size,) = _ANSWERED.unpack(await reader.readexactly(_ANSWERED.size))
                answer = _decode(await reader.readexactly(size))
                waiting = self._waiting.get(answer.number)
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)

    def _give_up(self, reason: str) -> None:
        """Tell whose request was sent that nobody knows; what was not sent yet goes by the next connection."""
        unsent = {number for number, *_ in self._unsent}
        if not unsent:
            self._wake.clear()
        for number, waiting in self._waiting.items():
            if number not in unsent and not waiting.done():
                waiting.set_exception(LogUnsure(reason))


class Appends:
    """The owner's end: takes what others ask, on a Unix socket that listens, until it is closed."""

    def __init__(self, log: LogEraser, listening: socket.socket) -> None:
        """Begin. Call it on the event loop of the log."""
        self._log = log
        self._open: dict[asyncio.StreamReader, asyncio.Task[None]] = {}
        self._erasing: set[asyncio.Task[int]] = set()
        self._closing = False
        self._server = asyncio.ensure_future(self._listen(listening))

    async def close(self) -> None:
        """Take nothing more, answer what was asked before, and hang up. A second call does nothing.

        What is being erased is not waited for: who asked is told, and asks the next owner.
        """
        server = await self._server
        server.close()
        for reader in self._open:
            reader.feed_eof()
        self._closing = True
        for erasing in self._erasing:
            erasing.cancel()
        await asyncio.gather(*self._open.values())

    async def _listen(self, listening: socket.socket) -> asyncio.Server:
        # From 3.13 on the server would remove the socket's file, which is the parent's, and a restarted role's too.
        keep: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
        return await asyncio.start_unix_server(self._greet, sock=listening, **keep)

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # this runs in one
        self._open[reader] = task
        under_way: set[asyncio.Task[None]] = set()
        try:
            async for asked in _frames(reader):  # A task for each keeps the order: appends begin in turn.
                answering = asyncio.create_task(self._answer(*asked, writer))
                under_way.add(answering)
                answering.add_done_callback(under_way.discard)
            await asyncio.gather(*under_way)
        finally:
            del self._open[reader]
            writer.close()

    async def _answer(self, number: int, verb: _Verb, payload: bytes, writer: asyncio.StreamWriter) -> None:
        try:
            answer = _Answer(number, await self._do(verb, payload))
        except LogDamaged as error:
            answer = _Answer(number, [error.position], error=len(_ERRORS), text=error.reason)
        except _ERRORS as error:
            place = next(place for place, kind in enumerate(_ERRORS) if isinstance(error, kind))
            answer = _Answer(number, error=place, text=str(error))
        told = _encode(answer)
        writer.write(_ANSWERED.pack(len(told)) + told)

    async def _do(self, verb: _Verb, payload: bytes) -> list[int]:
        match verb:
            case _Verb.APPEND:
                return [await self._log.append(payload)]
            case _Verb.RETAIN:
                position, before = _SPAN.unpack(payload)
                return await self._log.retain(position, None if isnan(before) else before)
            case _Verb.ARCHIVE:
                base = await self._log.archive(*_SPAN.unpack(payload))
                return [] if base is None else [base]
            case _Verb.ERASE:
                return [await self._erase(payload)]
            case _:
                assert_never(verb)

    async def _erase(self, payload: bytes) -> int:
        erasing = asyncio.create_task(self._log.erase(list(_BODY.iter_unpack(payload))))
        self._erasing.add(erasing)
        if self._closing:
            erasing.cancel()
        try:
            await asyncio.wait((erasing,))
        finally:
            erasing.cancel()
            self._erasing.discard(erasing)
        if erasing.cancelled():
            raise LogClosed("the log was closed before all was erased")
        return erasing.result()


async def _frames(reader: asyncio.StreamReader) -> AsyncIterator[tuple[int, _Verb, bytes]]:
    """Read what one asks, until that one hangs up or says something that nobody would."""
    with suppress(asyncio.IncompleteReadError, OSError):
        while True:
            number, verb, size = _ASKED.unpack(await reader.readexactly(_ASKED.size))
            if size >= _MOST_BYTES or verb not in list(_Verb):
                return
            yield number, _Verb(verb), await reader.readexactly(size)
