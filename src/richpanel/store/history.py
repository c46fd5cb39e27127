"""Histories: the kept messages of each identity by event time; a profile's is the union of its identities' spans."""

from collections.abc import Collection, Iterable, Sequence
from functools import partial
from typing import NamedTuple

from sqlalchemy import Connection

from richpanel.core.identity import UID, spans, unpack, visitor_spans
from richpanel.store import identities, schema
from richpanel.store.bulk import LISTED, delete, fetch, insert, listed
from richpanel.store.schema import part_of


class Span(NamedTuple):
    """The messages of one identity with `from_t <= t < to_t`."""

    identity: int
    from_t: int
    to_t: int


FOREVER = 1 << 62
Event = tuple[int, int, int, int, int | None]
"""(identity, t, number, type, number of its name) of a message."""
_THEIRS = (
    "SELECT id, kind, runs FROM identities WHERE id = ?1 UNION ALL "
    "SELECT i.id, i.kind, i.runs FROM ownership o JOIN identities i ON i.id = o.alias WHERE o.uid = ?1"
)
"""The identity of a profile, and the aliases in which a uid has a run."""


def add(connection: Connection, rows: Iterable[tuple[int, int, int, int]]) -> None:
    """Add kept messages: (identity, t, number, type)."""
    part = partial(part_of, connection)
    placed = sorted((part(number), identity, t, number, kind) for identity, t, number, kind in rows)
    insert(connection, schema.history, placed)


def remove(connection: Connection, rows: Sequence[tuple[int, int, int]]) -> None:
    """Take messages out of a history: (identity, t, number)."""
    placed = [(part_of(connection, number), identity, t, number) for identity, t, number in rows]
    delete(connection, schema.history, placed, keys=("part", "identity", "t", "n"))


def of_profile(connection: Connection, profile: int, max_uids: int) -> list[Span]:
    """Give the spans that make up a profile's history (`semantics.md` 3)."""
    found = []
    for number, kind, packed in fetch(connection, _THEIRS, profile):
        runs = unpack(packed)
        if number != profile:
            found += [Span(number, start, end) for start, end in spans(runs, profile, max_uids)]
        elif kind == UID:
            found.append(Span(profile, 0, FOREVER))
        else:
            found += [Span(profile, start, end) for start, end in visitor_spans(runs, max_uids)]
    return found


def of_profiles(connection: Connection, profiles: Collection[int], max_uids: int) -> dict[int, list[Span]]:
    """Give the spans that make up the histories of many profiles."""
    found: dict[int, list[Span]] = {}
    uids = []
    for number, (kind, _, runs) in identities.by_number(connection, profiles).items():
        if kind == UID:
            found[number] = [Span(number, 0, FOREVER)]
            uids.append(number)
        else:
            found[number] = [Span(number, start, end) for start, end in visitor_spans(runs, max_uids)]
    for uid, alias, runs in identities.aliases_of(connection, uids):
        found[uid] += [Span(alias, start, end) for start, end in spans(runs, uid, max_uids)]
    return found


def events(connection: Connection, numbers: Iterable[int], kinds: Iterable[int]) -> Sequence[Event]:
    """Give the messages of these types of identities."""
    return fetch(
        connection,
        "SELECT h.identity, h.t, h.n, h.type, m.event FROM parts p CROSS JOIN history h ON h.part = p.part "
        f"JOIN messages m ON m.n = h.n WHERE h.identity IN {LISTED} AND h.type IN {LISTED}",
        *(listed(numbers), listed(kinds)),
    )


def any_call_links(connection: Connection, alias: int) -> bool:
    """Tell whether a kept call links an alias to one of the uids that people linked it to or cut it from by hand."""
    rows = fetch(
        connection,
        "SELECT 1 FROM parts p CROSS JOIN history h ON h.part = p.part JOIN messages m ON m.n = h.n "
        "WHERE h.identity IN (SELECT uid FROM manual WHERE alias = ?1) AND m.alias = ?1 LIMIT 1",
        alias,
    )
    return bool(rows)


def linking(connection: Connection, uids: Iterable[int], alias: int) -> list[tuple[int, int]]:
    """Give the kept calls that link an alias to one of these uids: (uid, number)."""
    rows = fetch(
        connection,
        "SELECT h.identity, h.n FROM parts p CROSS JOIN history h ON h.part = p.part JOIN messages m ON m.n = h.n "
        f"WHERE h.identity IN {LISTED} AND m.alias = ?",
        *(listed(uids), alias),
    )
    return [tuple(row) for row in rows]


def any_between(connection: Connection, identity: int, from_t: int, to_t: int) -> bool:
    """Tell whether an identity has kept messages with `from_t <= t < to_t`."""
    rows = fetch(
        connection,
        "SELECT 1 FROM parts p CROSS JOIN history h ON h.part = p.part "
        "WHERE h.identity = ? AND h.t >= ? AND h.t < ? LIMIT 1",
        *(identity, from_t, to_t),
    )
    return bool(rows)


def holds_all(connection: Connection, span: Span, messages: Collection[int]) -> bool:
    """Tell whether these messages, by number, are all among a span's."""
    rows = fetch(
        connection,
        "SELECT count(*) FROM parts p CROSS JOIN history h ON h.part = p.part "
        f"WHERE h.identity = ? AND h.t >= ? AND h.t < ? AND h.n IN {LISTED}",
        *span,
        listed(messages),
    )
    return bool(rows[0][0] == len(messages))


def numbers(connection: Connection, span: Span) -> Sequence[tuple[int, int, int]]:
    """Give (t, number, type) of a span's messages, in no order."""
    return fetch(
        connection,
        "SELECT h.t, h.n, h.type FROM parts p CROSS JOIN history h ON h.part = p.part "
        "WHERE h.identity = ? AND h.t >= ? AND h.t < ?",
        *span,
    )
