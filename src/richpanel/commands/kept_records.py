"""The records that `richpanel erase --verify` reads: those in the log, and on a cluster those that PostgreSQL keeps."""

from collections.abc import Iterator
from itertools import groupby
from typing import Final

from sqlalchemy import Connection

from richpanel.core.record import decode_meta
from richpanel.log.contract import HEADER_SIZE, Entry, LogGone, LogReader
from richpanel.log.stream import sequence_at, start_of
from richpanel.store.bulk import fetch

_BYTES: Final = 4 << 20
_ROWS: Final = 5_000
_AT_ONCE: Final = 500


def in_log(log: LogReader, end: int) -> Iterator[list[Entry]]:
    """Read all that the log has below a position. What is dropped meanwhile is passed over."""
    position = log.first()
    while position < end:
        try:
            entries = [entry for entry in log.read(position, _BYTES) if entry.start < end]
        except LogGone:
            position = log.first()
            continue
        if not entries:
            return
        yield entries
        position = entries[-1].end


def in_tables(connection: Connection, strays: list[int]) -> Iterator[list[Entry]]:
    """Put records together again from the bodies that PostgreSQL keeps; where one is gone spaces stand.

    `strays` takes the places of bodies that belong to no record.
    """
    found: list[Entry] = []
    for sequence, rows in groupby(_rows(connection), lambda row: sequence_at(row[0] + 1) - 1):
        first = start_of(sequence) + HEADER_SIZE
        bodies = {place - first: data for place, data in rows}
        if 0 not in bodies:
            strays += [first + offset for offset in bodies]
            continue
        payload = _payload(bodies)
        found.append(Entry(first - HEADER_SIZE, first + len(payload), payload))
        if len(found) == _AT_ONCE:
            yield found
            found = []
    if found:
        yield found


def _rows(connection: Connection) -> Iterator[tuple[int, bytes]]:
    place = -1
    statement = "SELECT place, data FROM bodies WHERE place > ? ORDER BY place LIMIT ?"
    while rows := fetch(connection, statement, place, _ROWS):
        for place, data in rows:
            yield place, bytes(data)


def _payload(bodies: dict[int, bytes]) -> bytes:
    payload = bytearray(bodies[0])
    for size in decode_meta(bodies[0])[0].sizes:
        payload += bodies.get(len(payload), b"").ljust(size) + b"\n"
    return bytes(payload)
