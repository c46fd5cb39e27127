"""Records as the state on PostgreSQL keeps them, by their heads and bodies: what is folded where it is made anew.

A record is what one request brought. Here it has what was applied of it and not erased since; regulations, and what was
refused for privacy, are not kept at all. In the order of places a record's head comes first, then its items.
"""

import struct
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Connection

from richpanel.core import record
from richpanel.store import schema
from richpanel.store.bulk import fetch, insert

_ROWS: Final = 4_000
_BEFORE: Final = "SELECT place, data FROM bodies WHERE place >= ? AND place < ? ORDER BY place"
_EVER: Final = 1 << 62


class StoredRecord(NamedTuple):
    """A record: where its payload begins, and the payload. Of what is not kept it has spaces, as an erased body is.

    `places` are those of the items that are kept.
    """

    start: int
    payload: bytes
    places: frozenset[int]

    @property
    def end(self) -> int:
        """Behind its payload."""
        return self.start + len(self.payload)

    @property
    def head(self) -> bytes:
        """What stands in front of its items."""
        return record.head(self.payload)


class _Making:
    """A record whose items are still to come."""

    def __init__(self, start: int, head: bytes) -> None:
        meta, first = record.decode_meta(head)
        self.start = start
        self.end = start + first + sum(meta.sizes) + len(meta.sizes)
        self._payload = bytearray(head.ljust(self.end - start))
        self._places: set[int] = set()
        offset = first
        for size in meta.sizes:
            offset += size + 1
            self._payload[offset - 1] = 0x0A

    def put(self, place: int, body: bytes) -> None:
        offset = place - self.start
        self._payload[offset : offset + len(body)] = body
        self._places.add(place)

    def made(self) -> StoredRecord:
        return StoredRecord(self.start, bytes(self._payload), frozenset(self._places))


def read(
    connection: Connection, position: int, until: int | None = None, max_bytes: int = 8 << 20
) -> list[StoredRecord]:
    """Give the records from a position on which none lies across, in their order, about `max_bytes` of them.

    At least one, if there is one that begins before `until`. Raises ValueError where a row is of no record.
    """
    found: list[StoredRecord] = []
    size = 0
    limit = _EVER if until is None else until
    while size < max_bytes:
        rows = fetch(connection, f"{_BEFORE} LIMIT ?", position, limit, _ROWS)
        if not rows:
            break
        records = _parsed(rows)
        last = records[-1]
        if len(rows) == _ROWS:
            for place, body in fetch(connection, _BEFORE, rows[-1][0] + 1, last.end):
                last.put(place, bytes(body))
        for each in records:
            found.append(each.made())
            size += each.end - each.start
            position = each.end
            if size >= max_bytes:
                break
    return found


def _parsed(rows: Any) -> list[_Making]:
    records: list[_Making] = []
    for place, data in rows:
        if records and place < records[-1].end:
            records[-1].put(place, bytes(data))
            continue
        try:
            records.append(_Making(place, bytes(data)))
        except (struct.error, msgspec.DecodeError) as error:
            raise ValueError(f"what is kept at {place} is no record's head: {error}") from None
    return records


def put_heads(connection: Connection, records: list[StoredRecord]) -> None:
    """Keep the heads of these records as they are now, whatever stood there."""
    insert(connection, schema.bodies, [(each.start, each.head) for each in records], replace=True)
