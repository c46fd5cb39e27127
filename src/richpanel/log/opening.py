"""The log's engine as the settings choose it: segment files in the data directory, or a stream (`log_url`)."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from richpanel.log.address import address_of
from richpanel.log.contract import LogReader
from richpanel.log.segments import SegmentReader

if TYPE_CHECKING:
    from richpanel.log.stream import Stream

_SECONDS: Final = 10.0


def stream_of(log_url: str) -> "Stream":
    """Give the stream that a `log_url` names. Raises ValueError with what is wrong."""
    from richpanel.log.stream import Stream  # Loaded where it is used: 25 MB that segments can do without.

    return Stream(*address_of(log_url))


def open_reader(directory: Path, log_url: str | None, *, seconds: float = _SECONDS) -> LogReader:
    """Read the log: the segments in this folder, or where there is a `log_url` the stream. Raises ValueError.

    A stream that has not answered for `seconds` ends in ConnectionError. Nothing is connected before it is first asked.
    """
    if log_url is None:
        return SegmentReader(directory)
    from richpanel.log.stream_reader import JetStreamReader  # Loaded where it is used.

    return JetStreamReader(stream_of(log_url), seconds=seconds)
