"""Following a source: what arrives of it, read from the log a second later at the most.

It is read where it is safe, by another process than the one that takes calls in, on a thread of its own. However much
comes, and however slowly a client takes it, one look reads a bounded piece; what is too far behind is passed over, and
the client is told so. It is a window, not a record: the messages' own list has everything.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import monotonic
from typing import Any, Final, NamedTuple

import msgspec

from richpanel.core import record
from richpanel.core.codes import Code
from richpanel.core.timestamps import iso
from richpanel.log.contract import HEADER_SIZE, Entry, LogDamaged, LogGone
from richpanel.store.recent import Came
from richpanel.web.stores import SharedLog

STREAMS: Final = 16
"""So many may be followed at a time; each holds one of the connections to the pages' process."""
_SECONDS: Final = 1.0
_BEAT_SECONDS: Final = 2.0
"""How often a stream says something, so that whoever stands between notices when it is to end."""
_LONGEST_SECONDS: Final = 300.0
"""A stream ends then; a browser comes again by itself, and is asked who it is."""
_READ_BYTES: Final = 512 << 10
_LATE_LOOKS: Final = 3
"""After so many looks in a row that left something unread, what is left is passed over."""
_AT_ONCE: Final = 100
_SHOWN_BYTES: Final = 512 << 10
BEAT: Final = b":\n\n"


class Seen(msgspec.Struct, rename="camel", kw_only=True):
    """What arrived, for the page: `body` is as it came, without the write key. A discard has a code and a reason."""

    place: str
    at: str
    message_id: str | None
    type: str | None
    event: str | None
    person: str | None
    code: str | None
    reason: str | None
    body: str


class Look(NamedTuple):
    """One look into the log: what is new, oldest first; where to go on; and whether something was passed over.

    `left` tells whether there is more to read.
    """

    seen: list[Seen]
    position: int
    skipped: bool = False
    left: bool = False


class Follower:
    """Lets streams follow the log. Nothing runs while nobody looks."""

    def __init__(self, log: SharedLog) -> None:
        """`log` is read on a thread of this one's own."""
        self._log = log
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="debugger")
        self._streams = 0

    @property
    def is_full(self) -> bool:
        """Whether there are as many streams as there may be."""
        return self._streams >= STREAMS

    def close(self) -> None:
        """Let the thread end."""
        self._pool.shutdown(cancel_futures=True)

    async def stream(self, source: str, position: int) -> AsyncGenerator[bytes, None]:
        """Give server-sent events of what arrives of a source (its id) from a position on; each has the next one."""
        self._streams += 1
        try:
            yield b"retry: 2000\n\n"
            begun = spoken = monotonic()
            late = 0
            while (now := monotonic()) < begun + _LONGEST_SECONDS:
                look = await self._look(source, position)
                late = late + 1 if look.left else 0
                if late == _LATE_LOOKS:
                    look, late = look._replace(position=self._log.durable(), skipped=True), 0
                position = look.position
                if look.seen or look.skipped:
                    data = msgspec.json.encode({"messages": look.seen, "skipped": look.skipped})
                    yield b"id: %d\nevent: messages\ndata: %s\n\n" % (position, data)
                    spoken = now
                elif now >= spoken + _BEAT_SECONDS:
                    yield b"id: %d\n%s" % (position, BEAT)
                    spoken = now
                await asyncio.sleep(_SECONDS)
        finally:
            self._streams -= 1

    async def _look(self, source: str, position: int) -> Look:
        look = partial(look_at, self._log, source, position)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, look)
        except ConnectionError:  # The stream is away: the next look tries again.
            return Look([], position)


def look_at(log: SharedLog, source: str, position: int) -> Look:
    """Look once, from a position on. One that is not of this log goes on at the log's end."""
    end = log.durable()
    if position > end:  # Another node may have been told of more.
        end = log.end_now()
    if position == end:
        return Look([], end)
    if not 0 <= position < end:
        return Look([], end, skipped=True)
    try:
        entries = log.read(position, _READ_BYTES)
    except (LogGone, LogDamaged):
        return Look([], end, skipped=True)
    if not entries:
        return Look([], position)
    came = [each for entry in entries for each in came_of(entry, source)]
    shown: list[Seen] = []
    size = 0
    for each in reversed(came):
        size += len(each.body)
        if len(shown) == _AT_ONCE or (shown and size > _SHOWN_BYTES):
            break
        shown.append(seen(each))
    reached = entries[-1].end
    return Look(shown[::-1], reached, skipped=len(shown) < len(came), left=reached < end)


def came_of(entry: Entry, source: str) -> Iterator[Came]:
    """Read what a record has of a source."""
    meta, _ = record.decode_meta(entry.payload)
    if meta.source != source or meta.door not in _DOORS:
        return
    _, items, refused = record.decode(entry.payload)
    first = entry.start + HEADER_SIZE
    kind = meta.type or (meta.channel and "channel")
    for number, item in enumerate(items):
        if not record.is_erased(item.body):
            yield Came(first + item.offset, meta.at, item.body, meta.ids.get(number), kind)
    for discard, item in refused:
        yield Came(first + item.offset, meta.at, item.body, code=discard.code.value)


_DOORS: Final = frozenset({"tracking", "import", "segment", "richpanel", "channel", "engage"})
"""What calls and channel activity come in by; other records are no messages."""
_CODES: Final = {code.value: code.text for code in Code}
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def seen(came: Came) -> Seen:
    """Show what arrived; what cannot be read is shown as it is."""
    body, fields = came.body, dict[str, msgspec.Raw]()
    try:
        fields = _decode(body)
        if fields.pop("writeKey", None) is not None:
            body = msgspec.json.encode(fields)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    event = _text(fields, "event") or _text(fields, "name")
    return Seen(
        place=str(came.place),
        at=iso(came.at),
        message_id=_text(fields, "messageId") or _text(fields, "id") or came.given_id,
        type=came.kind or _text(fields, "type"),
        event=event or _text(fields, "subject"),
        person=_text(fields, "userId") or _text(fields, "anonymousId"),
        code=came.code,
        reason=_CODES.get(came.code) if came.code else None,
        body=body.decode(errors="replace"),
    )


def _text(fields: dict[str, msgspec.Raw], name: str) -> str | None:
    """Read a field that is a text or a number."""
    try:
        value: Any = msgspec.json.decode(fields[name]) if name in fields else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None
