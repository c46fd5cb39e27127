"""Sessions of people who have signed in: of a cookie only a hash is kept."""

import secrets
from hashlib import sha256
from typing import Final

import msgspec
from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from richpanel.store import definitions
from richpanel.store.users import UserRow, user_row

SEEN_MS: Final = 300_000
"""How exactly it is known when a session was last seen."""
_MAX_AGENT: Final = 512


class Client(msgspec.Struct, frozen=True):
    """Where from and with what somebody signs in."""

    address: str = ""
    agent: str = ""


class SessionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A session; times are ms UTC."""

    hash: bytes
    user: UserRow
    created_at: int
    expires_at: int
    seen_at: int
    address: str
    agent: str


def digest(cookie: str) -> bytes:
    """Give what is kept of a cookie."""
    return sha256(cookie.encode("utf-8", "surrogatepass")).digest()


def open_session(conn: Connection, user: int, *, now: int, seconds: int, client: Client | None = None) -> str:
    """Begin a session of `seconds`; give the cookie's value, of which only a hash is kept. Expired ones are let go."""
    cookie, table = secrets.token_urlsafe(32), definitions.web_sessions
    conn.execute(delete(table).where(table.c.expires_at <= now))
    values = {"hash": digest(cookie), "user": user, "created_at": now, "expires_at": now + seconds * 1000}
    agent = "" if client is None else client.agent[:_MAX_AGENT]
    address = "" if client is None else client.address
    conn.execute(insert(table).values(**values, seen_at=now, address=address, agent=agent))
    return cookie


def find_session(conn: Connection, cookie: str, *, now: int) -> SessionRow | None:
    """Tell whose session a cookie is; None where it is unknown, over at `now` (ms), or theirs who is disabled."""
    found = _select(conn, definitions.web_sessions.c.hash == digest(cookie), now)
    return found[0] if found and not found[0].user.disabled else None


def list_sessions(conn: Connection, user: int, *, now: int) -> list[SessionRow]:
    """List the sessions of a person, who was seen last first."""
    found = _select(conn, definitions.web_sessions.c.user == user, now)
    return sorted(found, key=lambda row: row.seen_at, reverse=True)


def last_seen(conn: Connection, *, now: int) -> dict[int, int]:
    """Tell when people who are signed in were last seen, by user."""
    seen: dict[int, int] = {}
    for row in _select(conn, definitions.web_sessions.c.user.is_not(None), now):
        seen[row.user.id] = max(row.seen_at, seen.get(row.user.id, 0))
    return seen


def saw(conn: Connection, hashed: bytes, address: str, *, now: int) -> None:
    """Note that a session was used."""
    table = definitions.web_sessions
    conn.execute(update(table).where(table.c.hash == hashed).values(seen_at=now, address=address))


def close_session(conn: Connection, cookie: str) -> None:
    """End a session."""
    conn.execute(delete(definitions.web_sessions).where(definitions.web_sessions.c.hash == digest(cookie)))


def revoke_sessions(conn: Connection, user: int, *, only: bytes | None = None, keep: bytes = b"") -> int:
    """End a person's sessions: one, or all but one; gives how many."""
    table = definitions.web_sessions
    which = table.c.hash == only if only is not None else table.c.hash != keep
    return conn.execute(delete(table).where(table.c.user == user, which)).rowcount


def _select(conn: Connection, condition: ColumnElement[bool], now: int) -> list[SessionRow]:
    users, sessions = definitions.users, definitions.web_sessions
    own = [column.label(f"session_{column.name}") for column in sessions.columns]
    query = select(users, *own).join(sessions, sessions.c.user == users.c.id)
    rows = conn.execute(query.where(condition, sessions.c.expires_at > now))
    return [
        SessionRow(
            hash=row.session_hash,
            user=user_row(row),
            created_at=row.session_created_at,
            expires_at=row.session_expires_at,
            seen_at=row.session_seen_at or row.session_created_at,
            address=row.session_address or "",
            agent=row.session_agent or "",
        )
        for row in rows
    ]
