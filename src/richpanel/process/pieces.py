"""Pieces of large histories: folded beside the profile, so that a refold joins them instead of reading bodies again.

Moving messages from one profile to another, or taking some away, folds the profile afresh (`process.refold`). Of a
history of 200,000 messages that took seven seconds, and everybody waited (docs/decisions/0013).
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection

from richpanel.process.folding import Folding, fold_one
from richpanel.process.growing import Growing, Growths
from richpanel.process.incoming import Incoming
from richpanel.process.memory import Memory
from richpanel.process.orders import of_message
from richpanel.store import history, piece_rows
from richpanel.store.history import Span
from richpanel.store.message_rows import StoredMessage
from richpanel.store.piece_rows import OrderEvent, Outline, Piece

LARGE: Final = 8_192
"""From so many events on, a profile's further messages go into pieces; the first ones do when they are read again."""
PIECE: Final = 1_024
"""Messages of a piece: to read so many again takes 15 ms, to join a piece half of one."""
_MAX_GROWING: Final = 128
"""Pieces that are not stored yet, 150 KB of memory each at the most."""

StoredRow = tuple[int, int, int]
"""(t, number, type) of a stored message."""


def grow(folding: Folding, groups: Mapping[int, Sequence[Incoming]], order_ids: Mapping[int, str]) -> None:
    """Put a batch's messages, by owner, into the pieces of those whose histories are large.

    `order_ids` names the orders that messages are events of, by number.
    """
    memory = folding.memory
    for owner, group in groups.items():
        opened = folding.open.get(owner)
        if opened is None or opened.profile.events < LARGE:
            continue
        for message in group:
            growths = memory.growing.get(message.identity)
            if growths is None:
                growths = memory.growing[message.identity] = Growths(folding.account.session_gap)
            growing = growths.of(message.t)
            _fold(growing, message, order_ids.get(message.n))
            if len(growing.numbers) >= PIECE:
                _store_grown(folding.connection, memory, message.identity, growing)
                growths.begin_anew(growing)
    if sum(len(growths.all()) for growths in memory.growing.values()) > _MAX_GROWING:
        _make_room(folding.connection, memory)


def _make_room(connection: Connection, memory: Memory) -> None:
    """Store what is worth it, and begin anew."""
    for identity, growths in memory.growing.items():
        for growing in growths.all():
            if len(growing.numbers) >= PIECE // 8:
                _store_grown(connection, memory, identity, growing)
    memory.growing.clear()


def _fold(growing: Growing, message: Incoming, order_id: str | None) -> None:
    fold_one(growing, message)
    growing.hold(message.n, message.stamp, order_id)


def _store_grown(connection: Connection, memory: Memory, identity: int, growing: Growing) -> None:
    """Store a piece, unless another writer has taken away a message of it, or has put one into a piece, meanwhile."""
    if not memory.shared or _is_still_whole(connection, identity, growing):
        _store(connection, identity, growing)


def _is_still_whole(connection: Connection, identity: int, growing: Growing) -> bool:
    span = Span(identity, growing.low, growing.high + 1)
    stored = piece_rows.outlines(connection, *span)
    free = all(outline.numbers.isdisjoint(growing.numbers) for outline in stored)
    return free and history.holds_all(connection, span, growing.numbers)


def _store(connection: Connection, identity: int, growing: Growing) -> Piece:
    piece = growing.made()
    piece_rows.add(connection, identity, (growing.low, growing.high), growing.numbers, piece)
    return piece


def give_up(connection: Connection, memory: Memory, rows: Iterable[StoredMessage]) -> None:
    """Give up the pieces that hold these messages, since they are taken away."""
    held = [(row.identity, row.n) for row in rows]
    piece_rows.remove_with(connection, held)
    for identity, _ in held:
        memory.growing.pop(identity, None)


class Whole(NamedTuple):
    """How the messages of a span are had: pieces to join, and messages to read, in their order."""

    identity: int
    pieces: list[Outline]
    read: list[StoredRow]


def within(connection: Connection, span: Span, *, apart: Container[int]) -> Whole:
    """Find how to have a span's messages, but those with numbers `apart`.

    A piece that holds others, too, is given up: what it held is read, and makes new pieces on either side. So is one
    that does not agree with the history: it is never believed against it.
    """
    rows = [row for row in history.numbers(connection, span) if row[1] not in apart]
    found = piece_rows.outlines(connection, span.identity, span.from_t, span.to_t)
    whole: list[Outline] = []
    if found:
        left = {row[1] for row in rows}
        useless = []
        for piece in found:
            if piece.numbers <= left:
                left -= piece.numbers
                whole.append(piece)
            else:
                useless.append(piece.id)
        piece_rows.remove(connection, useless)
        rows = [row for row in rows if row[1] in left]
    return Whole(span.identity, whole, sorted(rows))


def join(folding: Folding, profile: int, whole: Whole) -> Iterable[OrderEvent]:
    """Give a profile what the pieces hold, and give their events of orders."""
    for outline in whole.pieces:
        piece = piece_rows.load(folding.connection, outline.id)
        folding.add(profile, piece.state)
        yield from piece.orders


def read(folding: Folding, profile: int, identity: int, messages: list[Incoming]) -> Iterable[OrderEvent]:
    """Give a profile messages that were read again, and give their events of orders; many make a new piece."""
    events = [(event[0], message.stamp) for message in messages if (event := of_message(message)) is not None]
    if len(messages) < PIECE // 2:
        folding.fold(profile, messages, trace=False)
        return events
    folding.memory.growing.pop(identity, None)  # It may hold some of them, and no message may be in two pieces.
    order_ids = {stamp: order_id for order_id, stamp in events}
    growing = Growing(messages[0].t, folding.account.session_gap)
    for message in messages:
        _fold(growing, message, order_ids.get(message.stamp))
    folding.add(profile, _store(folding.connection, identity, growing).state)
    return events
