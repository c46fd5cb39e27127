"""The log as commands append to it: the files are theirs alone meanwhile, a cluster's stream they share."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

from richpanel.log.contract import LogWriter
from richpanel.log.jetstream import JetStreamWriter
from richpanel.log.opening import stream_of
from richpanel.log.segments import SegmentWriter
from richpanel.log.stream_reader import JetStreamReader
from richpanel.roles.ever import ever_applied
from richpanel.store import moved
from richpanel.store.directory import DataDirectory


@asynccontextmanager
async def appending(directory: DataDirectory) -> AsyncIterator[LogWriter]:
    """Open the log to append to it. Raises LogLocked where it is files and another process owns them, OSError."""
    if directory.log_url is None:
        writer: LogWriter = SegmentWriter.open(directory.log)
        try:
            if (refusal := moved.refusal(directory.path)) is not None:
                raise OSError(refusal)
            yield writer
        finally:
            await writer.close()
        return
    stream = stream_of(directory.log_url)
    with closing(JetStreamReader(stream)) as reader:
        writer = JetStreamWriter(stream, reader, applied=ever_applied(directory.path, directory.database_url))
        try:
            yield writer
        finally:
            await writer.close()
