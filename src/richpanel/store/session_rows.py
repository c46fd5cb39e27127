"""Sessions that are no longer among the newest of their profile, one row each."""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection

from richpanel.core.profile import pack_session, unpack_session
from richpanel.core.session import Session
from richpanel.store import schema
from richpanel.store.bulk import fetch, insert, listed, many

Place = tuple[str, int]
"""How a session's row is found within its profile: its key, and its start where it is generated (else 0)."""


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
        rows += fetch(
            connection,
            "WITH times AS (SELECT json_extract(value, '$[0]') from_t, json_extract(value, '$[1]') to_t "
            "FROM json_each(?2)) "
            "SELECT data FROM sessions WHERE profile = ?1 AND key = '' AND start IN ("
            "SELECT (SELECT max(s.start) FROM sessions s WHERE s.profile = ?1 AND s.key = '' AND s.start <= from_t) "
            "FROM times UNION SELECT s.start FROM times CROSS JOIN sessions s WHERE s.profile = ?1 AND s.key = '' "
            "AND s.start > from_t AND s.start < to_t)",
            profile,
            listed(times),
        )
    for key in keys:
        rows += fetch(connection, "SELECT data FROM sessions WHERE profile = ? AND key = ?", profile, key)
    return [unpack_session(row[0]) for row in rows]


def all_of(connection: Connection, profile: int) -> list[Session]:
    """Load every session of a profile that has a row."""
    return [unpack_session(row[0]) for row in fetch(connection, "SELECT data FROM sessions WHERE profile = ?", profile)]


def save(connection: Connection, rows: Sequence[tuple[int, Session]]) -> None:
    """Write sessions: (profile, session)."""
    placed = [(profile, *place_of(session), session.end, pack_session(session)) for profile, session in rows]
    insert(connection, schema.sessions, sorted(placed), replace=True)


def remove(connection: Connection, places: Iterable[tuple[int, str, int]]) -> None:
    """Delete sessions by profile and place."""
    many(connection, 'DELETE FROM sessions WHERE profile = ? AND key = ? AND "start" = ?', list(places))


def remove_all(connection: Connection, profiles: Iterable[int]) -> None:
    """Delete every row of these profiles."""
    many(connection, "DELETE FROM sessions WHERE profile = ?", [(number,) for number in profiles])
