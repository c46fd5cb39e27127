"""A digest of rows that does not depend on their order, so that each database can read them as it does best."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any, Final

import msgspec

_BYTES: Final = 16
_MODULUS: Final = 1 << (8 * _BYTES)
_encode: Final = msgspec.msgpack.Encoder().encode


class RowDigest:
    """Counts rows, and adds up a hash of each: whoever has seen the same rows, each as often, has the same digest."""

    def __init__(self) -> None:
        """No rows yet."""
        self.rows = 0
        self._sum = 0

    def add(self, rows: Iterable[Sequence[Any]]) -> None:
        """Add rows of integers, texts, bytes, booleans and None."""
        count, total = 0, 0
        for row in rows:
            count += 1
            total += int.from_bytes(blake2b(_encode(tuple(row)), digest_size=_BYTES).digest())
        self.rows += count
        self._sum = (self._sum + total) % _MODULUS

    def __str__(self) -> str:
        """Write it as text."""
        return f"{self.rows}:{self._sum:0{2 * _BYTES}x}"

    def __eq__(self, other: object) -> bool:
        """Tell whether both have seen the same rows."""
        return isinstance(other, RowDigest) and (self.rows, self._sum) == (other.rows, other._sum)

    __hash__ = None  # type: ignore[assignment]  # It changes.
