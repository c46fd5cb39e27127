"""Messages as people look them up: the debugger's list, and the trace of each (contract.md, "Bodies", trace)."""

from collections.abc import Mapping
from heapq import merge
from itertools import islice
from operator import itemgetter
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from richpanel.core.channel import CHANNEL_TYPE
from richpanel.core.codes import Code
from richpanel.core.identity import KINDS, MAX_UIDS, UID
from richpanel.core.ids import hash64
from richpanel.core.manual import MANUAL_TYPES
from richpanel.core.message import TYPES
from richpanel.core.routing import Decision
from richpanel.core.timestamps import iso
from richpanel.store import history, identities, message_rows, names, outbox
from richpanel.store.account import AccountSettings
from richpanel.store.bodies import Bodies, Place, Slice, bodies_of
from richpanel.store.bulk import LISTED, fetch, listed
from richpanel.store.message_rows import COLUMNS, StoredMessage
from richpanel.store.paging import Page, read_cursor, write_cursor
from richpanel.store.sources import SourceRow
from richpanel.store.traces import Delivered, Trace, read_traces

__all__ = ["MessageRow", "Trace", "list_messages", "trace"]

OUTCOMES: Final = ("kept", "unsupported", "filtered", "failed", "told")
KEPT: Final = OUTCOMES[0]
_OUTSIDE: Final = "EXISTS (SELECT 1 FROM outbox o WHERE o.place = m.place)"
"""Kept for a destination outside, whatever the account made of it: its row tells of the account alone."""
TYPE_NAMES: Final = (*TYPES, "channel", *MANUAL_TYPES)
_MAX_SCAN: Final = 200_000
"""A filter that few messages meet looks at so many of them a page; the cursor goes on from there."""


class MessageRow(msgspec.Struct, rename="camel", kw_only=True):
    """A message or discard in the list. A message has an id, but that goes with its body once that is not kept."""

    message_id: str | None
    source: str
    type: str | None
    event: str | None
    received_at: str
    timestamp: str | None
    outcome: str
    code: str | None = None
    uid: str | None = None
    anonymous_id: str | None = None


def list_messages(
    connection: Connection,
    log: Slice,
    account: AccountSettings,
    sources: Mapping[int, SourceRow],
    *,
    source: str | None,
    type: str | None,
    uid: str | None,
    outcome: str | None,
    cursor: str | None,
    limit: int,
) -> Page[MessageRow]:
    """List messages and discards, newest arrival first. Unknown filters match nothing."""
    number = next((row.number for row in sources.values() if row.id == source), -1) if source else None
    at = read_cursor(cursor, int, int)
    before, before_discard = at if at is not None else (1 << 62, 1 << 62)
    filters = _Filters(number, type, outcome)
    found = [] if outcome == "discarded" else _rows(connection, account, filters, uid, before=before, limit=limit + 1)
    bodies = bodies_of(connection, log)
    bodies.ahead(found[:limit])
    shown = [_shown(row, bodies, sources) for row in found[:limit]]
    _fill(connection, found[:limit], shown)
    rows = [(row.received, row.n, 0, view) for row, view in zip(found, shown, strict=False)]
    discards: list[tuple[int, int, int, MessageRow]] = []
    if outcome in (None, "discarded") and type is None and uid is None:
        some = _discards(connection, bodies, sources, number, before=before_discard, limit=limit + 1)
        discards = [(at_ms, 0, discard_id, view) for discard_id, at_ms, view in some]
    # Each in the log's own order, which the server's clock need not follow: the cursor counts on that.
    page = list(islice(merge(rows, discards, key=itemgetter(0), reverse=True), limit))
    if len(found) + len(discards) <= limit:
        return Page([view for *_, view in page])
    last = min((n for _, n, _, _ in page if n), default=before)
    last_discard = min((d for _, _, d, _ in page if d), default=before_discard)
    return Page([view for *_, view in page], write_cursor(last, last_discard))


class _Filters(msgspec.Struct):
    source: int | None
    type: str | None
    outcome: str | None

    def sql(self) -> tuple[str, list[Any]]:
        """Give the conditions on `messages m`."""
        conditions, parameters = ["1 = 1"], []
        if self.source is not None:
            conditions.append("m.source = ?")
            parameters.append(self.source)
        if self.type is not None:
            conditions.append("m.type = ?")
            parameters.append(TYPE_NAMES.index(self.type) if self.type in TYPE_NAMES else -1)
        if self.outcome == "duplicate":
            conditions.append("m.n IN (SELECT n FROM duplicates)")
        elif self.outcome == KEPT:
            conditions.append(f"(m.outcome = 0 OR {_OUTSIDE})")
        elif self.outcome is not None:
            conditions.append(f"m.outcome = ? AND NOT {_OUTSIDE}")
            parameters.append(OUTCOMES.index(self.outcome) if self.outcome in OUTCOMES else -1)
        return " AND ".join(conditions), parameters


def _rows(
    connection: Connection, account: AccountSettings, filters: _Filters, uid: str | None, *, before: int, limit: int
) -> list[StoredMessage]:
    where, parameters = filters.sql()
    columns = ", ".join(f"m.{name}" for name in COLUMNS.split(", "))
    if uid is None:
        statement = f"SELECT {columns} FROM messages m WHERE m.n < ? AND {where} ORDER BY m.n DESC LIMIT ?"
        rows = fetch(connection, statement, before, *parameters, limit)
    else:
        numbers = _numbers_of(connection, account, uid, before)
        statement = (
            f"SELECT {columns} FROM messages m WHERE m.n IN {LISTED} AND m.n < ? AND {where} ORDER BY m.n DESC LIMIT ?"
        )
        rows = fetch(connection, statement, listed(numbers), before, *parameters, limit)
    return [StoredMessage(*row) for row in rows]


def _numbers_of(connection: Connection, account: AccountSettings, uid: str, before: int) -> list[int]:
    """Give the numbers of a person's kept messages, the newest ones."""
    known = identities.find(connection, account.hash_key, UID, [uid]).get(uid)
    if known is None:
        return []
    numbers: list[int] = []
    for span in history.of_profile(connection, known[0], MAX_UIDS):
        rows = fetch(
            connection,
            "SELECT h.n FROM parts p CROSS JOIN history h ON h.part = p.part "
            "WHERE h.identity = ? AND h.t >= ? AND h.t < ? AND h.n < ? LIMIT ?",
            *span,
            before,
            _MAX_SCAN,
        )
        numbers += [row[0] for row in rows]
    return numbers


def _shown(row: StoredMessage, bodies: Bodies, sources: Mapping[int, SourceRow]) -> MessageRow:
    return MessageRow(
        message_id=message_rows.known_id(bodies, row),
        source=sources[row.source].id,
        type=TYPE_NAMES[row.type],
        event=None,
        received_at=iso(row.received),
        timestamp=iso(row.t),
        outcome=OUTCOMES[row.outcome],
    )


def _fill(connection: Connection, rows: list[StoredMessage], shown: list[MessageRow]) -> None:
    """Fill in names, ids and codes, looked up for the whole page at once."""
    texts = names.by_number(connection, [n for row in rows for n in (row.event, row.decisions) if n is not None])
    people = identities.by_number(connection, [n for row in rows for n in (row.identity, row.alias) if n])
    elsewhere = outbox.there(connection, [row.place for row in rows if row.outcome])
    for row, view in zip(rows, shown, strict=True):
        if row.place in elsewhere:
            view.outcome = KEPT
        view.event = texts.get(row.event) if row.event is not None else None
        if row.decisions is not None and view.outcome != KEPT:
            decisions = msgspec.json.decode(texts[row.decisions], type=list[Decision])
            view.code = next((made.code.value for made in decisions if made.code is not None), None)
            view.code = view.code or (Code.NOT_CONNECTED.value if not decisions else None)
        for number in (row.identity, row.alias):
            kind, value, _ = people.get(number or 0, (-1, "", ()))
            if kind == UID:
                view.uid = value
            elif kind >= 0 and KINDS[kind] == "anonymousId":
                view.anonymous_id = value
        if row.type == CHANNEL_TYPE and view.uid is None and row.identity in people:
            view.uid = people[row.identity][1]


def _discards(
    connection: Connection,
    bodies: Bodies,
    sources: Mapping[int, SourceRow],
    source: int | None,
    *,
    before: int,
    limit: int,
) -> list[tuple[int, int, MessageRow]]:
    where, parameters = ("", []) if source is None else ("AND source = ?", [source])
    rows = fetch(
        connection,
        f"SELECT id, source, at, code, place, size, lead FROM discards WHERE id < ? {where} ORDER BY id DESC LIMIT ?",
        before,
        *parameters,
        limit,
    )
    found = []
    bodies.ahead([Place(row.place, row.lead) for row in rows])
    for discard_id, number, at, code, place, size, _ in rows:
        fields = _peek(message_rows.kept(bodies, place, size) or b"")
        view = MessageRow(
            message_id=fields.get("messageId"),
            source=sources[number].id,
            type=fields.get("type"),
            event=fields.get("event"),
            received_at=iso(at),
            timestamp=None,
            outcome="discarded",
            code=code,
            uid=fields.get("userId"),
            anonymous_id=fields.get("anonymousId"),
        )
        found.append((discard_id, at, view))
    return found


def _peek(payload: bytes) -> dict[str, str]:
    """Read what a discard's payload says of itself, as far as it can be read."""
    try:
        fields = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return {key: value for key, value in fields.items() if isinstance(value, str)} if isinstance(fields, dict) else {}


def trace(
    connection: Connection,
    log: Slice,
    account: AccountSettings,
    sources: Mapping[int, SourceRow],
    message_id: str,
    *,
    source: str | None = None,
    delivered: Delivered | None = None,
) -> list[Trace]:
    """Give the trace of a message id, one per source that sent it; `delivered` looks up what was sent outside."""
    hashes = {hash64(account.hash_key, row.id, message_id): row for row in sources.values() if source in (None, row.id)}
    return read_traces(
        connection,
        bodies_of(connection, log),
        sources,
        hashes,
        message_id,
        blocked=account.blocked_ids,
        delivered=delivered,
    )
