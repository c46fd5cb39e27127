"""Who is kept out: uids, and the aliases whose latest link is to one of them, as keyed hashes (`semantics.md` 10)."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from richpanel.core.regulation import Hashed
from richpanel.store.bulk import LISTED, fetch, listed, many, run


class Kept(NamedTuple):
    """An id that is kept out: its hash and kind, the uid for whose sake, and since when it was linked to it (ms)."""

    hashed: Hashed
    kind: int
    uid: Hashed
    since: int


def load(connection: Connection) -> dict[Hashed, Kept]:
    """Give all of them."""
    return {row[0]: Kept(*row) for row in fetch(connection, "SELECT hash, kind, uid, since FROM suppressed")}


def is_kept_out(connection: Connection, hashed: Hashed) -> bool:
    """Tell whether an id is kept out."""
    return bool(fetch(connection, "SELECT 1 FROM suppressed WHERE hash = ?", hashed))


class KeptUid(NamedTuple):
    """A uid that is kept out, and how many aliases are for its sake."""

    uid: Hashed
    aliases: int


def listed_uids(connection: Connection, after: Hashed, limit: int) -> list[KeptUid]:
    """List uids that are kept out, in the order of their hashes, from behind `after`."""
    rows = fetch(
        connection,
        "SELECT uid, count(*) - 1 FROM suppressed WHERE uid > ? GROUP BY uid ORDER BY uid LIMIT ?",
        *(after, limit),
    )
    return [KeptUid(*row) for row in rows]


def add(connection: Connection, rows: Iterable[Kept]) -> None:
    """Keep ids out. An alias is kept out for the sake of the last one."""
    many(
        connection,
        "INSERT INTO suppressed (hash, kind, uid, since) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (hash) DO UPDATE SET uid = excluded.uid, since = excluded.since",
        sorted(rows),
    )


def let_in(connection: Connection, uids: Iterable[Hashed]) -> None:
    """Keep these uids out no longer, nor what was kept out for their sake."""
    run(connection, f"DELETE FROM suppressed WHERE uid IN {LISTED}", listed(uids))


def let_aliases_in(connection: Connection, aliases: Sequence[Hashed]) -> None:
    """Keep these aliases out no longer: they are somebody else's now."""
    run(connection, f"DELETE FROM suppressed WHERE hash IN {LISTED}", listed(aliases))
