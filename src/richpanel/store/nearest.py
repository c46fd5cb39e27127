"""Which messages stand nearest to an instant in a person's history, by their rows alone, and which of them are wanted.

Without a sieve the index gives exactly as many as are asked for. With one, a bounded piece of the history is looked at,
and it is said how far: nobody waits for a million events because somebody asks for the one mail among them.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection

from richpanel.core.events import order_event
from richpanel.core.identity import MAX_UIDS
from richpanel.store import history, message_rows, names
from richpanel.store.bulk import fetch
from richpanel.store.history import FOREVER, Span

ENTRY_TYPES: Final = (1, 2, 6)  # track, page, channel
_TRACK: Final = 1
_NAMED: Final = 2_000
_TYPED: Final = 20_000
Row = tuple[int, int, int]
"""(t, number, type) of a message."""

_SIDES: Final = {
    False: ("ORDER BY part DESC", "ORDER BY t DESC"),
    True: ("ORDER BY part", "ORDER BY t"),
}


class Sieve(NamedTuple):
    """What is wanted: messages of some types; of the track calls those of orders alone; names that have `text` in them.

    Case does not count in `text`.
    """

    types: tuple[int, ...] = ENTRY_TYPES
    orders: bool = False
    text: str = ""

    @property
    def reach(self) -> int:
        """How many messages are looked at: fewer where each one's name must be looked up."""
        return _NAMED if self.orders or self.text else _TYPED


class Found(NamedTuple):
    """Numbers of messages, and the instant (ms UTC) where looking ended because it had gone on for long enough."""

    numbers: list[int]
    reached: int | None = None


def nearest(connection: Connection, profile: int, at: int, limit: int, *, newer: bool = False) -> Found:
    """Find the entries of a timeline at `at` (ms UTC) and next to it: more than `limit`, and whole instants.

    Next to it are older ones, or `newer` ones. Entries of one instant are ordered by what stands in their bodies, so an
    instant is taken whole or not at all.
    """
    return Found([number for _, number, _ in _window(connection, profile, at, limit, newer=newer)])


def sifted(connection: Connection, profile: int, at: int, limit: int, sieve: Sieve, *, newer: bool = False) -> Found:
    """Find what passes a sieve as `nearest` does, among the messages that are within its reach."""
    looked_at = sorted({*ENTRY_TYPES, *sieve.types})  # Types that are not wanted count, too: they are looked at.
    window = _window(connection, profile, at, sieve.reach, newer=newer, types=looked_at)
    passed = _pass(connection, window, sieve)
    beyond = [row for row in passed if row[0] != at]  # Some of the instant itself the reader may have seen.
    if len(beyond) > limit:
        last = beyond[limit][0]
        return Found([number for t, number, _ in passed if (t <= last if newer else t >= last)])
    reached = window[-1][0] if len(window) > sieve.reach else None
    return Found([number for _, number, _ in passed], reached)


def _pass(connection: Connection, rows: Sequence[Row], sieve: Sieve) -> list[Row]:
    typed = [row for row in rows if row[2] in sieve.types]
    if not (sieve.orders or sieve.text):
        return typed
    numbers = {row.n: row.event for row in message_rows.load(connection, (n for _, n, _ in typed)).values()}
    called = names.by_number(connection, {number for number in numbers.values() if number is not None})
    text = sieve.text.casefold()

    def passes(row: Row) -> bool:
        name = called.get(numbers.get(row[1]) or 0, "")
        return text in name.casefold() and (not sieve.orders or row[2] != _TRACK or order_event(name) is not None)

    return [row for row in typed if passes(row)]


def _window(
    connection: Connection,
    profile: int,
    at: int,
    limit: int,
    *,
    newer: bool,
    types: Sequence[int] = ENTRY_TYPES,
) -> list[Row]:
    """Give more than `limit` rows from an instant on, in order, the last instant whole."""
    spans = history.of_profile(connection, profile, MAX_UIDS)
    here = _at(connection, spans, at, types) if at < FOREVER else []
    beyond = _beyond(connection, spans, (at, limit + 1, newer), types)
    if len(beyond) > limit:
        last = beyond[-1][0]
        before = [row for row in beyond if (row[0] < last if newer else row[0] > last)]
        beyond = before + _at(connection, spans, last, types)
    return here + beyond


def _beyond(
    connection: Connection, spans: Sequence[Span], where: tuple[int, int, bool], types: Sequence[int]
) -> list[Row]:
    """Give so many rows that are next to an instant, without that itself: `where` is it, how many, and the side."""
    at, most, newer = where
    parts_order, order = _SIDES[newer]
    kinds = ", ".join(map(str, types))
    found: list[Row] = []
    # Asked here and not by `store.parts`, which loads numpy for its filters: 11 MB that pages do not need.
    for part, first_t, last_t in fetch(connection, f"SELECT part, first_t, last_t FROM parts {parts_order}"):
        ends = (at, last_t, first_t) if newer else (first_t, at, last_t)
        if ends[0] >= ends[1]:
            continue
        if len(found) >= most and (ends[2] > found[-1][0] if newer else ends[2] < found[-1][0]):
            continue
        for span in spans:
            rows = fetch(
                connection,
                "SELECT t, n, type FROM history WHERE part = ? AND identity = ? AND t >= ? AND t < ? "
                f"AND type IN ({kinds}) {order} LIMIT ?",
                part,
                span.identity,
                max(span.from_t, at + 1) if newer else span.from_t,
                span.to_t if newer else min(span.to_t, at),
                most,
            )
            found += [(t, number, kind) for t, number, kind in rows]  # A driver's own rows are slow to compare.
        found.sort(reverse=not newer)
        del found[most:]
    return found


def _at(connection: Connection, spans: Iterable[Span], t: int, types: Sequence[int]) -> list[Row]:
    """Find all messages of one instant."""
    rows: list[Row] = []
    for span in spans:
        if span.from_t <= t < span.to_t:
            found = history.numbers(connection, Span(span.identity, t, t + 1))
            rows += [(t, number, kind) for _, number, kind in found if kind in types]
    return rows
