"""Repeats: one message id counts once per source, for ever; of several, the least (receivedAt, digest) (`semantics.md` 1)."""

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
    within: list[tuple[Key, Incoming, Incoming]] = []
    for message in arrived:
        key = (message.source.number, message.message_id)
        known = counting.setdefault(key, message)
        if known is not message:
            counting[key], repeat = _order(known, message)
            within.append((key, counting[key], repeat))
    settled = Settled([], [])
    numbers: dict[Key, int] = {}
    found = memory.message_ids.find(connection, [message.hash for message in counting.values()])
    if found:
        _settle_with_stored(connection, bodies, found, counting, numbers, settled)
    for key, message in counting.items():
        if key not in numbers:
            memory.last_message += 1
            numbers[key] = message.n = memory.last_message
            settled.messages.append(message)
    for key, counts, repeat in within:
        settled.repeats.append(_repeat(numbers[key], repeat, conflict=_differ(counts.body, repeat.body)))
    return settled


def _settle_with_stored(
    connection: Connection,
    bodies: Bodies,
    found: dict[int, list[int]],
    counting: dict[Key, Incoming],
    numbers: dict[Key, int],
    settled: Settled,
) -> None:
    """Set aside the messages whose id is stored already.

    The stored one counts: one log hands out arrival times that never go back, so it arrived first.
    """
    loaded = stored.load(connection, [number for known in found.values() for number in known])
    for key, message in counting.items():
        for number in found.get(message.hash, ()):
            known = loaded[number]
            if known.source != key[0] or stored.message_id(bodies, known) != key[1]:
                continue  # Two ids with one hash: both count.
            numbers[key] = number
            conflict = _differ(bodies(known.place, known.size), message.body)
            settled.repeats.append(_repeat(number, message, conflict=conflict))


def _differ(one: bytes, other: bytes) -> bool:
    return one != other and digest(one) != digest(other)


def _order(one: Incoming, other: Incoming) -> tuple[Incoming, Incoming]:
    if one.received != other.received:
        return (one, other) if one.received < other.received else (other, one)
    return (one, other) if digest(one.body) <= digest(other.body) else (other, one)


def _repeat(number: int, message: Incoming, *, conflict: bool) -> Repeat:
    return Repeat(message.source.number, number, message.place, message.size, message.lead, message.received, conflict)
