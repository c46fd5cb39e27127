"""Records: what one request brought, as the log keeps it (`semantics.md` 1).

Layout of a payload: u32 little-endian length of the meta, the meta as JSON, then each item's exact bytes followed by a
newline, in the order of `Meta.sizes`. Kept items come first, the payloads of discards after them.
"""

import struct
from collections.abc import Sequence
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
    """An item that was refused: why, and how large it was before it was cut."""

    code: Code
    size: int
    messageId: str | None = None


class Meta(msgspec.Struct, omit_defaults=True):
    """What all messages of a record share.

    `at` is `receivedAt` (ms UTC). `door` names the way in: `tracking`, `import` (their `sentAt` differs, `semantics.md`
    1), `segment` (the partner endpoint), `channel` (channel activity). `type` is a single call's, named by its path.
    `ids` holds, by index, the message ids given at the door. `ip` is the client's, for web and mobile sources.
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
    """A record as read: the shared part, the kept items, and the discards with their (cut) payloads."""

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
    return Record(meta, items[:kept], list(zip(meta.discards, items[kept:], strict=True)))
