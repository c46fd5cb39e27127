"""People who sign in to the pages, and their sessions."""

import secrets
from functools import lru_cache
from hashlib import sha256
from typing import Any

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from richpanel.core.roles import Role
from richpanel.store import definitions


class UserRow(msgspec.Struct, frozen=True, kw_only=True):
    """A person who may sign in."""

    id: int
    login: str
    role: Role


class LastOwner(ValueError):
    """The account would be left without an owner."""


_HASHER = PasswordHasher()


def _row(row: "Row[*tuple[Any, ...]]") -> UserRow:
    return UserRow(id=row.id, login=row.login, role=row.role)


@lru_cache(maxsize=1)
def _nobody() -> str:
    """Give a hash to check against where the login is unknown, so that the answer takes as long."""
    return _HASHER.hash(secrets.token_urlsafe(16))


def _digest(cookie: str) -> bytes:
    return sha256(cookie.encode("utf-8", "surrogatepass")).digest()


def count_users(conn: Connection) -> int:
    """Count the people who may sign in."""
    return conn.execute(select(func.count()).select_from(definitions.users)).scalar_one()


def list_users(conn: Connection) -> list[UserRow]:
    """List the people who may sign in, by login."""
    table = definitions.users
    return [_row(row) for row in conn.execute(select(table).order_by(table.c.login))]


def list_owners(conn: Connection) -> list[str]:
    """List the logins of the owners."""
    return [user.login for user in list_users(conn) if user.role == "owner"]


def add_user(conn: Connection, login: str, password: str, *, now: int, role: Role = "owner") -> UserRow:
    """Add a person; raises IntegrityError where the login is taken."""
    values = {"login": login, "password": _HASHER.hash(password), "role": role, "created_at": now}
    number = conn.execute(insert(definitions.users).values(**values).returning(definitions.users.c.id)).scalar_one()
    return UserRow(id=number, login=login, role=role)


def set_role(conn: Connection, login: str, role: Role) -> bool:
    """Give a person another role, from their next request on; False where there is no such login.

    Raises LastOwner where nobody would be left who can give roles.
    """
    users = definitions.users
    found = conn.execute(update(users).where(users.c.login == login).values(role=role)).rowcount > 0
    _keep_an_owner(conn)
    return found


def _keep_an_owner(conn: Connection) -> None:
    if not list_owners(conn):
        raise LastOwner("an account needs an owner: make somebody else one first")


def set_password(conn: Connection, login: str, password: str) -> bool:
    """Give a person another password and end their sessions; False where there is no such login."""
    users, sessions = definitions.users, definitions.web_sessions
    found = conn.execute(select(users.c.id).where(users.c.login == login)).scalar()
    if found is None:
        return False
    conn.execute(update(users).where(users.c.id == found).values(password=_HASHER.hash(password)))
    conn.execute(delete(sessions).where(sessions.c.user == found))
    return True


def check_login(conn: Connection, login: str, password: str) -> UserRow | None:
    """Tell who signs in with this login and password; takes as long for an unknown login (about 50 ms)."""
    table = definitions.users
    row = conn.execute(select(table).where(table.c.login == login)).first()
    try:
        _HASHER.verify(row.password if row else _nobody(), password)
    except (VerificationError, InvalidHashError):
        return None
    return _row(row) if row else None


def open_session(conn: Connection, user: int, *, now: int, seconds: int) -> str:
    """Begin a session of `seconds`; give the cookie's value, of which only a hash is kept. Expired ones are let go."""
    cookie, table = secrets.token_urlsafe(32), definitions.web_sessions
    conn.execute(delete(table).where(table.c.expires_at <= now))
    values = {"hash": _digest(cookie), "user": user, "created_at": now, "expires_at": now + seconds * 1000}
    conn.execute(insert(table).values(**values))
    return cookie


def find_session(conn: Connection, cookie: str, *, now: int) -> UserRow | None:
    """Tell whose session a cookie is; None where it is unknown or over at `now` (ms)."""
    users, sessions = definitions.users, definitions.web_sessions
    query = select(users.c.id, users.c.login, users.c.role).join(sessions, sessions.c.user == users.c.id)
    row = conn.execute(query.where(sessions.c.hash == _digest(cookie), sessions.c.expires_at > now)).first()
    return _row(row) if row else None


def close_session(conn: Connection, cookie: str) -> None:
    """End a session."""
    conn.execute(delete(definitions.web_sessions).where(definitions.web_sessions.c.hash == _digest(cookie)))
