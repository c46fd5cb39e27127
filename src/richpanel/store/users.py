"""People who sign in to the pages: their passwords and roles."""

import secrets
from functools import lru_cache
from typing import Any

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from richpanel.core.roles import Role
from richpanel.store import definitions


class UserRow(msgspec.Struct, frozen=True, kw_only=True):
    """A person who may sign in. `one_time`: their password must be replaced; `factor`: a second step is asked for."""

    id: int
    login: str
    role: Role
    one_time: bool = False
    factor: bool = False
    disabled: bool = False


class LastOwner(ValueError):
    """The account would be left without an owner who can sign in."""


_HASHER = PasswordHasher()


def user_row(row: "Row[*tuple[Any, ...]]") -> UserRow:
    """Read a row that has the columns of `users`."""
    return UserRow(
        id=row.id,
        login=row.login,
        role=row.role,
        one_time=row.one_time,
        factor=row.factor_since is not None,
        disabled=row.disabled_at is not None,
    )


@lru_cache(maxsize=1)
def _nobody() -> str:
    """Give a hash to check against where the login is unknown, so that the answer takes as long."""
    return _HASHER.hash(secrets.token_urlsafe(16))


def count_users(conn: Connection) -> int:
    """Count the people who may sign in."""
    return conn.execute(select(func.count()).select_from(definitions.users)).scalar_one()


def list_users(conn: Connection) -> list[UserRow]:
    """List the people, disabled ones too, by login."""
    table = definitions.users
    return [user_row(row) for row in conn.execute(select(table).order_by(table.c.login))]


def list_owners(conn: Connection) -> list[str]:
    """List the logins of the owners who can sign in."""
    return [user.login for user in list_users(conn) if user.role == "owner" and not user.disabled]


def get_user(conn: Connection, number: int) -> UserRow | None:
    """Find a person."""
    row = conn.execute(select(definitions.users).where(definitions.users.c.id == number)).first()
    return user_row(row) if row else None


def add_user(
    conn: Connection, login: str, password: str, *, now: int, role: Role = "owner", one_time: bool = False
) -> UserRow:
    """Add a person; raises IntegrityError where the login is taken."""
    values = {"login": login, "password": _HASHER.hash(password), "role": role, "one_time": one_time, "created_at": now}
    number = conn.execute(insert(definitions.users).values(**values).returning(definitions.users.c.id)).scalar_one()
    return UserRow(id=number, login=login, role=role, one_time=one_time)


def set_role(conn: Connection, login: str, role: Role) -> bool:
    """Give a person another role, from their next request on; False where there is no such login.

    Raises LastOwner where nobody would be left who can give roles.
    """
    users = definitions.users
    found = conn.execute(update(users).where(users.c.login == login).values(role=role)).rowcount > 0
    _keep_an_owner(conn)
    return found


def disable_user(conn: Connection, number: int, *, now: int) -> None:
    """Let a person sign in no more, and end their sessions. Raises LastOwner."""
    users, sessions = definitions.users, definitions.web_sessions
    conn.execute(update(users).where(users.c.id == number).values(disabled_at=now))
    conn.execute(delete(sessions).where(sessions.c.user == number))
    _keep_an_owner(conn)


def enable_user(conn: Connection, number: int) -> None:
    """Let a person sign in again."""
    conn.execute(update(definitions.users).where(definitions.users.c.id == number).values(disabled_at=None))


def _keep_an_owner(conn: Connection) -> None:
    if not list_owners(conn):
        raise LastOwner("an account needs an owner: make somebody else one first")


def set_password(
    conn: Connection, login: str, password: str, *, one_time: bool = False, keep: bytes | None = None
) -> bool:
    """Give a person another password and end their sessions but `keep`; False where there is no such login."""
    users, sessions = definitions.users, definitions.web_sessions
    found = conn.execute(select(users.c.id).where(users.c.login == login)).scalar()
    if found is None:
        return False
    values = {"password": _HASHER.hash(password), "one_time": one_time}
    conn.execute(update(users).where(users.c.id == found).values(**values))
    conn.execute(delete(sessions).where(sessions.c.user == found, sessions.c.hash != (keep or b"")))
    return True


def check_login(conn: Connection, login: str, password: str) -> UserRow | None:
    """Tell who signs in with this login and password; takes as long for an unknown login (about 50 ms)."""
    table = definitions.users
    row = conn.execute(select(table).where(table.c.login == login)).first()
    try:
        _HASHER.verify(row.password if row else _nobody(), password)
    except (VerificationError, InvalidHashError):
        return None
    return user_row(row) if row is not None and row.disabled_at is None else None
