"""Records: what one request brought, as the log keeps it (`semantics.md` 1).

Layout of a payload: u32 little-endian length of the meta, the meta as JSON, then each item's exact bytes followed by a
newline, in the order of `Meta.sizes`. Kept items come first, the payloads of discards after them.

An erased body is one of spaces alone, as long as it was, so that whatever stands behind it stays where it is. A meta
that said something of it is shorter by that, and ends in spaces.
"""

import struct
from collections.abc import Collection, Iterable, Sequence
from itertools import accumulate
from typing import Any, Final, NamedTuple

import msgspec

from richpanel.core.codes import Code

_ABSENT: Final = msgspec.Raw()  # Left out when written: only this very object counts as the default.
_LENGTH: Final = struct.Struct("<I")
MAX_DISCARD_BYTES: Final = 4_096
"""A discard's payload is cut to this; its full size is kept beside it."""


class BodyGone(LookupError):
    """What stood at a place of the log is no longer kept: a setting of the operator's has let it go."""


class Discard(msgspec.Struct, omit_defaults=True):
    """An item that was refused: why, and how large it was before it was cut; 0 once it is erased."""

    code: Code
    size: int
    messageId: str | None = None


class Meta(msgspec.Struct, omit_defaults=True):
    """What all messages of a record share.

    `at` is `receivedAt` (ms UTC). `door` names the way in: `tracking`, `import` (their `sentAt` differs, `semantics.md`
    1), `segment` (the partner endpoint), `richpanel` (Richpanel's tracking API), `channel` (channel activity). `type`
    is a single call's, named by its path. `ids` holds, by index, the message ids given at the door. `ip` is the
    client's, for web and mobile sources.
    """

    at: int
    source: str
    sizes: list[int]
    door: str = "tracking"
    type: str | None = None
    sentAt: Any = None
    context: msgspec.Raw = _ABSENT
    integrations: msgspec.Raw = _ABSENT
    ids: dict[int, str] = {}
    ip: str | None = None
    channel: str | None = None
    discards: list[Discard] = []


class Item(NamedTuple):
    """One item of a record: its bytes, and where they stand within the payload."""

    offset: int
    body: bytes


class Record(NamedTuple):
    """A record as read: the shared part, the kept items, and the discards with their (cut) payloads.

    An erased item keeps its place among the others, since its index counts (`is_erased`); a discard is left out then.
    """

    meta: Meta
    items: list[Item]
    discarded: list[tuple[Discard, Item]]


_encode_meta = msgspec.json.Encoder().encode
_decode_meta = msgspec.json.Decoder(Meta).decode


def encode(meta: Meta, items: Sequence[bytes | memoryview | msgspec.Raw]) -> list[bytes]:
    """Write a payload as a list of buffers; fills in `meta.sizes`. Items: the kept ones, then the discards'."""
    meta.context = meta.context or _ABSENT
    meta.integrations = meta.integrations or _ABSENT
    meta.sizes = [memoryview(item).nbytes for item in items]
    head = _encode_meta(meta)
    body = b"\n".join(items)
    return [_LENGTH.pack(len(head)), head, body, b"\n"] if items else [_LENGTH.pack(len(head)), head]


def decode_meta(payload: bytes) -> tuple[Meta, int]:
    """Read the meta of a payload, and the offset at which its first item stands."""
    (length,) = _LENGTH.unpack_from(payload)
    return _decode_meta(memoryview(payload)[4 : 4 + length]), 4 + length


def decode(payload: bytes) -> Record:
    """Read a payload that `encode` wrote."""
    meta, offset = decode_meta(payload)
    items = []
    for size in meta.sizes:
        items.append(Item(offset, payload[offset : offset + size]))
        offset += size + 1
    kept = len(items) - len(meta.discards)
    refused = zip(meta.discards, items[kept:], strict=True)
    return Record(meta, items[:kept], [pair for pair in refused if pair[0].size or not is_erased(pair[1].body)])


def is_erased(body: bytes) -> bool:
    """Tell whether an item's body, as it is read now, was erased: it is spaces alone, and no item that is kept is."""
    return body[:1] == b" " and not body.strip(b" ")


def erase(payload: bytes, bodies: Iterable[tuple[int, int]]) -> bytes:
    """Give a payload of the same length without these bodies (offset and size, as `Item` has them).

    With a body goes what the meta says of it alone: the id given at the door, a discard's id and size. Where no body is
    left, what the record's messages shared goes as well: address, context, integrations, `sentAt`. All else stays as it
    is. Raises ValueError where no such body stands, or where this is not a payload that `encode` wrote.
    """
    try:
        meta, first = decode_meta(payload)
    except (struct.error, msgspec.DecodeError) as error:
        raise ValueError(f"the record's meta cannot be read: {error}") from None
    places = {place: index for index, place in enumerate(zip(_offsets(meta, first), meta.sizes, strict=True))}
    scrubbed, gone = bytearray(payload), set[int]()
    for offset, size in bodies:
        index = places.get((offset, size))
        if index is None:
            raise ValueError(f"the record has no body of {size} bytes at {offset}")
        scrubbed[offset : offset + size] = b" " * size
        gone.add(index)
    left = _without(meta, gone)
    if not any(scrubbed[offset : offset + size].strip(b" ") for offset, size in places):
        left = msgspec.structs.replace(left, sentAt=None, context=_ABSENT, integrations=_ABSENT, ip=None)
    if left != meta:
        _put_meta(scrubbed, left, first)
    return bytes(scrubbed)


def head(payload: bytes) -> bytes:
    """Give what stands in front of a payload's items: the length of the meta, and the meta."""
    (length,) = _LENGTH.unpack_from(payload)
    return payload[: _LENGTH.size + length]


def item_offsets(head: bytes) -> list[int]:
    """Give where a record's items stand in its payload. `head` is what stands in front of them, or more."""
    return _offsets(*decode_meta(head))


def erase_head(head: bytes, offsets: Collection[int]) -> bytes:
    """Give a record's head, which ends where its first item begins, without what it says of some items alone.

    Raises ValueError where it is none that `encode` wrote.
    """
    meta, first = decode_meta(head)
    left = _without(meta, {index for index, offset in enumerate(_offsets(meta, first)) if offset in offsets})
    if left == meta:
        return head
    scrubbed = bytearray(head)
    _put_meta(scrubbed, left, first)
    return bytes(scrubbed)


def _offsets(meta: Meta, first: int) -> list[int]:
    return list(accumulate((size + 1 for size in meta.sizes[:-1]), initial=first)) if meta.sizes else []


def _without(meta: Meta, gone: Collection[int]) -> Meta:
    """Leave out what a meta says of the items with these indexes alone: given ids, and a discard's id and size."""
    ids = {index: given for index, given in meta.ids.items() if index not in gone}
    kept = len(meta.sizes) - len(meta.discards)
    discards = [Discard(each.code, 0) if kept + number in gone else each for number, each in enumerate(meta.discards)]
    return msgspec.structs.replace(meta, ids=ids, discards=discards)


def _put_meta(payload: bytearray, meta: Meta, end: int) -> None:
    """Write a meta in the room of the one that it was made of by leaving something out."""
    head = _encode_meta(meta)
    room = end - _LENGTH.size
    if len(head) > room:
        raise ValueError("the record's meta is not as it is written here")
    payload[_LENGTH.size : end] = head.ljust(room)
