"""Regulations: what the account has to forget, or not to take in any more (`semantics.md` 10).

A regulation is a record in the log and holds by its place there. It names nobody: ids stand in it as keyed hashes, so
that nothing has to be erased from it, and it can be kept for ever beside what it says was erased.
"""

import hmac
from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from richpanel.core.identity import KINDS
from richpanel.core.ids import hash64

DOOR: Final = "regulation"
MAX_IDS: Final = 5_000
"""Ids in one regulation (`facts/segment.md` 6)."""
RegulationType = Literal["DELETE", "SUPPRESS", "UNSUPPRESS", "SUPPRESS_WITH_DELETE"]
Hashed = str
"""An id that can be recognised and not read, in hexadecimal: 64 bits by which it is looked up, 128 that prove it."""
_INDEX: Final = 16

Interval = tuple[int, int]
"""Event times `from <= t < to`, ms UTC."""


class Named(msgspec.Struct, frozen=True, omit_defaults=True):
    """One id that a regulation names: its kind (`core.identity`) and hash."""

    kind: int
    hashed: Hashed


class Regulation(msgspec.Struct, omit_defaults=True):
    """A regulation as the log keeps it; `by` says who asked for it."""

    id: str
    type: RegulationType
    ids: list[Named]
    by: str | None = None

    @property
    def deletes(self) -> bool:
        """Whether it erases."""
        return self.type in ("DELETE", "SUPPRESS_WITH_DELETE")

    @property
    def suppresses(self) -> bool:
        """Whether it keeps people out."""
        return self.type in ("SUPPRESS", "SUPPRESS_WITH_DELETE")


encode_regulation = msgspec.json.Encoder().encode
decode_regulation = msgspec.json.Decoder(Regulation).decode


def hashed(secret: bytes, kind: int, value: str) -> Hashed:
    """Give the keyed hash of an id: HMAC-SHA256, cut to 128 bits, behind the key of the state's index."""
    index = hash64(secret, str(kind), value) & (1 << 64) - 1
    proof = hmac.digest(secret, f"{KINDS[kind]}:{value}".encode("utf-8", "surrogatepass"), "sha256")
    return f"{index:016x}{proof[:16].hex()}"


def index_of(of: Hashed) -> int:
    """Give the key by which the state finds an id (`store.identities.hash_key`)."""
    found = int(of[:_INDEX], 16)
    return found - (1 << 64) if found >> 63 else found


def covers(intervals: Iterable[Interval], t: int) -> bool:
    """Tell whether an instant lies in one of them."""
    return any(start <= t < end for start, end in intervals)


class Receipt(msgspec.Struct, frozen=True, rename="camel"):
    """What was erased: how much of each table, and a keyed hash of what it was; nothing of it can be read from here.

    `previous` is the hash of the receipt before, so that none can be changed, dropped or slipped in unnoticed.
    """

    regulation: str
    type: RegulationType
    finished_at: int
    tables: dict[str, "Erased"]
    tombstones: "Erased"
    previous: str
    hash: str = ""
    wal: "Wal | msgspec.UnsetType" = msgspec.UNSET
    """On PostgreSQL: what of its write-ahead log still has what was erased."""


class Wal(msgspec.Struct, frozen=True):
    """A position in PostgreSQL's write-ahead log, and when it was there (ms UTC).

    What was erased stands in segments up to there until they are written over or removed, and in base backups and
    archived segments from before then for as long as those are kept.
    """

    lsn: str
    at: int


class Erased(msgspec.Struct, frozen=True):
    """How many rows, and the HMAC-SHA256 of what they were."""

    count: int
    hash: str


_canonical = msgspec.json.Encoder(order="sorted").encode


def seal(secret: bytes, receipt: Receipt) -> Receipt:
    """Give a receipt its hash: HMAC-SHA256 of all else in it."""
    plain = msgspec.structs.replace(receipt, hash="")
    return msgspec.structs.replace(plain, hash=hmac.digest(secret, _canonical(plain), "sha256").hex())


def digest_of(secret: bytes, keys: Iterable[str]) -> Erased:
    """Count what was erased, and hash its keys in an order that does not depend on how they were found."""
    listed = sorted(keys)
    return Erased(len(listed), hmac.digest(secret, "\n".join(listed).encode("utf-8", "surrogatepass"), "sha256").hex())


def broken(secret: bytes, chain: Iterable[Receipt]) -> str | None:
    """Tell which receipt of a chain, oldest first, is not what was written or does not follow the one before."""
    previous = ""
    for receipt in chain:
        if receipt.previous != previous:
            return f"the receipt of {receipt.regulation} does not follow the one before it"
        if not hmac.compare_digest(seal(secret, receipt).hash, receipt.hash):
            return f"the receipt of {receipt.regulation} is not what was written"
        previous = receipt.hash
    return None
