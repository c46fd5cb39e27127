"""Bodies: the bytes of messages, repeats and discards, and what those of one record share, its head.

On SQLite they stay in the log, which is there for good. PostgreSQL goes with a stream that holds them for a while:
there they get their permanent place in the transaction that applies them, as rows of `bodies`. Whatever points at a
body has its place in the log, on either engine.
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, Protocol

from sqlalchemy import Connection

from richpanel.core import record
from richpanel.core.record import BodyGone
from richpanel.store import schema
from richpanel.store.bulk import LISTED, delete, fetch, insert, listed, on_postgres, update

Slice = Callable[[int, int], bytes]
"""Reads bytes of the log: (place, size). Raises BodyGone where they are no longer kept."""
_LENGTH: Final = struct.Struct("<I")


class Placed(Protocol):
    """What points at a body: a row of `messages`, for one. `lead` is its place less that of its record's head."""

    @property
    def place(self) -> int: ...
    @property
    def lead(self) -> int: ...


class Place(NamedTuple):
    """Where a body stands, alone."""

    place: int
    lead: int


class Bodies(Protocol):
    """Where bodies are read."""

    def __call__(self, place: int, size: int) -> bytes:
        """Read a body. Raises BodyGone."""

    def head(self, place: int) -> bytes:
        """Read the head of the record that begins at a place: the meta as JSON. Raises BodyGone."""

    def ahead(self, rows: Iterable[Placed]) -> None:
        """Load what is about to be read, in one query; what was loaded before is let go."""


class LogBodies:
    """Bodies in the log."""

    def __init__(self, log: Slice) -> None:
        self._log = log

    def __call__(self, place: int, size: int) -> bytes:
        """Read a body. Raises BodyGone."""
        return self._log(place, size)

    def head(self, place: int) -> bytes:
        """Read a record's head. Raises BodyGone."""
        (length,) = _LENGTH.unpack(self._log(place, _LENGTH.size))
        return self._log(place + _LENGTH.size, length)

    def ahead(self, rows: Iterable[Placed]) -> None:
        """Nothing is to be loaded: the log is at hand."""


class StoredBodies:
    """Bodies in the state's own table."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._loaded: dict[int, bytes] = {}

    def __call__(self, place: int, size: int) -> bytes:  # noqa: ARG002  # a row is a whole body
        """Read a body. Raises BodyGone."""
        found = self._loaded.get(place)
        return self._load(place) if found is None else found

    def head(self, place: int) -> bytes:
        """Read a record's head. Raises BodyGone."""
        return self(place, 0)[_LENGTH.size :]

    def ahead(self, rows: Iterable[Placed]) -> None:
        """Load what is about to be read, in one query; what was loaded before is let go."""
        places = {row.place for row in rows} | {row.place - row.lead for row in rows}
        self._loaded = {}
        if places:
            self._loaded = _load(self._connection, places)

    def _load(self, place: int) -> bytes:
        rows = fetch(self._connection, "SELECT data FROM bodies WHERE place = ?", place)
        if not rows:
            raise BodyGone(f"what stood at {place} of the log is no longer kept")
        return bytes(rows[0][0])


def bodies_of(connection: Connection, log: Slice | Bodies) -> Bodies:
    """Give where the bodies of a state are read; `log` where that is, on SQLite, or a `Bodies` made already."""
    if isinstance(log, LogBodies | StoredBodies):
        return log
    return StoredBodies(connection) if on_postgres(connection) else LogBodies(log)


def kept_since(connection: Connection) -> int | None:
    """Give `receivedAt` (ms UTC) of the oldest record of which anything is kept, on PostgreSQL; None without any.

    The first row is a record's head: it stands in front of its items.
    """
    rows = fetch(connection, "SELECT data FROM bodies ORDER BY place LIMIT 1")
    return record.decode_meta(bytes(rows[0][0]))[0].at if rows else None


class Kept(NamedTuple):
    """A body to keep, and its record's head: the u32 length and the meta, as they stand in front of the items."""

    place: int
    lead: int
    data: bytes
    head: bytes


def keep(connection: Connection, rows: Sequence[Kept], private: Iterable[int] = ()) -> None:
    """Keep bodies and heads, on PostgreSQL; a head that is kept already stays as it is.

    Raises IntegrityError where a body is kept already: then the item is applied, by somebody else.
    `private` are places of bodies that are not to be kept, nor what their records' heads say of them alone.
    """
    if not on_postgres(connection) or not rows:
        return
    heads = {row.place - row.lead: row.head for row in rows}
    refused = set(private)
    if refused:
        for start, head in heads.items():
            offsets = [each for each in record.item_offsets(head) if start + each in refused]
            heads[start] = record.erase_head(head, offsets)
    insert(connection, schema.bodies, sorted(heads.items()), ignore=True)
    insert(connection, schema.bodies, sorted({row.place: row.data for row in rows}.items()))


def remove(connection: Connection, rows: Sequence[Placed]) -> None:
    """Remove bodies, on PostgreSQL, with what their records' heads say of them alone; empty records go whole."""
    if not on_postgres(connection) or not rows:
        return
    delete(connection, schema.bodies, [(place,) for place in {row.place for row in rows}], keys=("place",))
    offsets: dict[int, set[int]] = {}
    for row in rows:
        offsets.setdefault(row.place - row.lead, set()).add(row.lead)
    heads = _load(connection, offsets)
    items = {start: [start + each for each in record.item_offsets(head)] for start, head in heads.items()}
    left = there(connection, (place for places in items.values() for place in places))
    empty = [start for start, places in items.items() if left.isdisjoint(places)]
    delete(connection, schema.bodies, [(start,) for start in empty], keys=("place",))
    scrubbed = {start: record.erase_head(heads[start], offsets[start]) for start in heads.keys() - set(empty)}
    changed = [(head, start) for start, head in scrubbed.items() if head != heads[start]]
    update(connection, schema.bodies, changed, columns=("data",), keys=("place",))


def _load(connection: Connection, places: Iterable[int]) -> dict[int, bytes]:
    rows = fetch(connection, f"SELECT place, data FROM bodies WHERE place IN {LISTED}", listed(places))
    return {place: bytes(data) for place, data in rows}


def there(connection: Connection, places: Iterable[int]) -> set[int]:
    """Tell which of these bodies are kept, on PostgreSQL."""
    return {row[0] for row in fetch(connection, f"SELECT place FROM bodies WHERE place IN {LISTED}", listed(places))}
