"""Event time: when something happened, as far as the clocks of client and server tell (`semantics.md` 1)."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from richpanel.core.codes import Code
from richpanel.core.message import Message
from richpanel.core.record import Meta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_SENT_AT = frozenset({"segment", "import", "richpanel"})
_SECONDS_BELOW = 100_000_000_000  # A smaller number counts seconds, a larger one milliseconds.


class EventTime(NamedTuple):
    """Event time `t` (milliseconds UTC) and, where the given one was not used, why."""

    t: int
    note: Code | None = None


def parse(value: object) -> int | None:
    """Read a timestamp, ISO 8601 or epoch (ms; seconds below 10^11), as ms UTC; None where none or before 1970."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip())
            since = (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment) - EPOCH
            ms = (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000
        except (ValueError, OverflowError):
            return None
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if not abs(value) < 1e17:  # Also refuses NaN; no calendar reaches further.
            return None
        ms = round(value * 1000) if abs(value) < _SECONDS_BELOW else int(value)
    else:
        return None
    return ms if ms >= 0 else None


def event_time(received_at: int, timestamp: object, sent_at: object = None) -> EventTime:
    """Correct the client's clock: `receivedAt - (sentAt - timestamp)`; without `sentAt`, `timestamp` as given.

    `received_at` is ms UTC. An absent or unusable timestamp counts as `received_at`, and so does one after it; each is
    noted. Callers pass no `sent_at` for `/segment`, imports and Richpanel's wire (`semantics.md` 1).
    """
    return _corrected(received_at, parse(timestamp), None if sent_at is None else parse(sent_at))


def call_time(meta: Meta, message: Message) -> EventTime:
    """Give the event time of a Segment call, by the rule of the door that it came in by.

    `meta.sentAt` must be parsed: it is the same for all of a record, and parsing twice takes a number for seconds.
    """
    if meta.door in _NO_SENT_AT:
        given = message.timestamp if message.timestamp is not None else message.originalTimestamp
        return _corrected(meta.at, parse(given), None)
    sent: int | None = meta.sentAt
    if sent is None and message.sentAt is not None:
        sent = parse(message.sentAt)
    return _corrected(meta.at, parse(message.timestamp), sent)


def _corrected(received_at: int, given: int | None, sent: int | None) -> EventTime:
    if given is None:
        return EventTime(received_at, Code.TIMESTAMP_REPLACED)
    t = given if sent is None else received_at - (sent - given)
    if t > received_at:
        return EventTime(received_at, Code.TIMESTAMP_IN_FUTURE)
    if t < 0:
        return EventTime(received_at, Code.TIMESTAMP_REPLACED)
    return EventTime(t)


def iso(ms: int) -> str:
    """Write ms UTC as ISO 8601 with milliseconds and `Z`, as Segment does."""
    second, rest = divmod(ms, 1000)
    return f"{_second(second)}.{rest:03d}Z"


@lru_cache(1_024)
def _second(since: int) -> str:
    """Write a second since 1970: what is written together is often of the same one."""
    return (EPOCH + timedelta(seconds=since)).replace(tzinfo=None).isoformat()
