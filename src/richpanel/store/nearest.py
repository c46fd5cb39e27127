"""Which messages stand nearest to an instant in a person's history, by their rows alone, and which of them are wanted.

Without a sieve the index gives exactly as many as are asked for. With one, a bounded piece of the history is looked at,
and it is said how far: nobody waits for a million events because somebody asks for the one mail among them.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection

from richpanel.core.events import order_event
from richpanel.core.identity import MAX_UIDS
from richpanel.store import history, message_rows, names
from richpanel.store.bulk import LISTED, fetch, listed
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
_AT_ONCE: Final = 100
_READ_AT_ONCE: Final = 5_000
"""So many stretches are read by one statement, as long as that cannot give more rows than this."""


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
    beyond = _beyond(connection, spans, (at, limit + 2, newer), types)
    if len(beyond) > limit + 1:
        last = beyond[limit][0]
        if beyond[limit + 1][0] == last:  # The instant goes on, who knows how far.
            beyond = [row for row in beyond if row[0] != last] + _at(connection, spans, last, types)
        else:
            del beyond[limit + 1 :]
    return here + beyond


def _beyond(
    connection: Connection, spans: Sequence[Span], where: tuple[int, int, bool], types: Sequence[int]
) -> list[Row]:
    """Give so many rows that are next to an instant, without that itself: `where` is it, how many, and the side.

    The nearest part is asked first: of somebody busy it has enough. Of all others the rest is asked at once.
    """
    _, most, newer = where
    left = list(_stretches(connection, spans, where))
    size = min(len(spans), _AT_ONCE)
    found: list[Row] = []
    while left:
        found += _read(connection, left[:size], most, (newer, types))
        found.sort(reverse=not newer)
        del found[most:], left[:size]
        if len(found) == most:
            last = found[-1][0]
            left = [each for each in left if (each.from_t <= last if newer else each.to_t > last)]
        size = max(1, min(_AT_ONCE, _READ_AT_ONCE // most))
    return found


class _Stretch(NamedTuple):
    """What a part may have of a span."""

    part: int
    identity: int
    from_t: int
    to_t: int


def _stretches(connection: Connection, spans: Sequence[Span], where: tuple[int, int, bool]) -> Iterator[_Stretch]:
    """Give where there may be rows beyond an instant, the nearest part first."""
    at, _, newer = where
    low, high = (at + 1, FOREVER) if newer else (0, at)
    # Asked here and not by `store.parts`, which loads numpy for its filters: 11 MB that pages do not need.
    for part, first_t, last_t in fetch(connection, f"SELECT part, first_t, last_t FROM parts {_SIDES[newer][0]}"):
        for span in spans:
            from_t, to_t = max(span.from_t, first_t, low), min(span.to_t, last_t + 1, high)
            if from_t < to_t:
                yield _Stretch(part, span.identity, from_t, to_t)


def _read(
    connection: Connection, stretches: Sequence[_Stretch], most: int, how: tuple[bool, Sequence[int]]
) -> list[Row]:
    """Read the nearest rows of each of these stretches, so many at the most: `how` tells the side, and the types."""
    newer, types = how
    one = (
        "SELECT * FROM (SELECT t, n, type FROM history WHERE part = ? AND identity = ? AND t >= ? AND t < ? "
        f"AND type IN ({', '.join(map(str, types))}) {_SIDES[newer][1]} LIMIT ?) AS stretch"
    )
    given = [value for each in stretches for value in (*each, most)]
    rows = fetch(connection, " UNION ALL ".join([one] * len(stretches)), *given)
    return [(t, number, kind) for t, number, kind in rows]  # A driver's own rows are slow to compare.


def _at(connection: Connection, spans: Iterable[Span], t: int, types: Sequence[int]) -> list[Row]:
    """Find all messages of one instant."""
    there = [span.identity for span in spans if span.from_t <= t < span.to_t]
    rows = fetch(
        connection,
        "SELECT h.t, h.n, h.type FROM parts p CROSS JOIN history h ON h.part = p.part "
        f"WHERE h.identity IN {LISTED} AND h.t = ?",
        *(listed(there), t),
    )
    return [(at, number, kind) for at, number, kind in rows if kind in types]
