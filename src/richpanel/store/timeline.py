"""A person's timeline: page and track calls, channel activity, and becoming a customer (`semantics.md` 5)."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from sqlalchemy import Connection

from richpanel.core.channel import CHANNEL_TYPE, decode_activity
from richpanel.core.identity import MAX_UIDS
from richpanel.core.ids import clean_id
from richpanel.core.inside import is_absent
from richpanel.core.message import TYPES, decode_message
from richpanel.core.profile import unpack
from richpanel.core.stamps import Stamp
from richpanel.core.timestamps import iso
from richpanel.core.traits import SESSION_KEY
from richpanel.store import history, message_rows, names
from richpanel.store.account import AccountSettings
from richpanel.store.bodies import Bodies, Slice, bodies_of
from richpanel.store.bulk import fetch
from richpanel.store.decisions import Cuts
from richpanel.store.history import Span
from richpanel.store.message_rows import StoredMessage
from richpanel.store.paging import Page, read_cursor, write_cursor
from richpanel.store.sessions import generated_between
from richpanel.store.sources import SourceRow

BECAME_CUSTOMER: Final = "became_customer"
_FOREVER: Final = 1 << 62
ENTRY_TYPES: Final = (1, 2, 6)  # track, page, channel
_decode_properties = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class TimelineItem(msgspec.Struct, rename="camel", kw_only=True):
    """One entry: `type` is page, track, channel or became_customer; `event` the event's or page's name.

    `body_kept` is false where retention has let the message's body go: with it went its id, its properties and a
    session id of its own.
    """

    id: str | None
    type: str
    event: str | None
    timestamp: str
    session_id: str | None
    properties: msgspec.Raw
    source: str
    channel: str | None = None
    body_kept: bool = True


class _Entry(msgspec.Struct):
    stamp: Stamp
    rank: int  # Becoming a customer comes right after what made it.
    item: TimelineItem
    generated: bool = False

    @property
    def order(self) -> tuple[Stamp, int]:
        return (self.stamp, self.rank)


def list_timeline(
    connection: Connection,
    log: Slice,
    account: AccountSettings,
    sources: Mapping[int, SourceRow],
    profile: int,
    *,
    cursor: str | None,
    limit: int,
) -> Page[TimelineItem]:
    """List a profile's timeline, newest first."""
    at = read_cursor(cursor, int, str, str, int)
    before = None if at is None else ((at[0], at[1], at[2]), at[3])
    numbers = _newest(connection, profile, _FOREVER if before is None else before[0][0], limit)
    opened = message_rows.load(connection, numbers)
    bodies = bodies_of(connection, log)
    bodies.ahead(opened.values())
    cuts = Cuts(connection)
    cuts.ahead(opened.values())
    entries = [_entry(row, bodies, sources[row.source], account, cuts) for row in opened.values()]
    customer = _became_customer(connection, profile)
    if customer is not None:
        entries.append(customer)
    entries.sort(key=lambda entry: entry.order, reverse=True)
    if before is not None:
        entries = [entry for entry in entries if entry.order < before]
    shown = entries[:limit]
    _name_sessions(connection, profile, shown)
    more = write_cursor(*shown[-1].stamp, shown[-1].rank) if len(entries) > limit else None
    return Page([entry.item for entry in shown], more)


def _newest(connection: Connection, profile: int, until: int, limit: int) -> list[int]:
    """Find the newest entries at or before `until`: more than `limit`, and all of the last one's instant.

    Entries of one instant are ordered by what stands in their bodies, so an instant is taken whole or not at all.
    """
    spans = history.of_profile(connection, profile, MAX_UIDS)
    found: list[tuple[int, int]] = []
    if until != _FOREVER:
        found += _at(connection, spans, until)
    earlier: list[tuple[int, int]] = []
    # Asked here and not by `store.parts`, which loads numpy for its filters: 11 MB that pages do not need.
    for part, first_t, last_t in fetch(connection, "SELECT part, first_t, last_t FROM parts ORDER BY part DESC"):
        if first_t >= until or (len(earlier) > limit and last_t < earlier[limit][0]):
            continue
        for span in spans:
            earlier += fetch(
                connection,
                "SELECT t, n FROM history WHERE part = ? AND identity = ? AND t >= ? AND t < ? AND type IN (1, 2, 6) "
                "ORDER BY t DESC LIMIT ?",
                part,
                span.identity,
                span.from_t,
                min(span.to_t, until),
                limit + 1,
            )
        earlier.sort(reverse=True)
        del earlier[limit + 1 :]
    if len(earlier) > limit:
        last = earlier[-1][0]
        earlier = [entry for entry in earlier if entry[0] > last] + _at(connection, spans, last)
    return [number for _, number in (*found, *earlier)]


def _at(connection: Connection, spans: Iterable[Span], t: int) -> list[tuple[int, int]]:
    """Find all entries of one instant."""
    rows: list[tuple[int, int]] = []
    for span in spans:
        if span.from_t <= t < span.to_t:
            here = history.numbers(connection, Span(span.identity, t, t + 1))
            rows += [(t, n) for _, n, kind in here if kind in ENTRY_TYPES]
    return rows


def _entry(row: StoredMessage, bodies: Bodies, source: SourceRow, account: AccountSettings, cuts: Cuts) -> _Entry:
    body = message_rows.kept(bodies, row.place, row.size)
    if body is None:
        return _entry_without_body(row, source, cuts.connection)
    if row.type == CHANNEL_TYPE:
        return _channel_entry(row, body, source)
    message = decode_message(body)
    cut = cuts.of(row)
    if cut is not None:
        cut.apply_to(message, msgspec.Raw())
    given = message.messageId
    if given is None or given == "":
        given = message_rows.message_id(bodies, row)
    key, properties = _split_session(message.properties, account.blocked_ids)
    item = TimelineItem(
        id=str(given),
        type=TYPES[row.type],
        event=message.event if row.type == 1 else message.name,
        timestamp=iso(row.t),
        session_id=key,
        properties=properties,
        source=source.id,
    )
    return _Entry((row.t, str(given), source.id), 0, item, generated=key is None)


def _entry_without_body(row: StoredMessage, source: SourceRow, connection: Connection) -> _Entry:
    """Show what the row alone tells; its number stands for the id in the order."""
    event = names.by_number(connection, [row.event]).get(row.event) if row.event is not None else None
    item = TimelineItem(
        id=None,
        type="channel" if row.type == CHANNEL_TYPE else TYPES[row.type],
        event=event,
        timestamp=iso(row.t),
        session_id=None,
        properties=msgspec.Raw(b"{}"),
        source=source.id,
        channel=event if row.type == CHANNEL_TYPE else None,
        body_kept=False,
    )
    return _Entry((row.t, f"\0{row.n:020}", source.id), 0, item, generated=row.type != CHANNEL_TYPE)


def _split_session(raw: msgspec.Raw, blocked: frozenset[str]) -> tuple[str | None, msgspec.Raw]:
    """Take the session id out of properties: it is routing data (`semantics.md` 4)."""
    if is_absent(raw):
        return None, msgspec.Raw(b"{}")
    given_bytes = memoryview(raw).tobytes()
    if SESSION_KEY.encode() not in given_bytes and b"\\u" not in given_bytes:  # A key may be written with escapes.
        return None, raw
    properties = _decode_properties(raw)
    if SESSION_KEY not in properties:
        return None, raw
    given = properties.pop(SESSION_KEY)
    return clean_id(msgspec.json.decode(given), blocked), msgspec.Raw(msgspec.json.encode(properties))


def _channel_entry(row: StoredMessage, body: bytes, source: SourceRow) -> _Entry:
    activity = decode_activity(body)
    properties: dict[str, object] = {"subject": activity.subject, "body": activity.body}
    properties["attachments"] = activity.attachments or None
    properties["truncated"] = activity.truncated or None
    item = TimelineItem(
        id=activity.messageId,
        type="channel",
        event=activity.channel,
        timestamp=iso(row.t),
        session_id=None,
        properties=msgspec.Raw(
            msgspec.json.encode({key: each for key, each in properties.items() if each is not None})
        ),
        source=source.id,
        channel=activity.channel,
    )
    return _Entry((row.t, activity.messageId, source.id), 0, item)


def _became_customer(connection: Connection, profile: int) -> _Entry | None:
    rows = fetch(connection, "SELECT state FROM profiles WHERE id = ?", profile)
    stamp = unpack(rows[0][0]).customer if rows else None
    if stamp is None:
        return None
    item = TimelineItem(
        id=stamp[1],
        type=BECAME_CUSTOMER,
        event="Became a customer",
        timestamp=iso(stamp[0]),
        session_id=None,
        properties=msgspec.Raw(b"{}"),
        source=stamp[2],
    )
    return _Entry(stamp, 1, item)


def _name_sessions(connection: Connection, profile: int, entries: list[_Entry]) -> None:
    """Give each entry without a session id of its own that of the generated session it falls into."""
    times = [entry.stamp[0] for entry in entries if entry.generated]
    if not times:
        return
    sessions = generated_between(connection, profile, min(times), max(times))
    starts = [session.start for session in sessions]
    for entry in entries:
        if entry.generated:
            at = bisect_right(starts, entry.stamp[0]) - 1
            if at >= 0 and entry.stamp[0] <= sessions[at].end:
                entry.item.session_id = sessions[at].id
