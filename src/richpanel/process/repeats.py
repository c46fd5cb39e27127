"""Repeats: one message id counts once per source, for ever; of several the earliest arrival (`semantics.md` 1)."""

from hashlib import sha256
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import Connection

from richpanel.process.incoming import Incoming
from richpanel.process.memory import Memory
from richpanel.store import message_rows as stored
from richpanel.store.message_rows import Bodies

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
    """The messages that count, numbered, and the repeats."""

    messages: list[Incoming]
    repeats: list[Repeat]


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
    settled = Settled([], [])
    found = memory.message_ids.find(connection, [message.hash for message in counting.values()])
    before = _stored_before(connection, bodies, found, counting) if found else {}
    for key, message in counting.items():
        if key in before:
            settled.repeats.append(_repeat(before[key], message))
        else:
            memory.last_message += 1
            message.n = memory.last_message
            settled.messages.append(message)
    for key, message in within:
        counts = counting[key]
        settled.repeats.append(_repeat(before.get(key, (counts.n, counts.body)), message))
    return settled


def _stored_before(
    connection: Connection, bodies: Bodies, found: dict[int, list[int]], counting: dict[Key, Incoming]
) -> dict[Key, tuple[int, bytes]]:
    """Find the messages whose id is stored already: the number and body of the stored one, which counts.

    One log hands out arrival times that never go back, so the stored one arrived first.
    """
    loaded = stored.load(connection, [number for known in found.values() for number in known])
    before: dict[Key, tuple[int, bytes]] = {}
    for key, message in counting.items():
        for number in found.get(message.hash, ()):
            row = loaded[number]
            if row.source == key[0] and stored.message_id(bodies, row) == key[1]:
                before[key] = (number, bodies(row.place, row.size))  # Else two ids share a hash: both count.
    return before


def _differ(one: bytes, other: bytes) -> bool:
    return one != other and digest(one) != digest(other)


def _order(one: Incoming, other: Incoming) -> tuple[Incoming, Incoming]:
    if one.received != other.received:
        return (one, other) if one.received < other.received else (other, one)
    return (one, other) if digest(one.body) <= digest(other.body) else (other, one)


def _repeat(counts: tuple[int, bytes], message: Incoming) -> Repeat:
    """Note a repeat of the message that counts, given by its number and body."""
    number, body = counts
    conflict = _differ(body, message.body)
    return Repeat(message.source.number, number, message.place, message.size, message.lead, message.received, conflict)
