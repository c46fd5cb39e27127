"""Channel activity as stored: whom each message names, so that it follows when one of them becomes known."""

from collections.abc import Iterable, Sequence

import msgspec
from sqlalchemy import Connection

from richpanel.core.identity import NOBODY, unpack
from richpanel.store import schema
from richpanel.store.bulk import LISTED, delete, fetch, insert, listed, update


class ActivityRow(msgspec.Struct):
    """A channel message: the numbers of the identities it names, and of the one in whose history it stands."""

    n: int
    uid: int | None
    email: int | None
    phone: int | None
    anonymous: int | None
    identity: int


_COLUMNS = "c.n, c.uid, c.email, c.phone, c.anonymous, c.identity"


def add(connection: Connection, rows: Sequence[ActivityRow]) -> None:
    """Add channel messages."""
    insert(connection, schema.channel_activity, [msgspec.structs.astuple(row) for row in rows])


def remove(connection: Connection, numbers: Iterable[int]) -> None:
    """Take channel messages away."""
    delete(connection, schema.channel_activity, [(number,) for number in numbers], keys=("n",))


def any_at_all(connection: Connection) -> bool:
    """Tell whether there is channel activity."""
    return bool(fetch(connection, "SELECT 1 FROM channel_activity LIMIT 1"))


def naming(connection: Connection, addresses: Iterable[int], aliases: Iterable[int]) -> list[tuple[ActivityRow, int]]:
    """Load the channel messages that name one of these, with their event time."""
    found: dict[int, tuple[ActivityRow, int]] = {}
    for column, numbers in (("email", addresses), ("phone", addresses), ("anonymous", aliases)):
        rows = fetch(
            connection,
            f"SELECT {_COLUMNS}, m.t FROM channel_activity c JOIN messages m ON m.n = c.n "
            f"WHERE c.{column} IS NOT NULL AND c.{column} IN {LISTED}",
            listed(numbers),
        )
        for *columns, t in rows:
            found[columns[0]] = (ActivityRow(*columns), t)
    return list(found.values())


def move(connection: Connection, rows: Sequence[ActivityRow]) -> None:
    """Store the identity in whose history these messages stand now."""
    changed = [(row.identity, row.n) for row in rows]
    for table in (schema.channel_activity, schema.messages):
        update(connection, table, changed, columns=("identity",), keys=("n",))


def has_segment_messages(connection: Connection, identity: int) -> bool:
    """Tell whether a Segment message was kept for an identity, so that it is known without channel activity."""
    if fetch(
        connection,
        "SELECT 1 FROM parts p CROSS JOIN history h ON h.part = p.part WHERE h.identity = ? AND h.type <> 6 LIMIT 1",
        identity,
    ):
        return True
    rows = fetch(connection, "SELECT runs FROM identities WHERE id = ?", identity)
    return any(run.uid != NOBODY for (runs,) in rows for run in unpack(runs))
