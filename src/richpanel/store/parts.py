"""Parts: half a million messages each, with a filter that tells which message ids are certainly not in it.

A message id counts once, for ever (`semantics.md` 1). Most ids are new; a filter answers that without touching the
index of a part, so the question costs the same however many parts there are.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from richpanel.store import schema
from richpanel.store.bulk import LISTED, delete, fetch, insert, listed, many, on_postgres
from richpanel.store.schema import PART

_FOREVER: Final = 1 << 62

_BITS: Final = PART * 16
_PROBES: Final = 6
"""16 bits and 6 probes an id: one new id in a thousand is looked up in vain."""
_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)


def _places(hashes: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Give each hash's bit numbers, one row a probe; they are the same in every filter."""
    first = hashes.view(np.uint64)
    step = ((first >> np.uint64(32)) * _SPREAD) | np.uint64(1)
    rounds = np.arange(_PROBES, dtype=np.uint64)[:, None]
    return (first + rounds * step) & np.uint64(_BITS - 1)


class Filter:
    """A Bloom filter over 64-bit hashes; never says no to what was added."""

    def __init__(self, bits: bytes | None = None) -> None:
        self._bytes = np.zeros(_BITS // 8, np.uint8) if bits is None else np.frombuffer(bits, np.uint8).copy()

    def add(self, hashes: NDArray[np.int64]) -> None:
        """Add hashes."""
        places = _places(hashes).ravel()
        np.bitwise_or.at(self._bytes, places >> np.uint64(3), np.uint8(1) << (places & np.uint64(7)).astype(np.uint8))

    def may_hold(self, places: NDArray[np.uint64]) -> NDArray[np.intp]:
        """Tell which of the hashes, given by their places, may have been added: their indexes."""
        left = np.arange(places.shape[1])
        for probe in places:  # Each probe leaves a third, so the later ones cost little.
            bits = probe[left]
            left = left[self._bytes[bits >> np.uint64(3)] >> (bits & np.uint64(7)).astype(np.uint8) & 1 == 1]
        return left

    def pack(self) -> bytes:
        """Give the filter's bits for the store."""
        return self._bytes.tobytes()


class MessageIds:
    """Which (source, messageId) hashes the state holds, by number of message."""

    def __init__(self, connection: Connection) -> None:
        self._filters: dict[int, Filter] = {}
        for part, bits in fetch(connection, "SELECT part, filter FROM parts ORDER BY part"):
            self._filters[part] = Filter(bits)
            if bits is None:
                rows = fetch(connection, "SELECT hash FROM message_ids WHERE part = ?", part)
                self._filters[part].add(np.fromiter((row[0] for row in rows), np.int64, len(rows)))

    def find(self, connection: Connection, hashes: list[int]) -> dict[int, list[int]]:
        """Give the numbers of the messages that have one of these hashes."""
        wanted = np.array(hashes, np.int64)
        places = _places(wanted)
        found: dict[int, list[int]] = {}
        for part, known in self._filters.items():
            candidates = wanted[known.may_hold(places)]
            if not candidates.size:
                continue
            statement = f"SELECT hash, n FROM message_ids WHERE part = ? AND hash IN {LISTED}"
            for hashed, number in fetch(connection, statement, part, listed(candidates.tolist())):
                found.setdefault(hashed, []).append(number)
        return found

    def add(self, connection: Connection, rows: Iterable[tuple[int, int]]) -> None:
        """Add (hash, number of message), numbers growing."""
        by_part: dict[int, list[tuple[int, int]]] = {}
        for hashed, number in rows:
            by_part.setdefault(number // PART, []).append((hashed, number))
        for part, added in by_part.items():
            insert(connection, schema.message_ids, [(part, hashed, number) for hashed, number in sorted(added)])
            hashes = np.fromiter((hashed for hashed, _ in added), np.int64, len(added))
            self._filters.setdefault(part, Filter()).add(hashes)

    def remove(self, connection: Connection, rows: Iterable[tuple[int, int]]) -> None:
        """Remove (hash, number of message). The filters keep saying "perhaps": they cannot forget."""
        placed = [(number // PART, hashed, number) for hashed, number in rows]
        delete(connection, schema.message_ids, placed, keys=("part", "hash", "n"))

    def seal(self, connection: Connection, newest: int) -> None:
        """Store the filters of full parts, so that the next start need not read their ids; forget none of them."""
        open_part = newest // PART
        for (part,) in fetch(connection, "SELECT part FROM parts WHERE filter IS NULL AND part < ?", open_part):
            connection.exec_driver_sql("UPDATE parts SET filter = ? WHERE part = ?", (self._filters[part].pack(), part))


class IndexedIds:
    """`MessageIds` on PostgreSQL, whose index is asked about all of a batch's ids at once, and has no filters."""

    def __init__(self) -> None:
        self._found: dict[int, list[int]] = {}

    def find(self, connection: Connection, hashes: list[int]) -> dict[int, list[int]]:
        """Give the numbers of the messages that have one of these hashes."""
        found: dict[int, list[int]] = {}
        rows = fetch(connection, f"SELECT hash, n FROM message_ids WHERE hash IN {LISTED} ORDER BY n", listed(hashes))
        for hashed, number in rows:
            found.setdefault(hashed, []).append(number)
        self._found = found
        return found

    def add(self, connection: Connection, rows: Iterable[tuple[int, int]]) -> None:
        """Add (hash, number of message). Raises IntegrityError where somebody has come to know an id meanwhile.

        `part` counts the ids that share a hash, as far as that was found.
        """
        placed = [(len(self._found.get(hashed, ())), hashed, number) for hashed, number in rows]
        insert(connection, schema.message_ids, placed)

    def remove(self, connection: Connection, rows: Iterable[tuple[int, int]]) -> None:
        """Remove (hash, number of message)."""
        gone = list(rows)
        delete(connection, schema.message_ids, gone, keys=("hash", "n"))
        for hashed, _ in gone:
            self._found.pop(hashed, None)

    def seal(self, connection: Connection, newest: int) -> None:
        """Nothing is to be stored."""


Ids = MessageIds | IndexedIds


def open_ids(connection: Connection) -> Ids:
    """Open the message ids of a state."""
    return IndexedIds() if on_postgres(connection) else MessageIds(connection)


def widen(connection: Connection, spans: dict[int, tuple[int, int]]) -> None:
    """Note the span of event time that each part's messages cover. PostgreSQL's one part may hold any, from the start.

    A row that everybody writes would have them all wait for each other.
    """
    if on_postgres(connection):
        insert(connection, schema.parts, [(0, -_FOREVER, _FOREVER, None)], ignore=True)
        return
    many(
        connection,
        "INSERT INTO parts (part, first_t, last_t) VALUES (?, ?, ?) ON CONFLICT (part) DO UPDATE SET "
        "first_t = CASE WHEN excluded.first_t < parts.first_t THEN excluded.first_t ELSE parts.first_t END, "
        "last_t = CASE WHEN excluded.last_t > parts.last_t THEN excluded.last_t ELSE parts.last_t END",
        [(part, low, high) for part, (low, high) in spans.items()],
    )


def all_spans(connection: Connection) -> list[tuple[int, int, int]]:
    """Give (part, first t, last t) of every part, the newest part first."""
    return [tuple(row) for row in fetch(connection, "SELECT part, first_t, last_t FROM parts ORDER BY part DESC")]
