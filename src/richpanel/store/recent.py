"""What came last of a source, messages and discards alike, as it came: where the live debugger begins."""

from heapq import merge
from itertools import islice
from operator import attrgetter
from typing import Final, NamedTuple

from sqlalchemy import Connection

from richpanel.core.message import TYPES
from richpanel.store import message_rows
from richpanel.store.bodies import Bodies, Place
from richpanel.store.bulk import fetch

_LOOKED_AT: Final = 100_000
"""Among so many of the newest messages those of a source are looked for: there is no index for it."""


class Came(NamedTuple):
    """A message or a discard: its place in the log, when it arrived (ms UTC), and its bytes.

    `given_id` is the id that the door gave a message, `kind` the type that its path named; a discard has a `code`.
    """

    place: int
    at: int
    body: bytes
    given_id: str | None = None
    kind: str | None = None
    code: str | None = None


def came_last(connection: Connection, bodies: Bodies, source: int, limit: int) -> list[Came]:
    """List what came last of a source (its number), newest first. What is no longer kept is left out."""
    both = merge(
        _messages(connection, bodies, source, limit),
        _discards(connection, bodies, source, limit),
        key=attrgetter("place"),
        reverse=True,
    )
    return list(islice(both, limit))


def _messages(connection: Connection, bodies: Bodies, source: int, limit: int) -> list[Came]:
    statement = (
        "SELECT n, place, size, lead, item, type, received FROM messages "
        "WHERE source = ? AND n > coalesce((SELECT max(n) FROM messages), 0) - ? ORDER BY n DESC LIMIT ?"
    )
    rows = fetch(connection, statement, source, _LOOKED_AT, limit)
    bodies.ahead([Place(row.place, row.lead) for row in rows])
    found = []
    for row in rows:
        body = message_rows.kept(bodies, row.place, row.size)
        if body is not None:
            meta = message_rows.meta(bodies, row.place, row.lead)
            kind = TYPES[row.type] if row.type < len(TYPES) else meta.channel and "channel"
            found.append(Came(row.place, row.received, body, meta.ids.get(row.item), kind))
    return sorted(found, reverse=True)


def _discards(connection: Connection, bodies: Bodies, source: int, limit: int) -> list[Came]:
    statement = "SELECT at, code, place, size, lead FROM discards WHERE source = ? ORDER BY id DESC LIMIT ?"
    rows = fetch(connection, statement, source, limit)
    bodies.ahead([Place(row.place, row.lead) for row in rows])
    kept = [(row, message_rows.kept(bodies, row.place, row.size)) for row in rows]
    found = [Came(row.place, row.at, body, code=row.code) for row, body in kept if body is not None]
    return sorted(found, reverse=True)
