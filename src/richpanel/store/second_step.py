"""The second step of a sign-in: codes by time (TOTP, RFC 6238), and recovery codes for who has lost the device.

The secret is sealed (`store.secrets`). A code is good for its half minute and the ones beside it, and only once.
"""

import hmac
import secrets
from hashlib import sha256
from typing import Final

import pyotp
from sqlalchemy import Connection, delete, func, insert, or_, select, update

from richpanel.store import definitions
from richpanel.store.secrets import SecretBox

STEP_MS: Final = 30_000
CODES: Final = 10
_BESIDE: Final = 1  # How many intervals a clock may be off.
_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"  # Nothing that reads like another.
_CODE: Final = 10


def begin(conn: Connection, box: SecretBox, user: int) -> str:
    """Make a person's secret, which counts for nothing until `confirm`; give it. One that counts already stays."""
    users, secret = definitions.users, pyotp.random_base32()
    unproven = (users.c.id == user, users.c.factor_since.is_(None))
    conn.execute(update(users).where(*unproven).values(factor=box.seal(secret), factor_step=None))
    return secret


def pending(conn: Connection, box: SecretBox, user: int) -> str | None:
    """Give the secret that a person has begun with and not confirmed."""
    users = definitions.users
    query = select(users.c.factor).where(users.c.id == user, users.c.factor_since.is_(None))
    sealed = conn.execute(query).scalar()
    return None if sealed is None else box.open(sealed)


def confirm(conn: Connection, box: SecretBox, user: int, code: str, *, now: int) -> list[str] | None:
    """Ask for the second step from now on, if `code` is right; give fresh recovery codes, else None."""
    if pending(conn, box, user) is None or not _by_time(conn, box, user, code, now):
        return None
    users = definitions.users
    conn.execute(update(users).where(users.c.id == user).values(factor_since=now))
    return renew_codes(conn, user)


def check_code(conn: Connection, box: SecretBox, user: int, code: str, *, now: int) -> bool:
    """Tell whether a code is right, and take it: neither kind is taken twice."""
    given = "".join(code.lower().replace("-", "").split())
    if given.isascii() and given.isdigit():
        return _by_time(conn, box, user, given, now)
    table = definitions.recovery_codes
    return conn.execute(delete(table).where(table.c.user == user, table.c.hash == _hash(given))).rowcount > 0


def remove(conn: Connection, user: int) -> None:
    """Ask for no second step any more."""
    users, codes = definitions.users, definitions.recovery_codes
    conn.execute(update(users).where(users.c.id == user).values(factor=None, factor_since=None, factor_step=None))
    conn.execute(delete(codes).where(codes.c.user == user))


def renew_codes(conn: Connection, user: int) -> list[str]:
    """Make recovery codes, which end those of before; they are given here and never again."""
    table = definitions.recovery_codes
    conn.execute(delete(table).where(table.c.user == user))
    made = ["".join(secrets.choice(_ALPHABET) for _ in range(_CODE)) for _ in range(CODES)]
    conn.execute(insert(table), [{"user": user, "hash": _hash(code)} for code in made])
    return [f"{code[:5]}-{code[5:]}" for code in made]


def count_codes(conn: Connection, user: int) -> int:
    """Count the recovery codes that are left."""
    table = definitions.recovery_codes
    return conn.execute(select(func.count()).select_from(table).where(table.c.user == user)).scalar_one()


def _hash(code: str) -> bytes:
    return sha256(code.encode("utf-8", "surrogatepass")).digest()  # 49 random bits, and tries are limited.


def _by_time(conn: Connection, box: SecretBox, user: int, code: str, now: int) -> bool:
    users = definitions.users
    sealed = conn.execute(select(users.c.factor).where(users.c.id == user)).scalar()
    if sealed is None:
        return False
    codes, present = pyotp.TOTP(box.open(sealed)), now // STEP_MS
    for step in range(present - _BESIDE, present + _BESIDE + 1):
        if hmac.compare_digest(codes.generate_otp(step).encode(), code.encode("utf-8", "surrogatepass")):
            unused = or_(users.c.factor_step.is_(None), users.c.factor_step < step)
            return conn.execute(update(users).where(users.c.id == user, unused).values(factor_step=step)).rowcount > 0
    return False
