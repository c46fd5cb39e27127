"""Pieces as stored: what some messages of a large history make together, so that they need not be read again.

A profile is a union (docs/decisions/0001), and so is a piece: joined with others it gives what its messages would give.
It says which messages it holds, and counts only while the history has every one of them.
"""

from collections.abc import Iterable
from itertools import accumulate, pairwise
from typing import NamedTuple

import msgspec
from lz4.block import compress, decompress
from sqlalchemy import Connection

from richpanel.core.profile import Profile, pack, unpack
from richpanel.core.stamps import Stamp
from richpanel.store import schema
from richpanel.store.bulk import delete, fetch, insert, many

OrderEvent = tuple[str, Stamp]
"""The order's id, as the event names it, and the event's stamp."""

_encode = msgspec.msgpack.Encoder().encode
_decode_numbers = msgspec.msgpack.Decoder(list[int]).decode
_decode_orders = msgspec.msgpack.Decoder(list[OrderEvent]).decode


class Outline(NamedTuple):
    """Which messages a piece holds, and the least and the greatest event time among them."""

    id: int
    low: int
    high: int
    numbers: set[int]


class Piece(NamedTuple):
    """What a piece's messages make: a profile with every session, and their events of orders."""

    state: Profile
    orders: list[OrderEvent]


def outlines(connection: Connection, identity: int, from_t: int, to_t: int) -> list[Outline]:
    """Outline the pieces of an identity that hold a message with `from_t <= t < to_t`, or may."""
    rows = fetch(
        connection,
        "SELECT id, low, high, numbers FROM pieces WHERE identity = ? AND high >= ? AND low < ? ORDER BY low, id",
        identity,
        from_t,
        to_t,
    )
    return [Outline(number, low, high, set(_unpack_numbers(packed))) for number, low, high, packed in rows]


def load(connection: Connection, number: int) -> Piece:
    """Load a piece that is there."""
    ((orders, state),) = fetch(connection, "SELECT orders, state FROM pieces WHERE id = ?", number)
    return Piece(unpack(state), _decode_orders(decompress(orders)))


def add(connection: Connection, identity: int, span: tuple[int, int], numbers: Iterable[int], piece: Piece) -> None:
    """Keep a piece; `span` is the least and the greatest event time among its messages."""
    held = sorted(numbers)
    steps = [held[0], *(later - earlier for earlier, later in pairwise(held))]
    packed = (compress(_encode(steps)), compress(_encode(piece.orders)), pack(piece.state))
    columns = ("identity", "first", "last", "low", "high", "numbers", "orders", "state")
    insert(connection, schema.pieces, [(identity, held[0], held[-1], *span, *packed)], columns=columns)


def _unpack_numbers(packed: bytes) -> Iterable[int]:
    return accumulate(_decode_numbers(decompress(packed)))


def remove(connection: Connection, numbers: Iterable[int]) -> None:
    """Give up pieces: what they held is read again where it is needed."""
    delete(connection, schema.pieces, [(number,) for number in numbers], keys=("id",))


def remove_with(connection: Connection, rows: Iterable[tuple[int, int]]) -> None:
    """Give up the pieces that hold, or may hold, one of these messages: (identity, number)."""
    many(connection, "DELETE FROM pieces WHERE identity = ?1 AND last >= ?2 AND first <= ?2", list(rows))


def remove_wherever(connection: Connection, numbers: Iterable[int]) -> None:
    """Give up the pieces that hold one of these messages, of whichever identity."""
    for number in numbers:
        rows = fetch(connection, "SELECT id, numbers FROM pieces WHERE first <= ?1 AND last >= ?1", number)
        remove(connection, [piece for piece, packed in rows if number in set(_unpack_numbers(packed))])
