"""The account's settings: what the fold, the pages and the door take from one row (`semantics.md` 1 to 6)."""

import hmac
import secrets
from typing import Final

import msgspec
from sqlalchemy import Connection, insert, select, update

from richpanel.core.ids import BLOCKED_IDS
from richpanel.store import definitions
from richpanel.store.definitions import changed

VOID_STATUSES: Final = ("cancelled", "canceled", "refunded", "voided")


class AccountSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the account has set. A change to any of these that the fold uses starts a rebuild (`semantics.md` 1).

    `currency`: ISO 4217, for `ltv`. `phone_country`: ISO 3166 alpha-2, how local numbers are read. `session_gap`: ms
    without an event after which a generated session ends. `blocked_ids`: lower case, ids that stand for nobody.
    `void_statuses`: lower case, `_` and `-` as spaces. `hash_key`: 32 bytes, the key of every hash in the state.
    """

    hash_key: bytes
    currency: str = "USD"
    phone_country: str = "US"
    session_gap: int = 1_800_000
    blocked_ids: frozenset[str] = BLOCKED_IDS
    void_statuses: tuple[str, ...] = VOID_STATUSES


def _stored(settings: AccountSettings) -> str:
    """Write the settings without the key, in an order that does not change from run to run."""
    fields = msgspec.structs.asdict(settings)
    del fields["hash_key"]
    fields["blocked_ids"] = sorted(settings.blocked_ids)
    return msgspec.json.encode(fields, order="sorted").decode()


def create_account(conn: Connection, *, now: int) -> AccountSettings:
    """Write the account's row with default settings and a fresh hash key; give what stands there if it has one."""
    existing = find_account(conn)
    if existing is not None:
        return existing
    settings = AccountSettings(hash_key=secrets.token_bytes(32))
    conn.execute(
        insert(definitions.account).values(
            id=1, version=1, hash_key=settings.hash_key, settings=_stored(settings), created_at=now
        )
    )
    return settings


def find_account(conn: Connection) -> AccountSettings | None:
    """Read the account's settings; None before the first start."""
    table = definitions.account
    row = conn.execute(select(table.c.hash_key, table.c.settings).where(table.c.id == 1)).first()
    if row is None:
        return None
    return msgspec.convert(msgspec.json.decode(row.settings) | {"hash_key": row.hash_key}, AccountSettings)


def read_account(conn: Connection) -> AccountSettings:
    """Read the account's settings; raises LookupError before the first start."""
    settings = find_account(conn)
    if settings is None:
        raise LookupError("the data directory holds no account yet: start the server once (richpanel serve)")
    return settings


def write_account(conn: Connection, settings: AccountSettings, *, folded: bool = True) -> None:
    """Replace the settings; the hash key stays what it is. `folded`: whether the state has anything by those of before.

    What it has is due to be made anew then (`made_anew`), also where the settings become again what they were: what
    came in between was folded with others.
    """
    row = conn.execute(select(definitions.account.c.settings, definitions.account.c.folded_with)).one()
    present = _stored(settings)
    before = row.folded_with or (row.settings if row.settings != present else None)
    _write(conn, present, before if folded else None)


def folded_with(conn: Connection) -> AccountSettings | None:
    """Give the settings that what is in the state was folded with at first, where it is due to be made anew."""
    row = conn.execute(select(definitions.account.c.hash_key, definitions.account.c.folded_with)).first()
    if row is None or row.folded_with is None:
        return None
    return msgspec.convert(msgspec.json.decode(row.folded_with) | {"hash_key": row.hash_key}, AccountSettings)


def made_anew(conn: Connection, settings: AccountSettings) -> None:
    """Note that all of the state was folded with these settings."""
    present, folded = conn.execute(select(definitions.account.c.settings)).scalar_one(), _stored(settings)
    _write(conn, present, folded if folded != present else None)


def _write(conn: Connection, present: str, folded: str | None) -> None:
    values = {"settings": present, "folded_with": folded}
    conn.execute(update(definitions.account).where(definitions.account.c.id == 1).values(**values))
    changed(conn)


def default_destination(conn: Connection) -> int | None:
    """Give the number of the destination that new sources are connected to, while it exists."""
    account, destinations = definitions.account, definitions.destinations
    joined = account.join(destinations, account.c.default_destination == destinations.c.number)
    return conn.execute(
        select(destinations.c.number).select_from(joined).where(destinations.c.deleted_at.is_(None))
    ).scalar()


def set_default_destination(conn: Connection, destination: int) -> None:
    """Name the destination (by number) that new sources are connected to."""
    conn.execute(
        update(definitions.account).where(definitions.account.c.id == 1).values(default_destination=destination)
    )
    changed(conn)


def account_name(conn: Connection) -> str | None:
    """Give what tells an account from all others, and nothing of its secrets; None where there is none."""
    found = find_account(conn)
    return None if found is None else hmac.digest(found.hash_key, b"which account", "sha256")[:8].hex()
