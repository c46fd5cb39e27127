"""Sessions that are no longer among the newest of their profile, one row each."""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from sqlalchemy import Connection

from richpanel.core.profile import pack_session, unpack_session
from richpanel.core.session import Session
from richpanel.store import schema
from richpanel.store.bulk import LISTED, NAMED, PAIRS, Named, Pairs, delete, fetch, index_text, insert, listed

Place = tuple[str, int]
"""How a session's row is found within its profile: its key, and its start where it is generated (else 0)."""


_NEAR: Final = (
    f"WITH times AS {PAIRS} "
    "SELECT data FROM sessions WHERE profile = ? AND key = '' AND start IN ("
    "SELECT (SELECT max(s.start) FROM sessions s WHERE s.profile = ? AND s.key = '' AND s.start <= low) FROM times "
    "UNION SELECT s.start FROM times CROSS JOIN sessions s ON s.profile = ? AND s.key = '' "
    "AND s.start > low AND s.start < high)"
)


def place_of(session: Session) -> Place:
    """Give the place of a session."""
    return (session.key, 0 if session.key else session.start)


def touching(
    connection: Connection, profile: int, times: Sequence[tuple[int, int]], keys: Iterable[str]
) -> list[Session]:
    """Load the sessions that may touch what happens in these times, or has one of `keys`.

    Of each `(from_t, to_t)`: the last generated one that starts at or before `from_t`, and those that start before
    `to_t`. So a late event reads two rows, however many there are.
    """
    rows: list[tuple[bytes]] = []
    if times:
        rows += fetch(connection, _NEAR, Pairs(times), profile, profile, profile)
    asked = listed(index_text(connection, key) for key in keys)
    if asked:
        rows += fetch(connection, f"SELECT data FROM sessions WHERE profile = ? AND key IN {LISTED}", profile, asked)
    return [unpack_session(row[0]) for row in rows]


def named(connection: Connection, wanted: Collection[tuple[int, str]]) -> dict[tuple[int, str], Session]:
    """Load the sessions that have these keys, by profile and key, as far as they have a row."""
    if not wanted:
        return {}
    asked = Named((profile, index_text(connection, key)) for profile, key in wanted)
    rows = fetch(
        connection,
        f"SELECT s.profile, s.data FROM {NAMED} asked CROSS JOIN sessions s "
        "ON s.profile = asked.number AND s.key = asked.name",
        asked,
    )
    found = [(profile, unpack_session(data)) for profile, data in rows]
    return {(profile, session.key): session for profile, session in found}


def all_of(connection: Connection, profile: int) -> list[Session]:
    """Load every session of a profile that has a row."""
    return [unpack_session(row[0]) for row in fetch(connection, "SELECT data FROM sessions WHERE profile = ?", profile)]


def save(connection: Connection, rows: Sequence[tuple[int, Session]]) -> None:
    """Write sessions: (profile, session)."""
    placed = []
    for profile, session in rows:
        key, start = place_of(session)
        placed.append((profile, index_text(connection, key), start, session.end, pack_session(session)))
    insert(connection, schema.sessions, sorted(placed), replace=True)


def remove(connection: Connection, places: Iterable[tuple[int, str, int]]) -> None:
    """Delete sessions by profile and place."""
    rows = [(profile, index_text(connection, key), start) for profile, key, start in places]
    delete(connection, schema.sessions, rows, keys=("profile", "key", "start"))


def remove_all(connection: Connection, profiles: Iterable[int]) -> None:
    """Delete every row of these profiles."""
    delete(connection, schema.sessions, [(number,) for number in profiles], keys=("profile",))
