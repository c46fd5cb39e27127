"""Incoming messages: what a batch of log records holds, decoded once, with all that is known before the state."""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from richpanel.core import record
from richpanel.core.channel import CHANNEL_TYPE, Activity, decode_activity
from richpanel.core.codes import Code
from richpanel.core.ids import BLOCKED_IDS, clean_id, hash64
from richpanel.core.inside import Inside
from richpanel.core.message import TYPES, Message, decode_message, reason_of_decode_error
from richpanel.core.record import Discard, Meta
from richpanel.core.stamps import Stamp
from richpanel.core.timestamps import event_time, parse
from richpanel.log.contract import HEADER_SIZE, Entry
from richpanel.store.sources import SourceRow

TYPE_NUMBERS: Final = {name: number for number, name in enumerate(TYPES)}
_NO_SENT_AT: Final = frozenset({"segment", "import"})


Spot = tuple[int, int, int]
"""Where an item stands: its place in the log, how far into its payload that is, and its index in the record."""


class Incoming:
    """One message on its way into the state. Fields below the line are filled in by the steps of `process.batch`."""

    __slots__ = (
        "activity",
        "alias",
        "anonymous",
        "body",
        "decision",
        "event",
        "hash",
        "identity",
        "inside",
        "item",
        "kind",
        "lead",
        "message",
        "message_id",
        "meta",
        "n",
        "outcome",
        "owner",
        "place",
        "received",
        "size",
        "source",
        "stamp",
        "t",
        "uid",
    )

    message: Message
    message_id: str
    kind: int
    uid: str | None
    anonymous: str | None
    event: str | None
    t: int
    stamp: Stamp
    activity: Activity | None
    inside: Inside | None

    def __init__(self, meta: Meta, source: SourceRow, spot: Spot, body: bytes) -> None:
        self.meta = meta
        self.source = source
        self.place, self.lead, self.item = spot
        self.body = body
        self.size = len(body)
        self.received = meta.at
        self.activity = None
        self.inside = None
        # ----
        self.n = 0
        self.hash = 0
        self.identity = 0
        self.alias = 0
        self.owner = 0
        self.outcome = 0
        self.decision = 0


class Refused:
    """A discard on its way into the state."""

    __slots__ = ("at", "discard", "hash", "lead", "place", "size", "source")

    def __init__(self, discard: Discard, meta: Meta, source: SourceRow, spot: Spot) -> None:
        self.discard = discard
        self.source = source
        self.at = meta.at
        self.place, self.lead, _ = spot
        self.size = discard.size
        self.hash: int | None = None


def refuse(message: Incoming, code: Code) -> Refused:
    """Make a discard of a message that was accepted."""
    discard = Discard(code, message.size, message.message_id)
    refused = Refused(discard, message.meta, message.source, (message.place, message.lead, message.item))
    refused.hash = message.hash
    return refused


def open_item(
    meta: Meta, source: SourceRow, spot: Spot, body: bytes, blocked: frozenset[str] = BLOCKED_IDS
) -> Incoming:
    """Decode one kept item of a record: a Segment call, or channel activity."""
    found = Incoming(meta, source, spot, body)
    if meta.door == "channel":
        _open_activity(found)
        return found
    message = decode_message(body)
    found.message = message
    kind = meta.type or message.type or "track"
    message.type = kind
    found.kind = TYPE_NUMBERS[kind]
    given = message.messageId
    found.message_id = (meta.ids and meta.ids.get(spot[2])) or (given if type(given) is str else str(given))
    found.uid = clean_id(message.userId, blocked)
    found.anonymous = clean_id(message.anonymousId, blocked)
    found.event = message.event if kind == "track" else message.name
    if meta.door in _NO_SENT_AT:
        timestamp = message.timestamp if message.timestamp is not None else message.originalTimestamp
        found.t = event_time(meta.at, timestamp).t
    else:
        sent_at = meta.sentAt if meta.sentAt is not None else message.sentAt
        found.t = event_time(meta.at, message.timestamp, sent_at).t
    found.stamp = (found.t, found.message_id, source.id)
    return found


def _open_activity(found: Incoming) -> None:
    activity = decode_activity(found.body)
    found.activity = activity
    found.message = Message(type="channel")
    found.kind = CHANNEL_TYPE
    found.message_id = activity.messageId
    found.uid = found.anonymous = None
    found.event = activity.channel
    found.t = event_time(found.meta.at, activity.timestamp).t
    found.stamp = (found.t, found.message_id, found.source.id)


def open_entries(
    entries: list[Entry], sources: Mapping[str, SourceRow], secret: bytes, blocked: frozenset[str]
) -> Iterator[Incoming | Refused]:
    """Decode every item of every record, in log order. A message's hash is that of (source, messageId)."""
    for entry in entries:
        meta, items, discarded = record.decode(entry.payload)
        source = sources[meta.source]
        base = entry.start + HEADER_SIZE
        scope = source.id
        meta.sentAt = parse(meta.sentAt)  # Once for all its items.
        for number, (offset, body) in enumerate(items):
            spot = (base + offset, offset, number)
            try:
                found = open_item(meta, source, spot, body, blocked)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                # It passed an older door, or the log was written by hand: a discard, so that it is seen.
                yield Refused(Discard(reason_of_decode_error(error), len(body)), meta, source, spot)
                continue
            found.hash = hash64(secret, scope, found.message_id)
            yield found
        for discard, (offset, body) in discarded:
            refused = Refused(discard, meta, source, (base + offset, offset, 0))
            refused.size = len(body)
            if discard.messageId:
                refused.hash = hash64(secret, scope, discard.messageId)
            yield refused
