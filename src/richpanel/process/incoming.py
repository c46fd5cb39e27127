"""Incoming messages: what a batch of log records holds, decoded once, with all that is known before the state."""

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

import msgspec

from richpanel.core import record
from richpanel.core.channel import CHANNEL_TYPE, Activity, decode_activity
from richpanel.core.codes import Code
from richpanel.core.cut import Cut
from richpanel.core.identity import ANONYMOUS, EMAIL, PHONE, UID
from richpanel.core.ids import BLOCKED_IDS, clean_id, email_address, hash64, phone_address
from richpanel.core.inside import Inside
from richpanel.core.manual import DOOR as MANUAL_DOOR
from richpanel.core.manual import UNDO, Manual, decode_manual, type_number
from richpanel.core.message import TYPES, Message, decode_message, reason_of_decode_error
from richpanel.core.pipeline import look_inside
from richpanel.core.record import Discard, Meta
from richpanel.core.regulation import DOOR as REGULATION_DOOR
from richpanel.core.regulation import Regulation, decode_regulation
from richpanel.core.replaying import DOOR as REPLAY_DOOR
from richpanel.core.replaying import Again, decode_again
from richpanel.core.stamps import Stamp
from richpanel.core.timestamps import call_time, event_time, parse
from richpanel.log.contract import HEADER_SIZE, Entry
from richpanel.process.definitions import Definitions
from richpanel.store.account import AccountSettings
from richpanel.store.computations import ENGAGE
from richpanel.store.identities import Key
from richpanel.store.sources import SourceRow

TYPE_NUMBERS: Final = {name: number for number, name in enumerate(TYPES)}
IDENTIFY: Final = TYPE_NUMBERS["identify"]
_EVENTS: Final = (TYPE_NUMBERS["track"], TYPE_NUMBERS["page"])

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
        "head",
        "identity",
        "in_use",
        "inside",
        "item",
        "kind",
        "lead",
        "manual",
        "message",
        "message_id",
        "meta",
        "n",
        "outcome",
        "outgoing",
        "owner",
        "place",
        "received",
        "size",
        "source",
        "stamp",
        "t",
        "uid",
        "whole",
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
    manual: Manual | None
    inside: Inside | None

    def __init__(self, meta: Meta, source: SourceRow, spot: Spot, body: bytes) -> None:
        self.head = b""
        self.meta = meta
        self.source = source
        self.place, self.lead, self.item = spot
        self.body = body
        self.size = len(body)
        self.received = meta.at
        self.activity = None
        self.manual = None
        self.inside = None
        self.in_use: Collection[str] = ()
        self.whole: tuple[Message, Inside | None] | None = None
        # ----
        self.n = 0
        self.hash = 0
        self.identity = 0
        self.alias = 0
        self.owner = 0
        self.outcome = 0
        self.decision = 0
        self.outgoing: tuple[int, ...] = ()


class Refused:
    """A discard on its way into the state."""

    __slots__ = ("at", "body", "discard", "hash", "head", "lead", "place", "size", "source")

    def __init__(self, discard: Discard, meta: Meta, source: SourceRow, spot: Spot) -> None:
        self.discard = discard
        self.source = source
        self.at = meta.at
        self.place, self.lead, _ = spot
        self.size = discard.size
        self.hash: int | None = None
        self.body = b""
        self.head = b""


class Private(NamedTuple):
    """Something refused for privacy: whose source it was, when it came (ms UTC), why, and where its bytes stand."""

    source: str
    at: int
    code: Code
    place: int
    size: int


class Opened(NamedTuple):
    """A batch's records, decoded: what they hold, and the position and arrival (ms UTC) of the last of them.

    `version` is that of the definitions that they were opened with. A `regulation` is a batch of its own, for it holds
    by its place in the log, and so is what is to be decided about `again`, which must be stored.
    """

    version: int
    end: int
    arrived: list[Incoming]
    refused: list[Refused]
    received_at: int
    regulation: Regulation | None = None
    private: Sequence[Private] = ()
    again: Again | None = None


def open_batch(entries: Sequence[Entry], definitions: Definitions) -> Opened:
    """Decode records, at least one. It needs nothing of the state, so it can be done ahead of the batch's turn.

    A regulation comes alone, as does a chunk of a replay: what is in front of it is a batch, and so is what is behind.
    What was erased is passed over: it is neither a message nor a discard.
    """
    account = definitions.account
    arrived: list[Incoming] = []
    refused: list[Refused] = []
    received_at = 0
    end = entries[0].start
    for entry in entries:
        meta, items, discarded = record.decode(entry.payload)
        if meta.door in (REGULATION_DOOR, REPLAY_DOOR):
            if end > entries[0].start:
                break
            return _alone(Opened(definitions.version, entry.end, [], [], meta.at), meta.door, items[0].body)
        end = entry.end
        received_at = max(received_at, meta.at)
        source = definitions.sources[meta.source]
        base = entry.start + HEADER_SIZE
        head = record.head(entry.payload)
        meta.sentAt = parse(meta.sentAt)  # Once for all its items.
        for number, (offset, body) in enumerate(items):
            if record.is_erased(body):
                continue
            spot = (base + offset, offset, number)
            try:
                found = open_by(definitions, meta, source, spot, body)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                # It passed an older door, or the log was written by hand: a discard, so that it is seen.
                letgo = Refused(Discard(reason_of_decode_error(error), len(body)), meta, source, spot)
                letgo.body, letgo.head = body, head
                refused.append(letgo)
                continue
            found.head = head
            found.hash = hash64(account.hash_key, source.id, found.message_id)
            if is_of_somebody(found, account):
                arrived.append(found)
            else:  # The account has blocked an id since, or reads phone numbers as another country's.
                refused.append(refuse(found, Code.NO_USER_ANON_ID))
        for discard, (offset, body) in discarded:
            letgo = Refused(discard, meta, source, (base + offset, offset, 0))
            letgo.size = len(body)
            letgo.body, letgo.head = body, head
            if discard.messageId:
                letgo.hash = hash64(account.hash_key, source.id, discard.messageId)
            refused.append(letgo)
    return Opened(definitions.version, end, arrived, refused, received_at)


def _alone(opened: Opened, door: str, body: bytes) -> Opened:
    if door == REPLAY_DOOR:
        return opened._replace(again=decode_again(body))
    return opened._replace(regulation=decode_regulation(body))


def refuse(message: Incoming, code: Code) -> Refused:
    """Make a discard of a message that was accepted."""
    discard = Discard(code, message.size, message.message_id)
    refused = Refused(discard, message.meta, message.source, (message.place, message.lead, message.item))
    refused.hash = message.hash
    refused.body, refused.head = message.body, message.head
    return refused


def open_by(definitions: Definitions, meta: Meta, source: SourceRow, spot: Spot, body: bytes) -> Incoming:
    """Decode one kept item of a record (`open_item`) as the account's definitions have it."""
    found = open_item(meta, source, spot, body, definitions.account.blocked_ids)
    if found.kind == IDENTIFY and source.type != ENGAGE:  # What that tells is never folded.
        found.in_use = definitions.in_use_at(meta.at)
    return found


def open_item(
    meta: Meta, source: SourceRow, spot: Spot, body: bytes, blocked: frozenset[str] = BLOCKED_IDS
) -> Incoming:
    """Decode one kept item of a record: channel activity, or a Segment call, with what is inside a page or track.

    `meta.sentAt` must be parsed.
    """
    found = Incoming(meta, source, spot, body)
    if meta.door == "channel":
        _open_activity(found)
        return found
    if meta.door == MANUAL_DOOR:
        _open_manual(found, blocked)
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
    found.t = call_time(meta, message).t
    found.stamp = (found.t, found.message_id, source.id)
    if found.kind in _EVENTS:
        found.inside = look_inside(message, meta.context, blocked)
    return found


def cut_short(found: Incoming, cut: Cut, blocked: frozenset[str]) -> None:
    """Take from a call what the destination's filters take: from here on it is as if it had come without it."""
    found.whole = (found.message, found.inside)
    found.message = msgspec.structs.replace(found.message)
    cut.apply_to(found.message, found.meta.context)
    if found.kind in _EVENTS:
        found.inside = look_inside(found.message, msgspec.Raw(), blocked)


def make_whole(found: Incoming) -> None:
    """Give back what was taken from a call: it is decided about again, since a transaction failed."""
    if found.whole is not None:
        (found.message, found.inside), found.whole = found.whole, None


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


def _open_manual(found: Incoming, blocked: frozenset[str]) -> None:
    manual = decode_manual(found.body)
    found.manual = manual
    found.message = Message(type=manual.type)
    found.kind = type_number(manual.type)
    found.message_id = manual.messageId
    found.uid, found.anonymous = clean_id(manual.uid, blocked), clean_id(manual.anonymousId, blocked)
    found.event = None
    found.t = event_time(found.meta.at, manual.timestamp).t
    found.stamp = (found.t, found.message_id, found.source.id)


def named(activity: Activity, account: AccountSettings) -> list[Key | None]:
    """Give the uid, email, phone and anonymousId by which an activity's sender can be known."""
    sender = activity.sender
    return [
        _key(UID, clean_id(sender.uid, account.blocked_ids)),
        _key(EMAIL, email_address(sender.email)),
        _key(PHONE, phone_address(sender.phone, account.phone_country)),
        _key(ANONYMOUS, clean_id(sender.anonymousId, account.blocked_ids)),
    ]


def _key(kind: int, value: str | None) -> Key | None:
    return None if value is None else (kind, value)


def is_of_somebody(message: Incoming, account: AccountSettings) -> bool:
    """Tell whether a message carries any id or address by which a person can be known."""
    if message.manual is not None:
        return message.kind == UNDO or (message.uid is not None and message.anonymous is not None)
    if message.activity is None:
        return message.uid is not None or message.anonymous is not None
    return any(key is not None for key in named(message.activity, account))
