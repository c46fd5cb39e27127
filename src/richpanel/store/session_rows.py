"""Sessions that are no longer among the newest of their profile, one row each."""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection

from richpanel.core.profile import pack_session, unpack_session
from richpanel.core.session import Session
from richpanel.store import schema
from richpanel.store.bulk import fetch, insert, many

Place = tuple[str, int]
"""How a session's row is found within its profile: its key, and its start where it is generated (else 0)."""


def place_of(session: Session) -> Place:
    """Give the place of a session."""
    return (session.key, 0 if session.key else session.start)


def touching(connection: Connection, profile: int, from_t: int, keys: Iterable[str]) -> list[Session]:
    """Load the sessions that events from `from_t` on, or with one of `keys`, may touch.

    Generated ones: the last that starts at or before `from_t`, and all after it.
    """
    rows = list(
        fetch(
            connection,
            "SELECT data FROM sessions WHERE profile = ?1 AND key = '' AND start >= coalesce((SELECT max(start) "
            "FROM sessions WHERE profile = ?1 AND key = '' AND start <= ?2), 0)",
            profile,
            from_t,
        )
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
