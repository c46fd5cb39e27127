"""The audit log: who changed what, and who looked at whom. Rows are added and age out; nothing changes one.

It names no customer: an id of theirs stands in it as the keyed hash that the ledger of regulations has, too, so that an
erasure leaves nothing to erase here (docs/decisions/0026).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec
from sqlalchemy import Connection, delete, insert, select

from richpanel.core.regulation import Hashed, hashed, index_of
from richpanel.store import watching_schema
from richpanel.store.bulk import LISTED, fetch, listed
from richpanel.store.paging import Page, read_cursor, write_cursor

Kind = Literal["look", "change", "sign-in"]


class AuditRow(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was done. `who`: a login or a token's name, "" where nobody was let in; `at` is ms UTC."""

    at: int
    kind: Kind
    who: str
    verb: str
    noun: str
    address: str
    token: str | None = None
    object: str | None = None
    person: Hashed | None = None
    details: Mapping[str, str] = {}


class Filter(msgspec.Struct, frozen=True):
    """What to list: of somebody, of a kind, about one of these persons, from and before an instant (ms UTC)."""

    who: str | None = None
    kind: Kind | None = None
    persons: Sequence[Hashed] | None = None
    since: int | None = None
    before: int | None = None


def write(conn: Connection, rows: Sequence[AuditRow]) -> None:
    """Add rows."""
    values = [msgspec.structs.asdict(row) | {"details": msgspec.json.encode(row.details).decode()} for row in rows]
    conn.execute(insert(watching_schema.audit), values)


def newest(conn: Connection, wanted: Filter, *, limit: int, cursor: str | None = None) -> Page[AuditRow]:
    """List what was done, the newest first. Raises BadCursor."""
    table = watching_schema.audit
    query = select(table).order_by(table.c.number.desc()).limit(limit + 1)
    (after,) = read_cursor(cursor, int) or (None,)
    conditions = (
        (after, lambda: table.c.number < after),
        (wanted.who, lambda: table.c.who == wanted.who),
        (wanted.kind, lambda: table.c.kind == wanted.kind),
        (wanted.persons, lambda: table.c.person.in_(wanted.persons or ())),
        (wanted.since, lambda: table.c.at >= wanted.since),
        (wanted.before, lambda: table.c.at < wanted.before),
    )
    for given, condition in conditions:
        if given is not None:
            query = query.where(condition())
    rows = conn.execute(query).all()
    data = [
        AuditRow(
            **{name: getattr(row, name) for name in AuditRow.__struct_fields__ if name != "details"},
            details=msgspec.json.decode(row.details, type=dict[str, str]),
        )
        for row in rows[:limit]
    ]
    return Page(data, write_cursor(rows[limit - 1].number) if len(rows) > limit else None)


def prune(conn: Connection, before: int) -> int:
    """Let go of what was done before an instant (ms UTC); gives how many rows that were."""
    return conn.execute(delete(watching_schema.audit).where(watching_schema.audit.c.at < before)).rowcount


def names_of(state: Connection, secret: bytes, hashes: Iterable[Hashed]) -> dict[Hashed, tuple[int, str]]:
    """Tell who hashes stand for: kind and id, as long as the state knows them; of who was erased it knows nothing."""
    wanted = {index_of(each): each for each in hashes}
    if not wanted:
        return {}
    rows = fetch(state, f"SELECT hash, kind, value FROM identities WHERE hash IN {LISTED}", listed(wanted))
    return {wanted[index]: (kind, value) for index, kind, value in rows if hashed(secret, kind, value) == wanted[index]}
