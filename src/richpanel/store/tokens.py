"""API tokens: shown once when made, kept as a hash."""

import hmac
from hashlib import sha256
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, insert, or_, select, update

from richpanel.core.roles import Role
from richpanel.store import definitions
from richpanel.store.definitions import changed, new_id, random_text

PREFIX: Final = "rp_"


class TokenRow(msgspec.Struct, frozen=True, kw_only=True):
    """A token as stored: everything but the token. `created_at` is ms UTC; without a `role` it may do everything."""

    id: str
    name: str
    created_at: int
    role: Role | None = None


def _hash(token: str) -> bytes:
    # A token has 230 random bits: a plain digest cannot be searched, and is quick enough for every request.
    return sha256(token.encode("utf-8", "surrogatepass")).digest()


def _row(row: "Row[*tuple[Any, ...]]") -> TokenRow:
    return TokenRow(id=row.id, name=row.name, created_at=row.created_at, role=row.role)


def add_token(
    conn: Connection, name: str, *, now: int, token: str | None = None, role: Role | None = None
) -> tuple[TokenRow, str]:
    """Make a token; its text is given here and never again."""
    text = token or PREFIX + random_text(40)
    row = TokenRow(id=new_id("tok"), name=name, created_at=now, role=role)
    values = {"id": row.id, "name": name, "hash": _hash(text), "created_at": now, "role": role}
    conn.execute(insert(definitions.tokens).values(**values))
    changed(conn)
    return row, text


def find_token(conn: Connection, token: str) -> TokenRow | None:
    """Tell whose token this is; None for one that is unknown or revoked. Takes the same time whichever byte differs."""
    table, hashed = definitions.tokens, _hash(token)
    row = conn.execute(select(table).where(table.c.hash == hashed, table.c.revoked_at.is_(None))).first()
    if row is None or not hmac.compare_digest(row.hash, hashed):
        return None
    return _row(row)


def list_tokens(conn: Connection) -> list[TokenRow]:
    """List the tokens in force, oldest first."""
    table = definitions.tokens
    query = select(table).where(table.c.revoked_at.is_(None)).order_by(table.c.created_at, table.c.id)
    return [_row(row) for row in conn.execute(query)]


def revoke_tokens(conn: Connection, id_or_name: str, *, now: int) -> int:
    """End the tokens with this id or name; gives how many."""
    table = definitions.tokens
    meant = or_(table.c.id == id_or_name, table.c.name == id_or_name)
    ended = conn.execute(update(table).where(meant, table.c.revoked_at.is_(None)).values(revoked_at=now))
    changed(conn)
    return ended.rowcount
