"""The log as a server's roles open it: the segments that this server owns, or the stream that any number share."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from richpanel import telemetry
from richpanel.config import Settings
from richpanel.log.contract import LogDoor, LogLocked, LogReader, LogWriter
from richpanel.log.jetstream import JetStreamWriter
from richpanel.log.opening import open_reader, stream_of
from richpanel.log.promise import ON_DISK, StreamStatus
from richpanel.log.remote import Appends, RemoteWriter
from richpanel.log.retention import LogSizes, log_sizes
from richpanel.log.segments import SegmentReader, SegmentWriter
from richpanel.log.stream_reader import JetStreamReader
from richpanel.roles.ever import ever_applied
from richpanel.roles.keeping import Keeping, KeepingStream
from richpanel.roles.parent import CannotRunError
from richpanel.store import moved
from richpanel.store.glance import Glance, Unreadable
from richpanel.store.leadership import Leadership
from richpanel.web.health import LogState

LOCK_SECONDS: Final = 5.0
"""How long a start waits for the log of a server that is just ending."""
HEALTH_SECONDS: Final = 2.0
"""How long a question of health waits for a stream that does not answer."""
_log = telemetry.get_logger(__name__)


@dataclass(frozen=True)
class DoorLog:
    """The log at the front: what reads it, what takes records (None where this server takes none in), how it is."""

    reader: LogReader
    writer: LogDoor | None
    state: Callable[[], LogState]
    recovered: str | None = None
    """What opening it found that a person should know."""

    @property
    def refusal(self) -> str | None:
        """Why records are refused just now."""
        return self.writer.refusal if self.writer is not None else None

    @property
    def waiting(self) -> int:
        """Bytes that wait to be safe."""
        return self.writer.waiting if self.writer is not None else 0


@asynccontextmanager
async def log_of(settings: Settings, glance: Glance, sockets: Mapping[str, Any]) -> AsyncIterator[DoorLog]:
    """Open the log for the front, and look after it unless this is a server for the pages alone.

    Raises CannotRunError.
    """
    opened = _segments(settings, glance, sockets) if settings.log_url is None else _stream(settings, glance)
    async with opened as log:
        yield log


@asynccontextmanager
async def _segments(settings: Settings, glance: Glance, sockets: Mapping[str, Any]) -> AsyncIterator[DoorLog]:
    """Own the log; take what other roles append, archive what is old."""
    directory = settings.data / "log"

    def state() -> LogState:
        return _state_of(log_sizes(directory))

    with closing(SegmentReader(directory)) as reader:
        if settings.role == "web":
            yield DoorLog(reader, None, state)
            return
        writer = await _owned(settings, glance)
        appends = Appends(writer, socket.socket(fileno=sockets["log"]))
        keeping = Keeping(settings, writer, glance)
        try:
            yield DoorLog(reader, writer, state, writer.recovered.told())
        finally:
            await keeping.stop()
            await appends.close()
            await writer.close()


async def _owned(settings: Settings, glance: Glance) -> SegmentWriter:
    """Own the log; wait a little for the process of a server that is just ending."""
    try:
        applied, _ = glance.progress()
    except Unreadable as error:
        raise CannotRunError(str(error)) from error
    deadline = monotonic() + LOCK_SECONDS
    while True:
        try:
            writer = SegmentWriter.open(
                settings.data / "log",
                segment_bytes=settings.log_segment_bytes,
                max_waiting_bytes=settings.log_waiting_bytes,
                floor=applied,
            )
        except LogLocked as error:
            if monotonic() > deadline:
                raise CannotRunError(f"{error}: a server or an import runs there; stop that one first") from None
            await asyncio.sleep(0.05)
            continue
        if (refusal := moved.refusal(settings.data)) is not None:  # It was moved while this one waited.
            await writer.close()
            raise CannotRunError(refusal)
        found = writer.recovered
        if found.cut or found.missing:
            _log.warning("log_recovered", end=found.end, cut=found.cut, saved=str(found.saved), missing=found.missing)
        return writer


@asynccontextmanager
async def _stream(settings: Settings, glance: Glance) -> AsyncIterator[DoorLog]:
    """Append to the stream; the one of all fronts that leads drops what is applied."""
    stream = stream_of(settings.log_url or "")
    with closing(JetStreamReader(stream, seconds=HEALTH_SECONDS)) as reader:

        def state() -> LogState:
            return _state_of_stream(reader.status())

        if settings.role == "web":
            yield DoorLog(reader, None, state)
            return
        applied = ever_applied(settings.data, settings.database_url)
        writer = JetStreamWriter(stream, reader, max_waiting_bytes=settings.log_waiting_bytes, applied=applied)
        writer.connect()
        with closing(Leadership(settings.database_url, "keeping")) as leadership:
            keeping = KeepingStream(stream, writer, glance, leadership.is_leader)
            try:
                yield DoorLog(reader, writer, state)
            finally:
                await keeping.stop()
                await writer.close()


def _state_of(sizes: LogSizes) -> LogState:
    return LogState(sizes.total, sizes.archived_bytes, durability=ON_DISK)


def _state_of_stream(status: StreamStatus) -> LogState:
    return LogState(
        status.bytes,
        durability=status.promise,
        max_bytes=status.max_bytes,
        pending=status.pending,
        replicas=status.replicas,
    )


def open_pages_writer(settings: Settings, sockets: Mapping[str, Any], reader: LogReader) -> LogWriter | None:
    """Let the pages append: through the front, which owns the segments, or to the stream themselves.

    None where this server's front has no log to append to. Call it on the event loop that will append.
    """
    if settings.log_url is not None:
        applied = ever_applied(settings.data, settings.database_url)
        stream = stream_of(settings.log_url)
        return JetStreamWriter(stream, reader, max_waiting_bytes=settings.log_waiting_bytes, applied=applied)
    return RemoteWriter(sockets["log_path"], reader) if settings.role != "web" else None


def open_pages_reader(settings: Settings) -> LogReader:
    """Let the pages read the log."""
    return open_reader(settings.data / "log", settings.log_url)
