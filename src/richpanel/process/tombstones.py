"""Tombstones: when which id was that of somebody who was erased (`semantics.md` 10)."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from richpanel.core.identity import UID
from richpanel.core.regulation import Hashed, Interval, covers, hashed

_REMEMBERED: Final = 1 << 16
_NOTHING: Final[tuple[Any, ...]] = ()


class Tombstones:
    """What the ledger says of ids. Where nothing was ever erased it is false, and costs nothing."""

    def __init__(
        self, secret: bytes, covered: Mapping[Hashed, Sequence[Interval]], parted: Mapping[Hashed, Sequence[int]]
    ) -> None:
        self._covered = covered
        self._parted = parted

        @lru_cache(_REMEMBERED)  # Most ids are asked for again and again; hashing one takes 3 us.
        def hash_of(kind: int, value: str) -> Hashed:
            return hashed(secret, kind, value)

        self._hash_of = hash_of

    def __bool__(self) -> bool:
        return bool(self._covered)

    def covers(self, kind: int, value: str, t: int) -> bool:
        """Tell whether an id was theirs at an instant."""
        found = self._covered.get(self._hash_of(kind, value))
        return found is not None and covers(found, t)

    def parts(self, kind: int, value: str) -> Sequence[int]:
        """Give the instants at which an id starts afresh."""
        if kind == UID or not self._parted:
            return _NOTHING
        return self._parted.get(self._hash_of(kind, value), _NOTHING)

    def hash_of(self, kind: int, value: str) -> Hashed:
        """Give the keyed hash of an id."""
        return self._hash_of(kind, value)


NONE: Final = Tombstones(b"", {}, {})
