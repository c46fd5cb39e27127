"""Identities: every uid, anonymousId and address, numbered, and the runs and address links that tell whose they are."""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection

from richpanel.core.identity import Runs, pack, unpack
from richpanel.core.ids import hash64
from richpanel.store import schema
from richpanel.store.bulk import LISTED, fetch, insert, listed, many

Key = tuple[int, str]
"""Kind (`core.identity.UID` ...) and value of an identity."""


def hash_key(secret: bytes, key: Key) -> int:
    """Give the index key of an identity."""
    return hash64(secret, str(key[0]), key[1])


def find(
    connection: Connection, secret: bytes, kind: int, values: Iterable[str]
) -> dict[str, tuple[int, bytes | None]]:
    """Find identities of one kind: value -> (number, packed runs). Unknown ones are left out."""
    wanted = {hash_key(secret, (kind, value)) for value in values}
    if not wanted:
        return {}
    rows = fetch(connection, f"SELECT id, kind, value, runs FROM identities WHERE hash IN {LISTED}", listed(wanted))
    return {value: (number, runs) for number, stored, value, runs in rows if stored == kind}


def last_number(connection: Connection) -> int:
    """Give the number of the newest identity."""
    return int(fetch(connection, "SELECT coalesce(max(id), 0) FROM identities")[0][0])


def add(connection: Connection, secret: bytes, rows: Sequence[tuple[int, Key]]) -> None:
    """Add identities under the numbers given."""
    insert(
        connection,
        schema.identities,
        [(number, hash_key(secret, key), key[0], key[1], None) for number, key in rows],
    )


def by_number(connection: Connection, numbers: Iterable[int]) -> dict[int, tuple[int, str, Runs]]:
    """Give kind, value and runs of identities."""
    rows = fetch(connection, f"SELECT id, kind, value, runs FROM identities WHERE id IN {LISTED}", listed(numbers))
    return {number: (kind, value, unpack(runs)) for number, kind, value, runs in rows}


def set_runs(connection: Connection, changed: Sequence[tuple[int, Runs]]) -> None:
    """Store the runs of aliases, and which uids have a run of each."""
    many(connection, "UPDATE identities SET runs = ? WHERE id = ?", [(pack(runs), alias) for alias, runs in changed])
    owned = {(run.uid, alias) for alias, runs in changed for run in runs}
    many(connection, "INSERT OR IGNORE INTO ownership (uid, alias) VALUES (?, ?)", sorted(owned))


def relink(connection: Connection, alias: int, runs: Runs) -> None:
    """Store the runs of an alias that lost links, and let go of the uids that have no run of it any more."""
    many(connection, "DELETE FROM ownership WHERE alias = ?", [(alias,)])
    set_runs(connection, [(alias, runs)])


def aliases(connection: Connection, uid: int) -> list[tuple[int, int, str, Runs]]:
    """Give the aliases in which a uid has a run: number, kind, value, runs."""
    rows = fetch(
        connection,
        "SELECT i.id, i.kind, i.value, i.runs FROM ownership o JOIN identities i ON i.id = o.alias WHERE o.uid = ?",
        uid,
    )
    return [(number, kind, value, unpack(runs)) for number, kind, value, runs in rows]
