"""The log as the front opens it: the segments that this server owns, or the stream that any number share."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from time import monotonic
from typing import Any, Final

from richpanel import telemetry
from richpanel.config import Settings
from richpanel.log.contract import LogLocked
from richpanel.log.promise import ON_DISK
from richpanel.log.remote import Appends
from richpanel.log.retention import log_sizes
from richpanel.log.segments import SegmentReader, SegmentWriter
from richpanel.roles.door_log import DoorLog
from richpanel.roles.keeping import Keeping
from richpanel.roles.parent import CannotRunError
from richpanel.store import moved
from richpanel.store.glance import Glance, Unreadable
from richpanel.web.health import LogState

LOCK_SECONDS: Final = 5.0
"""How long a start waits for the log of a server that is just ending."""
_log = telemetry.get_logger(__name__)


@asynccontextmanager
async def log_of(settings: Settings, glance: Glance, sockets: Mapping[str, Any]) -> AsyncIterator[DoorLog]:
    """Open the log for the front, and look after it unless this is a server for the pages alone.

    Raises CannotRunError.
    """
    if settings.log_url is None:
        opened = _segments(settings, glance, sockets)
    else:
        from richpanel.roles.stream_logs import stream_log  # Loaded where it is used.

        opened = stream_log(settings, glance)
    async with opened as log:
        yield log


@asynccontextmanager
async def _segments(settings: Settings, glance: Glance, sockets: Mapping[str, Any]) -> AsyncIterator[DoorLog]:
    """Own the log; take what other roles append, archive what is old."""
    directory = settings.data / "log"

    def state() -> LogState:
        sizes = log_sizes(directory)
        return LogState(sizes.total, sizes.archived_bytes, durability=ON_DISK)

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
