"""Identities: every uid, anonymousId and address, numbered, and the runs and address links that tell whose they are."""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection

from richpanel.core.identity import ANONYMOUS, EMAIL, NOBODY, PHONE, UID, Runs, pack, unpack
from richpanel.core.ids import hash64
from richpanel.store import schema
from richpanel.store.bulk import LISTED, delete, fetch, insert, listed, run, update

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


def runs_of(connection: Connection, numbers: Sequence[int]) -> dict[int, Runs]:
    """Give the runs of those of these identities that have any."""
    if not numbers:
        return {}
    statement = f"SELECT id, runs FROM identities WHERE runs IS NOT NULL AND id IN {LISTED}"
    return {number: unpack(runs) for number, runs in fetch(connection, statement, listed(numbers))}


def add(connection: Connection, secret: bytes, rows: Sequence[tuple[int, Key, Runs]], *, ignore: bool = False) -> None:
    """Add identities under the numbers given, with their runs, and note which uids have a run of each.

    `ignore` leaves those alone that are there, under another number.
    """
    insert(
        connection,
        schema.identities,
        [(number, hash_key(secret, key), key[0], key[1], pack(runs)) for number, key, runs in rows],
        ignore=ignore,
    )
    _own(connection, [(number, runs) for number, _, runs in rows if runs])


def by_number(connection: Connection, numbers: Iterable[int]) -> dict[int, tuple[int, str, Runs]]:
    """Give kind, value and runs of identities."""
    rows = fetch(connection, f"SELECT id, kind, value, runs FROM identities WHERE id IN {LISTED}", listed(numbers))
    return {number: (kind, value, unpack(runs)) for number, kind, value, runs in rows}


def set_runs(connection: Connection, changed: Sequence[tuple[int, Runs]]) -> None:
    """Store the runs of aliases, and which uids have a run of each."""
    packed = [(pack(runs), alias) for alias, runs in changed]
    update(connection, schema.identities, packed, columns=("runs",), keys=("id",))
    _own(connection, changed)


def _own(connection: Connection, changed: Sequence[tuple[int, Runs]]) -> None:
    owned = {(each.uid, alias) for alias, runs in changed for each in runs if each.uid != NOBODY}
    insert(connection, schema.ownership, sorted(owned), ignore=True)


def relink(connection: Connection, alias: int, runs: Runs) -> None:
    """Store the runs of an alias that lost links, and let go of the uids that have no run of it any more."""
    run(connection, "DELETE FROM ownership WHERE alias = ?", alias)
    set_runs(connection, [(alias, runs)])


def aliases(connection: Connection, uid: int) -> list[tuple[int, int, str, Runs]]:
    """Give the aliases in which a uid has a run: number, kind, value, runs."""
    rows = fetch(
        connection,
        "SELECT i.id, i.kind, i.value, i.runs FROM ownership o JOIN identities i ON i.id = o.alias WHERE o.uid = ?",
        uid,
    )
    return [(number, kind, value, unpack(runs)) for number, kind, value, runs in rows]


def aliases_of(connection: Connection, uids: Iterable[int]) -> list[tuple[int, int, Runs]]:
    """Give the aliases in which these uids have a run: uid, number, runs."""
    rows = fetch(
        connection,
        f"SELECT o.uid, i.id, i.runs FROM ownership o JOIN identities i ON i.id = o.alias WHERE o.uid IN {LISTED}",
        listed(uids),
    )
    return [(uid, number, unpack(runs)) for uid, number, runs in rows]


def by_hash(connection: Connection, hashes: Iterable[int]) -> list[tuple[int, int, str, Runs]]:
    """Give the identities that have one of these index keys: number, kind, value, runs. Two may share a key."""
    rows = fetch(connection, f"SELECT id, kind, value, runs FROM identities WHERE hash IN {LISTED}", listed(hashes))
    return [(number, kind, value, unpack(runs)) for number, kind, value, runs in rows]


def provisional(connection: Connection, secret: bytes, values: Iterable[str]) -> list[Key]:
    """Give the identities of customers that have no uid, by what stands for it: an address or an anonymousId."""
    wanted = {hash_key(secret, (kind, value)): value for kind in (ANONYMOUS, EMAIL, PHONE) for value in values}
    rows = fetch(
        connection,
        "SELECT i.hash, i.kind, i.value FROM identities i JOIN profiles p ON p.id = i.id AND p.customer = 1 "
        f"WHERE i.hash IN {LISTED} AND i.kind <> {UID}",
        listed(wanted),
    )
    return [(kind, value) for hashed, kind, value in rows if wanted.get(hashed) == value]


_NAMED_BY = (
    "SELECT h.identity FROM parts p CROSS JOIN history h ON h.part = p.part WHERE h.identity IN {}",
    "SELECT identity FROM messages WHERE outcome <> 0 AND identity IN {}",
    "SELECT alias FROM messages WHERE outcome <> 0 AND alias IS NOT NULL AND alias IN {}",
    "SELECT uid FROM ownership WHERE uid IN {}",
    "SELECT address FROM addresses WHERE uid <> 0 AND address IN {}",
    "SELECT uid FROM addresses WHERE uid IN {}",
    "SELECT uid FROM manual WHERE uid IN {}",
    "SELECT alias FROM manual WHERE alias IN {}",
    *(
        f"SELECT {column} FROM channel_activity WHERE {column} IN {{}}"
        for column in ("uid", "email", "phone", "anonymous")
    ),
)


def forget_unused(connection: Connection, numbers: Iterable[int]) -> list[tuple[int, str]]:
    """Forget those of these identities that nothing refers to any more; give kind and value of each."""
    left = dict.fromkeys(numbers)
    for statement in _NAMED_BY:
        for (number,) in fetch(
            connection, f"SELECT DISTINCT * FROM ({statement.format(LISTED)}) AS named", listed(left)
        ):
            left.pop(number, None)
    found = by_number(connection, left)
    gone = [number for number, (_, _, runs) in found.items() if all(each.uid == NOBODY for each in runs)]
    delete(connection, schema.identities, [(number,) for number in gone], keys=("id",))
    delete(connection, schema.addresses, [(number,) for number in gone], keys=("address",))
    return [(found[number][0], found[number][1]) for number in gone]
