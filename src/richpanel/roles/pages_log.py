"""The log as the pages open it: they read it, and append through the front, which owns it, or to the stream."""

from collections.abc import Mapping
from typing import Any

from richpanel.config import Settings
from richpanel.log.contract import LogReader, LogWriter
from richpanel.log.opening import open_reader, stream_of
from richpanel.log.remote import RemoteWriter
from richpanel.roles.ever import ever_applied


def open_pages_writer(settings: Settings, sockets: Mapping[str, Any], reader: LogReader) -> LogWriter | None:
    """Let the pages append: through the front, which owns the segments, or to the stream themselves.

    None where this server's front has no log to append to. Call it on the event loop that will append.
    """
    if settings.log_url is not None:
        from richpanel.log.jetstream import JetStreamWriter  # Loaded where it is used.

        applied = ever_applied(settings.data, settings.database_url)
        stream = stream_of(settings.log_url)
        return JetStreamWriter(stream, reader, max_waiting_bytes=settings.log_waiting_bytes, applied=applied)
    return RemoteWriter(sockets["log_path"], reader) if settings.role != "web" else None


def open_pages_reader(settings: Settings) -> LogReader:
    """Let the pages read the log."""
    return open_reader(settings.data / "log", settings.log_url)
