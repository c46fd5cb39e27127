"""Sources: where messages come from, and the write keys that let them in (`semantics.md` 2)."""

from collections import defaultdict
from typing import Any, Final, Literal, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import Connection, Row, insert, or_, select, update

from richpanel.store import definitions
from richpanel.store.account import default_destination
from richpanel.store.definitions import changed, new_id, random_text

SourceType = Literal["web", "mobile", "server", "segment", "channel", "engage"]
ADDABLE_TYPES: Final = ("web", "mobile", "server")
"""What people add; `segment` comes with a connector, `channel` with the account, `engage` with the first audience."""
WRITE_KEY_LENGTH: Final = 32


class RetiredWriteKey(NamedTuple):
    """A write key that was rotated, and until when (ms UTC) it works beside the new one."""

    key: str
    ends_at: int


class SourceRow(msgspec.Struct, frozen=True, kw_only=True):
    """A source as stored. `write_keys`: those in force, oldest first. `identity_secret`: only where it is required.

    `retired` has the keys of before a rotation, the newest first, those that have ended too. `number` is what
    the state's rows carry; it outlives the source. `rate_limit` is calls a second, None for no limit; `created_at` and
    `deleted_at` are ms UTC.
    """

    number: int
    id: str
    name: str
    type: SourceType
    enabled: bool
    write_keys: tuple[str, ...]
    rate_limit: int | None
    identity_secret: str | None
    created_at: int
    deleted_at: int | None = None
    retired: tuple[RetiredWriteKey, ...] = ()


class SourceChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What to change of a source; what is left UNSET stays."""

    name: str | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    rate_limit: int | UnsetType | None = UNSET
    identity_verification: bool | UnsetType = UNSET


def _row(row: Row[Any], keys: list[str], retired: list[RetiredWriteKey]) -> SourceRow:
    return SourceRow(
        number=row.number,
        id=row.id,
        name=row.name,
        type=row.type,
        enabled=row.enabled,
        write_keys=tuple(keys),
        rate_limit=row.rate_limit,
        identity_secret=row.identity_secret if row.identity_verification else None,
        created_at=row.created_at,
        deleted_at=row.deleted_at,
        retired=tuple(sorted(retired, key=lambda each: each.ends_at, reverse=True)),
    )


def _select(conn: Connection, *conditions: Any) -> list[SourceRow]:
    """Read the sources that meet the conditions, by number, each with its keys in force."""
    rows = conn.execute(select(definitions.sources).where(*conditions).order_by(definitions.sources.c.number)).all()
    table = definitions.write_keys
    query = select(table.c.source, table.c.key, table.c.ends_at).where(table.c.revoked_at.is_(None))
    keys: defaultdict[int, list[str]] = defaultdict(list)
    retired: defaultdict[int, list[RetiredWriteKey]] = defaultdict(list)
    for source, key, ends_at in conn.execute(query.order_by(table.c.created_at, table.c.key)):
        if ends_at is None:
            keys[source].append(key)
        else:
            retired[source].append(RetiredWriteKey(key, ends_at))
    return [_row(row, keys[row.number], retired[row.number]) for row in rows]


def list_sources(conn: Connection, *, deleted: bool = False) -> list[SourceRow]:
    """List the sources by number; with `deleted`, those too that are gone (the state still has their messages)."""
    return _select(conn) if deleted else _select(conn, definitions.sources.c.deleted_at.is_(None))


def get_source(conn: Connection, source_id: str) -> SourceRow | None:
    """Find a source by its id, as long as it is not deleted."""
    found = _select(conn, definitions.sources.c.id == source_id, definitions.sources.c.deleted_at.is_(None))
    return found[0] if found else None


def match_sources(conn: Connection, text: str) -> list[SourceRow]:
    """Find the sources that a person means by `text`: an id, a name (not unique) or a write key in force."""
    sources, keys = definitions.sources, definitions.write_keys
    by_key = select(keys.c.source).where(keys.c.key == text, keys.c.revoked_at.is_(None))
    meant = or_(sources.c.id == text, sources.c.name == text, sources.c.number.in_(by_key))
    return _select(conn, meant, sources.c.deleted_at.is_(None))


def add_source(conn: Connection, name: str, source_type: SourceType, *, now: int, connect: bool = True) -> SourceRow:
    """Add an enabled source; web, mobile and server sources get a write key.

    With `connect` it is connected to the destination of the first start, while that one exists.
    """
    values = {"name": name, "type": source_type, "enabled": True, "identity_verification": False, "created_at": now}
    table = definitions.sources
    number = conn.execute(insert(table).values(id=new_id("src"), **values).returning(table.c.number)).scalar_one()
    destination = default_destination(conn) if connect else None
    if destination is not None:
        conn.execute(insert(definitions.destination_sources).values(destination=destination, source=number))
    if source_type in ADDABLE_TYPES:
        add_write_key(conn, number, now=now)
    changed(conn)
    return _select(conn, table.c.number == number)[0]


def update_source(conn: Connection, source_id: str, changes: SourceChanges) -> SourceRow | None:
    """Change a source; None where there is no such source. Its identity secret is made when first required."""
    table = definitions.sources
    values = {key: value for key, value in msgspec.structs.asdict(changes).items() if value is not UNSET}
    if values.get("identity_verification"):
        stored = conn.execute(select(table.c.identity_secret).where(table.c.id == source_id)).scalar()
        values["identity_secret"] = stored or random_text(48)
    if values:
        conn.execute(update(table).where(table.c.id == source_id, table.c.deleted_at.is_(None)).values(**values))
        changed(conn)
    return get_source(conn, source_id)


def delete_source(conn: Connection, source_id: str, *, now: int) -> bool:
    """Delete a source: its keys stop, its messages and its number stay. False where there is no such source."""
    source = get_source(conn, source_id)
    if source is None:
        return False
    number, keys = source.number, definitions.write_keys
    conn.execute(update(keys).where(keys.c.source == number, keys.c.revoked_at.is_(None)).values(revoked_at=now))
    conn.execute(update(definitions.sources).where(definitions.sources.c.number == number).values(deleted_at=now))
    changed(conn)
    return True


def add_write_key(conn: Connection, number: int, *, now: int) -> str:
    """Give the source with this number one more write key; the others stay in force."""
    key = random_text(WRITE_KEY_LENGTH)
    conn.execute(insert(definitions.write_keys).values(key=key, source=number, created_at=now))
    changed(conn)
    return key


def rotate_write_key(conn: Connection, number: int, key: str, *, keep_until: int | None, now: int) -> str | None:
    """Issue a write key in the place of one of this source's; None where none in force is so called.

    The old one works until `keep_until` (ms UTC), or stops at once.
    """
    table = definitions.write_keys
    here = (table.c.key == key, table.c.source == number, table.c.revoked_at.is_(None), table.c.ends_at.is_(None))
    values = {"revoked_at": now} if keep_until is None else {"ends_at": keep_until}
    if conn.execute(update(table).where(*here).values(**values)).rowcount == 0:
        return None
    return add_write_key(conn, number, now=now)


def revoke_write_key(conn: Connection, key: str, *, now: int) -> bool:
    """End a write key; False where none in force is so called."""
    table = definitions.write_keys
    ended = conn.execute(update(table).where(table.c.key == key, table.c.revoked_at.is_(None)).values(revoked_at=now))
    changed(conn)
    return ended.rowcount > 0
