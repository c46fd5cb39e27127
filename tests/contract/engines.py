"""The log's engines as the contract's suite opens them, and how it reads them. A new one has its place in `ENGINES`."""

import asyncio
import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Final

from richpanel.log.contract import Entry, LogEraser, LogReader, LogWriter
from richpanel.log.jetstream import JetStreamWriter
from richpanel.log.remote import Appends, RemoteWriter
from richpanel.log.segments import SegmentReader, SegmentWriter
from richpanel.log.stream import Stream
from richpanel.log.stream_reader import JetStreamReader
from tests.contract.nats_server import NatsServer


class Segments:
    """The segment engine, as the suite opens it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "log"

    def writer(self, *, piece: int = 1 << 20, waiting: int = 8 << 20) -> LogEraser:
        return SegmentWriter.open(self.directory, segment_bytes=piece, max_waiting_bytes=waiting)

    def reader(self) -> LogReader:
        return SegmentReader(self.directory)

    async def close(self) -> None:
        """Close what a test that failed left open."""


class Remote(Segments):
    """The segment engine, appended to from beside its owner."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        # Not in pytest's directory: the path of a Unix socket may have a hundred bytes.
        self._sockets = Path(tempfile.mkdtemp(prefix="richpanel-"))
        self._opened: list[OwnedWriter] = []

    def writer(self, *, piece: int = 1 << 20, waiting: int = 8 << 20) -> LogEraser:
        owner = super().writer(piece=piece, waiting=waiting)
        path = str(self._sockets / str(len(self._opened)))
        self._opened.append(OwnedWriter(owner, Appends(owner, listening_at(path)), RemoteWriter(path, self.reader())))
        return self._opened[-1]

    async def close(self) -> None:
        for writer in self._opened:
            await writer.close()
        shutil.rmtree(self._sockets)


def listening_at(path: str) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen()
    return listening


class OwnedWriter:
    """A remote writer that takes its owner with it, as the suite expects of the one that it opened."""

    def __init__(self, owner: LogEraser, appends: Appends, remote: RemoteWriter) -> None:
        self._owner = owner
        self._appends = appends
        self._remote = remote
        self.append = remote.append
        self.archive = remote.archive
        self.retain = remote.retain
        self.erase = remote.erase

    @property
    def durable(self) -> int:
        return self._remote.durable

    async def close(self) -> None:
        await self._remote.close()
        await self._appends.close()
        await self._owner.close()


class JetStream:
    """The stream engine, on a server of its own."""

    def __init__(self, directory: Path) -> None:
        self.server = NatsServer(directory / "nats")
        self.stream = Stream((self.server.url,), max_bytes=1 << 30)
        self._writers: list[LogWriter] = []
        self._readers: list[LogReader] = []

    def writer(self, *, piece: int = 1 << 20, waiting: int = 8 << 20) -> LogWriter:  # noqa: ARG002  # a record is one
        self._writers.append(JetStreamWriter(self.stream, self.reader(), max_waiting_bytes=waiting))
        return self._writers[-1]

    def reader(self) -> LogReader:
        self._readers.append(JetStreamReader(self.stream))
        return self._readers[-1]

    async def close(self) -> None:
        try:
            for writer in self._writers:
                await writer.close()
            for reader in self._readers:
                reader.close()
        finally:
            self.server.stop()


Engine = Segments | JetStream
IN_FILES: Final = (Segments, Remote)
"""The engines whose log is files of ours: they have one owner, archives, and erase in place."""
ENGINES: Final = (*IN_FILES, JetStream)


async def reached(reader: LogReader, position: int) -> int:
    """Tell how far the log goes once this reader knows of the position, which takes milliseconds at the most."""
    deadline = time.monotonic() + 60
    while reader.durable() < position:
        assert time.monotonic() < deadline, "the reader was not told"
        await asyncio.sleep(0.001)
    return reader.durable()


async def until(found: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for something that may block while it looks."""
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(found):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def everything(reader: LogReader, position: int = 0, max_bytes: int = 8 << 20) -> list[Entry]:
    """Read to the end, each time from where the last entry ended."""
    found: list[Entry] = []
    while entries := reader.read(position, max_bytes):
        found += entries
        position = entries[-1].end
    return found


def payloads(reader: LogReader, position: int = 0) -> list[bytes]:
    return [entry.payload for entry in everything(reader, position)]


async def archive_all(writer: LogWriter, position: int) -> list[int]:
    done = []
    while (base := await writer.archive(position, inf)) is not None:
        done.append(base)
    return done


async def fill(writer: LogWriter, count: int, size: int) -> list[int]:
    """Append one after the other, so that no two share a commit."""
    return [await writer.append(number.to_bytes(4) * (size // 4)) for number in range(count)]
