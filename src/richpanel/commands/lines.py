"""Lines of a file as batches for the door: good items, and such as it refuses without their neighbours."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import BinaryIO, Final

import msgspec

from richpanel.core.codes import Code
from richpanel.core.ids import clean_id
from richpanel.core.message import MAX_MESSAGE_BYTES, MAX_REQUEST_BYTES, validate

MAX_ITEMS: Final = 500
_ENVELOPE: Final = b'{"batch":[', b"]}"
_MAX_BYTES: Final = MAX_REQUEST_BYTES - sum(map(len, _ENVELOPE))
_LONGEST_LINE: Final = 240_000
"""What is longer is cut: it is too large for a message anyhow, and must fit a request."""
_CUT: Final = MAX_MESSAGE_BYTES + 1_024
ID_PREFIX: Final = "import_"


@dataclass
class Batch:
    """Items for one request, and how far in the file they reach: `offset` in bytes, `lines` in lines."""

    offset: int
    lines: int
    items: list[bytes] = field(default_factory=list)
    discarded: int = 0
    size: int = 0

    def body(self) -> bytes:
        """Give the body of `/v1/import`."""
        return _ENVELOPE[0] + b",".join(self.items) + _ENVELOPE[1]


def batches(lines: BinaryIO, offset: int, number: int, origin: str) -> Iterator[Batch]:
    """Read batches from line `number` on, which begins at byte `offset`; blank lines are passed over.

    `origin` names source and file: with it and its number a line without a messageId gets one (`semantics.md` 1).
    """
    batch = Batch(offset, number)
    while True:
        line, length = _next_line(lines)
        if not length:
            break
        text = line.strip()
        if text:
            item, good = _item(text, f"{origin}\x1f{batch.lines + 1}\x1f".encode())
            if len(batch.items) >= MAX_ITEMS or batch.size + len(item) + 1 > _MAX_BYTES:
                yield batch
                batch = Batch(batch.offset, batch.lines)
            batch.items.append(item)
            batch.size += len(item) + 1
            batch.discarded += not good
        batch.offset += length
        batch.lines += 1
    yield batch


def _next_line(lines: BinaryIO) -> tuple[bytes, int]:
    """Read a line, cut where it is too long, and how many bytes of the file it takes; 0 at the end."""
    line = piece = lines.readline(_LONGEST_LINE)
    length = len(line)
    while piece and not piece.endswith(b"\n"):
        piece = lines.readline(1 << 20)
        length += len(piece)
    return line, length


def _item(line: bytes, place: bytes) -> tuple[bytes, bool]:
    """Make a line an item of a batch, and tell whether it is a good one."""
    judged = validate(line)
    if isinstance(judged, Code):
        return _refusable(line), False
    if clean_id(judged.messageId) is not None:
        return line, True
    message_id = ID_PREFIX + sha256(place + line).hexdigest()[:40]
    # Behind all other keys: of two that are alike, the last counts.
    named = line[:-1].rstrip() + b',"messageId":"' + message_id.encode() + b'"}'
    return named, len(named) <= MAX_MESSAGE_BYTES


def _refusable(line: bytes) -> bytes:
    """Give a bad line as JSON that the door refuses; what is no JSON, as a JSON string of its text."""
    try:
        msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return msgspec.json.encode(line[:_CUT].decode(errors="replace"))
    return line
