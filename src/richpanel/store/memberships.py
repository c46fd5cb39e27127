"""Memberships as stored: what a plan keeps of somebody, the value it has, and what the world was told (decision 0025).

Whoever has no row is out, and nobody was told anything else: a row is there where something is kept, or where the value
is another than that of somebody of whom nothing is known, or where the world was told another one.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Final, NamedTuple

from sqlalchemy import Connection

from richpanel.core.announcing import Told
from richpanel.core.money import decode_exact, encode_exact
from richpanel.store import schema
from richpanel.store.bulk import LISTED, delete, fetch, insert, listed, run, update

TO_TELL: Final = 0
KNOWN: Final = 1
NOBODY: Final = 2
"""Whether the world knows a value; `NOBODY`: there is no uid under which it could be told, or that is kept out."""
ALL: Final = 1 << 62
"""A first run that is over has reached everybody."""

_NEXT_TOLD: Final = "SELECT min(computation) FROM told WHERE computation > ?"

Key = tuple[int, int]
"""Plan and profile; or computation and uid, by number."""


_KEY: Final = itemgetter(2, 3)


class Row(NamedTuple):
    """A membership: its state, packed; its value as JSON; from when on it has that, and until when, ms UTC."""

    state: bytes
    value: str
    since: int
    until: int | None
    told: int


def load(connection: Connection, plan: int, profiles: Collection[int]) -> dict[int, Row]:
    """Give the rows of these profiles."""
    if not profiles:
        return {}
    rows = fetch(
        connection,
        f"SELECT profile, state, value, since, until, told FROM memberships WHERE plan = ? AND profile IN {LISTED}",
        *(plan, listed(profiles)),
    )
    return {row[0]: Row(*row[1:]) for row in rows}


def load_between(connection: Connection, plan: int, low: int, high: int) -> dict[int, Row]:
    """Give the rows of the profiles with `low < number <= high`."""
    rows = fetch(
        connection,
        "SELECT profile, state, value, since, until, told FROM memberships WHERE plan = ? AND profile > ? "
        "AND profile <= ?",
        *(plan, low, high),
    )
    return {row[0]: Row(*row[1:]) for row in rows}


def save(connection: Connection, rows: Mapping[Key, Row | None]) -> None:
    """Write rows over those before, and delete those that are to be none."""
    gone = [key for key, row in rows.items() if row is None]
    delete(connection, schema.memberships, gone, keys=("plan", "profile"))
    written = [(*key, *row) for key, row in sorted(rows.items()) if row is not None]
    insert(connection, schema.memberships, written, replace=True)


def keep(connection: Connection, rows: Sequence[tuple[bytes, int | None, int, int]]) -> None:
    """Keep another state, and another instant until when, where the value stays: (state, until, plan, profile)."""
    update(connection, schema.memberships, sorted(rows, key=_KEY), columns=("state", "until"), keys=("plan", "profile"))


def know(connection: Connection, keys: Sequence[Key]) -> None:
    """Note that the world knows the values of these memberships; nothing else of them changes."""
    rows = [(KNOWN, *key) for key in sorted(keys)]
    update(connection, schema.memberships, rows, columns=("told",), keys=("plan", "profile"))


def due(connection: Connection, now: int, limit: int) -> list[Key]:
    """Give memberships that time has changed by `now`, ms UTC: those whose change is longest ago first."""
    statement = "SELECT plan, profile FROM memberships WHERE until <= ? ORDER BY until LIMIT ?"
    return [tuple(row) for row in fetch(connection, statement, now, limit)]


def settle(connection: Connection, keys: Sequence[Key]) -> None:
    """Let time change these memberships no more: their plans are none any more, and their rows will go."""
    update(
        connection,
        schema.memberships,
        [(None, *key) for key in keys],
        columns=("until",),
        keys=("plan", "profile"),
    )


def next_due(connection: Connection) -> int | None:
    """Give the next instant (ms UTC) at which time changes a membership."""
    found: int | None = fetch(connection, "SELECT min(until) FROM memberships WHERE until IS NOT NULL")[0][0]
    return found


def remove_people(connection: Connection, profiles: Collection[int]) -> None:
    """Remove what is kept of these profiles, and what was told of them: they are erased."""
    for table, of, column, numbers in _of_people(connection):
        statement = f"DELETE FROM {table} WHERE {of} IN {LISTED} AND {column} IN {LISTED}"
        run(connection, statement, listed(numbers), listed(profiles))


def keys_of_people(connection: Connection, profiles: Collection[int]) -> tuple[list[Key], list[Key]]:
    """Give the keys of the memberships of these profiles, and of what was told of them."""
    kept, told = (
        [
            (row[0], row[1])
            for row in fetch(
                connection,
                f"SELECT {of}, {column} FROM {table} WHERE {of} IN {LISTED} AND {column} IN {LISTED}",
                *(listed(numbers), listed(profiles)),
            )
        ]
        for table, of, column, numbers in _of_people(connection)
    )
    return kept, told


def _of_people(connection: Connection) -> Iterable[tuple[str, str, str, list[int]]]:
    """Give both tables, each with its columns and the plans or computations in it: the keys begin with those."""
    plans = [number for number in reached(connection) if number > 0]
    yield "memberships", "plan", "profile", plans
    told_of: list[int] = []
    while (found := fetch(connection, _NEXT_TOLD, told_of[-1] if told_of else 0)[0][0]) is not None:
        told_of.append(found)
    yield "told", "computation", "uid", told_of


def sweep(connection: Connection, plan: int, limit: int) -> bool:
    """Remove some rows of a plan that is no more; tell whether none is left."""
    statement = "SELECT profile FROM memberships WHERE plan = ? ORDER BY profile LIMIT ?"
    rows = fetch(connection, statement, plan, limit)
    delete(connection, schema.memberships, [(plan, row[0]) for row in rows], keys=("plan", "profile"))
    if len(rows) == limit:
        return False
    for table in ("first_runs", "checks"):
        run(connection, f"DELETE FROM {table} WHERE plan = ?", plan)
    return True


def count(connection: Connection, plan: int, value: str = "true") -> int:
    """Count those who have a value: the members of an audience."""
    statement = "SELECT count(*) FROM memberships WHERE plan = ? AND value = ?"
    return int(fetch(connection, statement, plan, value)[0][0])


def reached(connection: Connection) -> dict[int, int]:
    """Give up to which profile, by number, each plan has its rows; of plans whose first run has not begun nothing."""
    return {row[0]: row[1] for row in fetch(connection, "SELECT plan, reached FROM first_runs")}


def reach(connection: Connection, plans: Iterable[int], number: int) -> None:
    """Note up to which profile these plans have their rows."""
    insert(connection, schema.first_runs, [(plan, number) for plan in plans], replace=True)


def told(connection: Connection, computation: int, uids: Collection[int]) -> dict[int, Told]:
    """Give what the world was told of these uids, by number."""
    if not uids:
        return {}
    rows = fetch(
        connection,
        f"SELECT uid, value, number, t FROM told WHERE computation = ? AND uid IN {LISTED}",
        *(computation, listed(uids)),
    )
    return {uid: Told(decode_exact(value), number, t) for uid, value, number, t in rows}


def told_behind(connection: Connection, computation: int, uid: int, limit: int) -> dict[int, Told]:
    """Give what the world was told of the next uids behind one, by number."""
    rows = fetch(
        connection,
        "SELECT uid, value, number, t FROM told WHERE computation = ? AND uid > ? ORDER BY uid LIMIT ?",
        *(computation, uid, limit),
    )
    return {uid: Told(decode_exact(value), number, t) for uid, value, number, t in rows}


def count_told(connection: Connection, computation: int, value: str | None = None) -> int:
    """Count the uids of which the world was told something, or one value (JSON)."""
    statement = "SELECT count(*) FROM told WHERE computation = ?"
    if value is None:
        return int(fetch(connection, statement, computation)[0][0])
    return int(fetch(connection, f"{statement} AND value = ?", computation, value)[0][0])


def last_told(connection: Connection, computation: int) -> int:
    """Give the greatest number of a uid of which the world was told something; 0 where it was of none."""
    found = fetch(connection, "SELECT max(uid) FROM told WHERE computation = ?", computation)[0][0]
    return int(found or 0)


def all_told(connection: Connection, after: Key, limit: int) -> dict[Key, Told]:
    """Give the next of all that the world was told, by computation and uid, behind a key."""
    rows = fetch(
        connection,
        "SELECT computation, uid, value, number, t FROM told WHERE (computation, uid) > (?, ?) "
        "ORDER BY computation, uid LIMIT ?",
        *(*after, limit),
    )
    return {(of, uid): Told(decode_exact(value), number, t) for of, uid, value, number, t in rows}


def tell(connection: Connection, changed: Mapping[Key, Told]) -> None:
    """Note what the world was told, by computation and uid."""
    rows = [(*key, encode_exact(each.value).decode(), each.number, each.t) for key, each in sorted(changed.items())]
    insert(connection, schema.told, rows, replace=True)


def to_tell(connection: Connection, plan: int, after: int, limit: int) -> Sequence[tuple[int, str, int]]:
    """Give memberships that are to be told, by profile behind `after`: (profile, value, since)."""
    rows = fetch(
        connection,
        "SELECT profile, value, since FROM memberships WHERE told = 0 AND plan = ? AND profile > ? "
        "ORDER BY profile LIMIT ?",
        *(plan, after, limit),
    )
    return [tuple(row) for row in rows]


def between(connection: Connection, plan: int, computation: int, low: int, high: int) -> set[int]:
    """Give the profiles with `low < number <= high` of which something is kept, or was told, for a plan."""
    rows = fetch(
        connection,
        "SELECT profile FROM memberships WHERE plan = ?1 AND profile > ?3 AND profile <= ?4 "
        "UNION SELECT uid FROM told WHERE computation = ?2 AND uid > ?3 AND uid <= ?4",
        *(plan, computation, low, high),
    )
    return {row[0] for row in rows}


def any_people(connection: Connection) -> bool:
    """Tell whether there is any profile yet."""
    return bool(fetch(connection, "SELECT 1 FROM profiles LIMIT 1"))
