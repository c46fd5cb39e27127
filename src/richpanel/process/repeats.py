"""Repeats: one message id counts once per source, for ever (`semantics.md` 1).

Of several the one with the least (`receivedAt`, digest) counts, whichever is processed first: a server's clock may go
back, imported records tell their own time, and two of one millisecond may come in different batches.
"""

from hashlib import sha256
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import Connection

from richpanel.core.record import Meta
from richpanel.process.incoming import Incoming
from richpanel.process.memory import Memory
from richpanel.store import message_rows as stored
from richpanel.store.bodies import Bodies
from richpanel.store.message_rows import StoredMessage

_NOT_CONTENT: Final = ("sentAt", "receivedAt", "_metadata")
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder(order="sorted").encode

Key = tuple[int, str]
"""Source number and message id."""


class Repeat(NamedTuple):
    """A message that does not count, beside the number of the one that does."""

    source: int
    number: int
    place: int
    size: int
    lead: int
    received: int
    conflict: bool


class Settled(NamedTuple):
    """The messages that count, numbered, the repeats, and the numbers of stored messages that do not count any more."""

    messages: list[Incoming]
    repeats: list[Repeat]
    replaced: list[int]

    @property
    def numbers(self) -> frozenset[int]:
        """The numbers of the messages."""
        return frozenset(message.n for message in self.messages)


def digest(body: bytes) -> bytes:
    """Give the SHA-256 of an item without what differs from try to try."""
    fields = _decode(body)
    for key in _NOT_CONTENT:
        fields.pop(key, None)
    return sha256(_encode(fields)).digest()


def settle(connection: Connection, memory: Memory, arrived: list[Incoming], bodies: Bodies) -> Settled:
    """Tell which messages count, and number them in log order."""
    counting: dict[Key, Incoming] = {}
    within: list[tuple[Key, Incoming]] = []
    for message in arrived:
        key = (message.source.number, message.message_id)
        first = counting.setdefault(key, message)
        if first is not message:
            counting[key], repeat = _order(first, message)
            within.append((key, repeat))
    settled = Settled([], [], [])
    found = memory.message_ids.find(connection, [message.hash for message in counting.values()])
    before = _stored_before(connection, bodies, found, counting) if found else {}
    for key, message in counting.items():
        known = before.get(key)
        if known is None or _counts_instead(message, known, bodies):
            settled.messages.append(message)
        else:
            settled.repeats.append(_repeat(known.n, _body(bodies, known.place, known.size, message), message))
    for number, message in enumerate(settled.messages, memory.number_messages(connection, len(settled.messages))):
        message.n = number
        known = before.pop((message.source.number, message.message_id), None)
        if known is not None:
            _replace(connection, bodies, known, message, settled)
    for key, message in within:
        known, counts = before.get(key), counting[key]
        if known is None:
            settled.repeats.append(_repeat(counts.n, counts.body, message))
        else:
            settled.repeats.append(_repeat(known.n, _body(bodies, known.place, known.size, message), message))
    return settled


def _stored_before(
    connection: Connection, bodies: Bodies, found: dict[int, list[int]], counting: dict[Key, Incoming]
) -> dict[Key, StoredMessage]:
    """Find the messages whose id is stored already, as they are stored."""
    loaded = stored.load(connection, [number for known in found.values() for number in known])
    before: dict[Key, StoredMessage] = {}
    bodies.ahead(loaded.values())
    for key, message in counting.items():
        for number in found.get(message.hash, ()):
            row = loaded[number]
            if row.source == key[0] and stored.has_id(bodies, row, key[1]):
                before[key] = row  # Else two ids share a hash: both count.
    return before


def _counts_instead(message: Incoming, known: StoredMessage, bodies: Bodies) -> bool:
    """Tell whether a message counts instead of the stored one: a clock went back, or both came in one millisecond."""
    if message.received > known.received:
        return False
    body = stored.kept(bodies, known.place, known.size)
    if body is None:  # What it did cannot be told any more, nor taken back.
        return False
    if message.received < known.received:
        return True
    meta = stored.meta(bodies, known.place, known.lead)
    # Of what is the same in all, the earlier place: several workers find them in any order.
    return (*_content(message.body, message.t, message.meta), message.place) < (
        *_content(body, known.t, meta),
        known.place,
    )


def _body(bodies: Bodies, place: int, size: int, beside: Incoming) -> bytes:
    """Read a body to compare with a message; one that is no longer kept contradicts none."""
    body = stored.kept(bodies, place, size)
    return beside.body if body is None else body


def _replace(connection: Connection, bodies: Bodies, known: StoredMessage, message: Incoming, settled: Settled) -> None:
    """Note that a stored message is a repeat now, and so are its own repeats, of the one that counts instead."""
    settled.replaced.append(known.n)
    moved = [
        (message.n, int(_differ(message.body, _body(bodies, place, size, message))), row)
        for row, place, size in stored.repeats_of(connection, known.n)
    ]
    stored.move_repeats(connection, moved)
    conflict = _differ(message.body, _body(bodies, known.place, known.size, message))
    settled.repeats.append(
        Repeat(known.source, message.n, known.place, known.size, known.lead, known.received, conflict)
    )


def _differ(one: bytes, other: bytes) -> bool:
    return one != other and digest(one) != digest(other)


def _order(one: Incoming, other: Incoming) -> tuple[Incoming, Incoming]:
    if one.received != other.received:
        return (one, other) if one.received < other.received else (other, one)
    if one.meta is other.meta and one.body == other.body:
        return (one, other)
    first = _content(one.body, one.t, one.meta) <= _content(other.body, other.t, other.meta)
    return (one, other) if first else (other, one)


def _content(body: bytes, t: int, meta: Meta) -> tuple[object, ...]:
    """Give what decides between messages of one millisecond: the digest, then all else that the state may follow."""
    shared = (bytes(memoryview(meta.context)), bytes(memoryview(meta.integrations)), meta.type or "", meta.ip or "")
    return (digest(body), t, body, *shared)


def _repeat(number: int, body: bytes, message: Incoming) -> Repeat:
    """Note a repeat of the message that counts, given by its number and body."""
    conflict = _differ(body, message.body)
    return Repeat(message.source.number, number, message.place, message.size, message.lead, message.received, conflict)
