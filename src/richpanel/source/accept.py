"""Acceptance: what becomes of a request's body, and the record that the log keeps of it (`semantics.md` 2).

A single call is kept or refused; of a batch the good items are kept, and each bad one becomes a discard. A refused body
whose source is known is a discard, too: an engineer finds in the trace whatever a client was told.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from richpanel.core import record
from richpanel.core.codes import Code
from richpanel.core.ids import clean_id
from richpanel.core.message import MAX_BATCH_ITEMS, Head
from richpanel.core.record import MAX_DISCARD_BYTES, Discard, Meta
from richpanel.source.body import Refused
from richpanel.source.items import (
    Envelope,
    ReadBatch,
    good_calls,
    judge_items,
    judge_single,
    key_in,
    message_id_in,
    read_batch,
    read_envelope,
    unnamed,
    unverified,
)
from richpanel.source.keys import KeySnapshot, Source
from richpanel.source.privacy import KeptOut
from richpanel.source.rate import Rates
from richpanel.source.scan import DEEP

_CLIENT_TYPES: Final = frozenset({"web", "mobile"})
_NOT_RECORDED: Final = frozenset({Code.REQUEST_TIMEOUT, Code.LOG_FULL, Code.OVERLOADED})
"""Refusals that say nothing about the body, which is sent again."""

Bad = tuple[Code, bytes | memoryview, int]
"""A bad item: why, its bytes, and how many it had (more, where only its beginning is left)."""


class Route(NamedTuple):
    """Which way in a path is: the record's door, and whether one call of a given type comes through it or a batch."""

    door: str
    type: str | None = None
    batch: bool = False


class Request(NamedTuple):
    """What is known of a request beside its body. `source` is that of its Basic credentials, `basic` if it has any."""

    route: Route
    at: int
    ip: str | None
    source: Source | None
    basic: bool


class Outcome(NamedTuple):
    """What becomes of a request: the code that refuses it or None, and the record that has to be durable before.

    `types` and `discards` are what the record holds; `wait` is in seconds, for a source that is over its rate.
    `private` counts what was refused for privacy: of that there is nothing in the record.
    """

    code: Code | None
    source: Source | None = None
    record: list[bytes] | None = None
    types: Sequence[str] = ()
    discards: Sequence[Discard] = ()
    wait: int = 0
    private: int = 0


class Intake:
    """Judges bodies. It reads no clock and asks nobody: what it needs to know is in the request and the snapshot."""

    def __init__(self, keys: KeySnapshot, new_id: Callable[[], str]) -> None:
        """Judge by these keys; `new_id` names the messages that come without an id."""
        self._keys = keys
        self._new_id = new_id
        self._rates = Rates()

    def take(self, body: bytes | Refused, request: Request) -> Outcome:
        """Judge a request's body, inflated."""
        if isinstance(body, Refused):
            return self.refuse(body, request)
        return self._take_batch(body, request) if request.route.batch else self._take_single(body, request)

    def refuse(self, refused: Refused, request: Request, source: Source | None = None) -> Outcome:
        """Refuse a whole request; a discard tells of it where its source is known."""
        code, head, size = refused
        if code in _NOT_RECORDED:
            return Outcome(code)
        if source is None:
            key = key_in(head)
            found = self._source(request, key)
            if isinstance(found, Code):
                # A body that nobody can read may have held a good key: then say what is wrong with the body.
                unreadable = key is None and not request.basic
                return Outcome(code if unreadable else found)
            source = found
        if wait := self._wait(source, 1, request):
            return Outcome(Code.RATE_LIMITED, wait=wait)
        if self._keys.kept_out and self._keys.kept_out.refuses_item(head):
            return Outcome(None, source, private=1)
        return _recorded(_meta(source, request), source, [], [(code, head, size)])._replace(code=code)

    def _take_single(self, body: bytes, request: Request) -> Outcome:
        call, body = judge_single(body, request.route.type)
        if isinstance(call, Code):
            return self.refuse(Refused(call, body, len(body)), request)
        source = self._source(request, call.writeKey)
        if isinstance(source, Code):
            return Outcome(source)
        if source.identity_secret is not None and unverified(call, source.identity_secret):
            return self.refuse(Refused(Code.IDENTITY_UNVERIFIED, body, len(body)), request, source)
        if wait := self._wait(source, 1, request):
            return Outcome(Code.RATE_LIMITED, wait=wait)
        if self._keys.kept_out and self._keys.kept_out.refuses(call.userId, call.anonymousId):
            return Outcome(None, source, private=1)
        meta = _meta(source, request)
        meta.type = request.route.type
        if clean_id(call.messageId) is None:
            meta.ids = {0: self._new_id()}
        return Outcome(None, source, record.encode(meta, [body]), (meta.type or call.type or "",))

    def _take_batch(self, body: bytes, request: Request) -> Outcome:
        read = read_batch(body)
        if isinstance(read, Code):
            return self.refuse(Refused(read, body, len(body)), request)
        source = self._source(request, read.batch.writeKey)
        if isinstance(source, Code):
            return Outcome(source)
        count = len(read.batch.batch)
        envelope = read_envelope(read.batch) if count <= MAX_BATCH_ITEMS else Code.TOO_MANY_ITEMS
        if isinstance(envelope, Code):
            return self.refuse(Refused(envelope, body, len(body)), request, source)
        if wait := self._wait(source, max(count, 1), request):
            return Outcome(Code.RATE_LIMITED, wait=wait)
        meta = _meta(source, request)
        if not count:
            return _recorded(meta, source, [], [(Code.EMPTY_BATCH, body, len(body))])
        meta.context, meta.integrations = envelope.context, envelope.integrations
        if isinstance(read.batch.sentAt, str | int | float):
            meta.sentAt = read.batch.sentAt
        return self._part(read, envelope, meta, source)

    def _part(self, read: ReadBatch, envelope: Envelope, meta: Meta, source: Source) -> Outcome:
        """Part a batch's good items from its bad ones."""
        views = [memoryview(raw) for raw in read.batch.batch]
        found = judge_items(read, views, source.identity_secret, envelope.user_hash)
        private = 0
        if self._keys.kept_out:
            views, found, deep = _let_in(self._keys.kept_out, views, found, read.deep)
            private = len(read.batch.batch) - len(views)
            if not views:
                return Outcome(None, source, private=private)
            read = read._replace(deep=deep)
        return self._record(read, meta, source, (views, found))._replace(private=private)

    def _record(
        self, read: ReadBatch, meta: Meta, source: Source, judged: tuple[list[memoryview], list[Head | Code]]
    ) -> Outcome:
        views, found = judged
        good = good_calls(found)
        types = [call.type or "" for call in good]
        meta.ids = {index: self._new_id() for index in unnamed(good)}
        if len(good) == len(views):
            return _recorded(meta, source, views, [])._replace(types=types)
        kept = [view for view, call in zip(views, found, strict=True) if not isinstance(call, Code)]
        deep = iter(read.deep)
        bad: list[Bad] = []
        for view, code in zip(views, found, strict=True):
            if isinstance(code, Code):
                cut = next(deep, None) if read.deep and view.tobytes() == DEEP else None
                bad.append((code, view, len(view)) if cut is None else (Code.TOO_DEEP, cut, len(cut)))
        return _recorded(meta, source, kept, bad)._replace(types=types)

    def _source(self, request: Request, key: object) -> Source | Code:
        """Find who sends: by the Basic credentials, else by the key in the body. Either will do; Basic counts."""
        source = request.source
        if source is None and isinstance(key, str):
            source = self._keys.write_keys.get(key.strip())
        if source is None:
            return Code.INVALID_WRITE_KEY
        return source if source.enabled else Code.SOURCE_DISABLED

    def _wait(self, source: Source, calls: int, request: Request) -> int:
        """Give the seconds that the source has to wait before it may send so many calls; 0 for none."""
        if source.rate_limit is None:
            return 0
        return self._rates.take(source.id, source.rate_limit, calls, request.at)


def _let_in(
    kept_out: KeptOut, views: list[memoryview], found: list[Head | Code], deep: list[bytes]
) -> tuple[list[memoryview], list[Head | Code], list[bytes]]:
    """Leave out of a batch what is of somebody who is kept out, good or bad."""
    left: list[tuple[memoryview, Head | Code]] = []
    cuts, left_cuts = iter(deep), []
    for view, call in zip(views, found, strict=True):
        cut = next(cuts, None) if deep and isinstance(call, Code) and view.tobytes() == DEEP else None
        if isinstance(call, Code):
            refused = kept_out.refuses_item(view if cut is None else cut)
        else:
            refused = kept_out.refuses(call.userId, call.anonymousId)
        if not refused:
            left.append((view, call))
            left_cuts += [] if cut is None else [cut]
    return [view for view, _ in left], [call for _, call in left], left_cuts


def _meta(source: Source, request: Request) -> Meta:
    """Begin a record. The client's address is kept for the sources that people hold in their hands."""
    ip = request.ip if source.type in _CLIENT_TYPES else None
    return Meta(at=request.at, source=source.id, sizes=[], door=request.route.door, ip=ip)


def _recorded(meta: Meta, source: Source, kept: list[memoryview], bad: list[Bad]) -> Outcome:
    """Make the record of the kept items and the discards, whose payloads are cut."""
    discards = [Discard(code, size, message_id_in(item)) for code, item, size in bad]
    meta.discards = discards
    payloads = [memoryview(item)[:MAX_DISCARD_BYTES] for _, item, _ in bad]
    return Outcome(None, source, record.encode(meta, [*kept, *payloads]), discards=discards)
