"""Copying the bodies that a state points at, and the heads of their records, out of the log into PostgreSQL.

Each row of `messages`, `duplicates` and `discards` points at one. Where the log has a body no more, there is none
afterwards either: traces say so. What a head says of items that were let go of, or are to be erased, is left out.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Engine

from richpanel.core import record
from richpanel.store import schema
from richpanel.store.bodies import Bodies
from richpanel.store.bulk import fetch, insert
from richpanel.store.message_rows import kept
from richpanel.store.moving import STREAMED, Show, count
from richpanel.store.row_digest import RowDigest

POINTING: Final = ("messages", "duplicates", "discards")
_ROWS: Final = 4_000
_BYTES: Final = 4 << 20
_RECORD: Final = 64 << 20
"""No record has more bytes."""
_NEW_HEADS: Final = (
    "INSERT INTO bodies (place, data) SELECT * FROM unnest(?::bigint[], ?::bytea[]) "
    "ON CONFLICT DO NOTHING RETURNING place"
)


class _Pointer(NamedTuple):
    place: int
    size: int
    lead: int


def count_bodies(old: Connection) -> int:
    """Count the rows that point at bodies."""
    return sum(count(old, table) for table in POINTING)


def copy_bodies(old: Connection, new: Engine, log: Bodies, show: Show) -> RowDigest:
    """Copy all of them into an empty table; give the digest of what was written. Raises LogDamaged, DatabaseError."""
    digest = RowDigest()
    for table in POINTING:
        for pointers in _some(old, table):
            items, heads = _look_up(old, log, pointers)
            with new.begin() as connection:
                connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
                fresh = {row[0] for row in fetch(connection, _NEW_HEADS, list(heads), list(heads.values()))}
                insert(connection, schema.bodies, items)
            digest.add(items)
            digest.add((place, heads[place]) for place in sorted(fresh))
            show(len(pointers))
    return digest


def digest_of_bodies(new: Connection, show: Show) -> RowDigest:
    """Give the digest of what PostgreSQL holds of them now."""
    digest = RowDigest()
    with new.exec_driver_sql("SELECT place, data FROM bodies", execution_options=STREAMED) as rows:
        while some := rows.fetchmany(500):
            digest.add((row[0], bytes(row[1])) for row in some)
            show(len(some))
    return digest


def _some(old: Connection, table: str) -> Iterator[list[_Pointer]]:
    """Give what points at bodies, so much at a time as memory holds easily, in the order of the log."""
    found: list[_Pointer] = []
    size = 0
    statement = f"SELECT place, size, lead FROM {table}"
    with old.exec_driver_sql(statement, execution_options=STREAMED) as rows:
        while some := rows.fetchmany(500):
            for row in some:
                found.append(_Pointer(*row))
                size += row[1]
                if len(found) >= _ROWS or size >= _BYTES:
                    yield sorted(found)
                    found, size = [], 0
    if found:
        yield sorted(found)


def _look_up(old: Connection, log: Bodies, pointers: list[_Pointer]) -> tuple[list[tuple[int, bytes]], dict[int, Any]]:
    """Read bodies, and the heads of their records, as they are to be kept."""
    items: list[tuple[int, bytes]] = []
    heads: dict[int, Any] = {}
    for place, size, lead in pointers:
        body = kept(log, place, size)
        if body is None:
            continue
        items.append((place, body))
        start = place - lead
        if start not in heads:
            heads[start] = _head(log, start)
    gone = _let_go(old, heads)
    for start, head in heads.items() if gone else ():
        offsets = record.item_offsets(head)
        heads[start] = record.erase_head(head, [each for each in offsets if start + each in gone])
    return items, heads


def _head(log: Bodies, start: int) -> bytes:
    """Give a record's head as it stands in front of its items: the length of the meta, and the meta."""
    meta = log.head(start)
    return len(meta).to_bytes(4, "little") + meta


def _let_go(old: Connection, heads: dict[int, Any]) -> set[int]:
    """Give the places of the items of these records, and of those between them, that nothing points at any more."""
    if not heads:
        return set()
    first, last = min(heads), max(heads) + _RECORD
    statement = "SELECT place FROM {} WHERE place >= ? AND place < ?"
    places = (row[0] for table in ("let_go", "erasing") for row in fetch(old, statement.format(table), first, last))
    return set(places)
