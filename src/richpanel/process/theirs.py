"""What is somebody's, and no message that counts: bad items that name them, and repeats with a content of their own."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from richpanel.core.regulation import Hashed
from richpanel.core.timestamps import event_time
from richpanel.process.definitions import Definitions
from richpanel.process.refold import Reader
from richpanel.process.refusing import read_ids
from richpanel.process.tombstones import Tombstones
from richpanel.store import message_rows as messages
from richpanel.store import refused_rows
from richpanel.store.bodies import Place
from richpanel.store.identities import Key
from richpanel.store.ledger import Tombstone

_encode: Final = msgspec.json.Encoder().encode
_AT_ONCE: Final = 1_000
"""Bodies that are loaded at a time."""

Row = tuple[int, int, int, int]
"""A discard or a repeat: row id, source number, place, size."""


@dataclass
class Theirs:
    """Discards and repeats that are somebody's: (row id, source number, place, size); `codes` by row id of a discard.

    `let_go` are places and sizes of discards that no table knows any more, whose bytes the log still has.
    """

    discards: list[Row] = field(default_factory=list)
    codes: dict[int, str] = field(default_factory=dict)
    repeats: list[Row] = field(default_factory=list)
    let_go: list[tuple[int, int]] = field(default_factory=list)

    def repeat_bodies(self) -> list[tuple[int, int]]:
        """Where the repeats stand."""
        return [(place, size) for _, _, place, size in self.repeats]

    def bodies(self) -> Iterator[tuple[int, int]]:
        """Where all of them stand."""
        for _, _, place, size in (*self.discards, *self.repeats):
            yield place, size
        yield from self.let_go

    def counted_discards(self) -> list[tuple[int, int, str, int]]:
        """Give (row id, source number, code, place) of discards."""
        return [(row, source, self.codes[row], place) for row, source, place, _ in self.discards]

    def repeat_sources(self) -> list[int]:
        """Give the source number of each repeat."""
        return [source for _, source, _, _ in self.repeats]


def find_theirs(
    reader: Reader, definitions: Definitions, stones: Iterable[Tombstone], values: set[str], gone: set[int]
) -> Theirs:
    """Look through everything that was refused, and through repeats whose content differs.

    `values` are ids of theirs alone: a discard that can no longer be read, because it was cut, is theirs if it has one
    of them in quotation marks. `gone` are hashes of their messages' ids.
    """
    account = definitions.account
    known = _covered(account.hash_key, stones)
    quoted = [_encode(value) for value in values]
    found = Theirs()

    def is_theirs(place: int, size: int, at: int, hash_of_id: int | None) -> bool:
        if hash_of_id is not None and hash_of_id in gone:
            return True
        payload = messages.kept(reader.bodies, place, size)
        if payload is None:
            return False
        keys, timestamp = read_ids(payload, account)
        t = event_time(at, timestamp).t
        return _is_of(keys, t, known) or any(value in payload for value in quoted)

    discards, conflicts = refused_rows.discards(reader.connection), refused_rows.conflicts(reader.connection)
    for row, source, at, code, place, size, hash_of_id in _loaded(reader, discards):
        if is_theirs(place, size, at, hash_of_id):
            found.discards.append((row, source, place, size))
            found.codes[row] = code
    for row, source, at, place, size in _loaded(reader, conflicts):
        if is_theirs(place, size, at, None):
            found.repeats.append((row, source, place, size))
    for at, place, size in refused_rows.let_go(reader.connection):
        if is_theirs(place, size, at, None):
            found.let_go.append((place, size))
    return found


def _loaded(reader: Reader, rows: Sequence[Any]) -> Iterator[Any]:
    """Go through rows, with the bodies of some of them loaded at a time."""
    for start in range(0, len(rows), _AT_ONCE):
        chunk = rows[start : start + _AT_ONCE]
        reader.bodies.ahead(Place(row.place, 0) for row in chunk)
        yield from chunk


def _covered(secret: bytes, stones: Iterable[Tombstone]) -> Tombstones:
    covered: dict[Hashed, list[tuple[int, int]]] = {}
    for stone in stones:
        covered.setdefault(stone.hashed, []).append((stone.from_t, stone.to_t))
    return Tombstones(secret, covered, {})


def _is_of(keys: list[Key], t: int, stones: Tombstones) -> bool:
    return any(stones.covers(*key, t) for key in keys)
