"""The log as a stream that any number of servers share: loaded where there is one, for segments can do without."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Final

from richpanel.config import Settings
from richpanel.log.jetstream import JetStreamWriter
from richpanel.log.opening import stream_of
from richpanel.log.promise import StreamStatus
from richpanel.log.stream_reader import JetStreamReader
from richpanel.roles.door_log import DoorLog
from richpanel.roles.ever import ever_applied
from richpanel.roles.stream_keeping import KeepingStream
from richpanel.store.glance import Glance
from richpanel.store.leadership import Leadership
from richpanel.web.health import LogState

HEALTH_SECONDS: Final = 2.0
"""How long a question of health waits for a stream that does not answer."""


@asynccontextmanager
async def stream_log(settings: Settings, glance: Glance) -> AsyncIterator[DoorLog]:
    """Append to the stream; the one of all fronts that leads drops what is applied."""
    stream = stream_of(settings.log_url or "")
    with closing(JetStreamReader(stream, seconds=HEALTH_SECONDS)) as reader:

        def state() -> LogState:
            return _state_of(reader.status())

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


def _state_of(status: StreamStatus) -> LogState:
    return LogState(
        status.bytes,
        durability=status.promise,
        max_bytes=status.max_bytes,
        pending=status.pending,
        replicas=status.replicas,
    )
