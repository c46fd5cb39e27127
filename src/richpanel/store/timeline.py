"""A person's timeline: page and track calls, channel activity, and becoming a customer (`semantics.md` 5)."""

from bisect import bisect_right
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import Connection

from richpanel.core.channel import CHANNEL_TYPE, decode_activity
from richpanel.core.ids import clean_id
from richpanel.core.inside import is_absent
from richpanel.core.message import TYPES, decode_message
from richpanel.core.profile import Profile
from richpanel.core.stamps import Stamp
from richpanel.core.timestamps import iso
from richpanel.core.traits import SESSION_KEY
from richpanel.store import message_rows, names
from richpanel.store.account import AccountSettings
from richpanel.store.bodies import Bodies, Slice, bodies_of
from richpanel.store.decisions import Cuts
from richpanel.store.history import FOREVER
from richpanel.store.message_rows import StoredMessage
from richpanel.store.nearest import Sieve, nearest, sifted
from richpanel.store.paging import Page, read_cursor, write_cursor
from richpanel.store.sessions import generated_between, profile_of
from richpanel.store.sources import SourceRow

BECAME_CUSTOMER: Final = "became_customer"
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


class TimelinePart(NamedTuple):
    """A piece of a timeline, newest first, and the cursors of what is older and what is newer; None at an end.

    `reached` is the instant (ISO) up to which was looked, where a sieve let too little pass for a whole piece.
    """

    items: list[TimelineItem]
    older: str | None
    newer: str | None
    reached: str | None = None


def before(t: int) -> str:
    """Give the cursor behind which stands what happened before `t`, ms UTC."""
    return write_cursor(t, "", "", 0)


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
    whence = Whence(cursor, limit)
    found = read_timeline(connection, log, account, sources, profile, whence=whence)
    return Page(found.items, found.older)


class Whence(NamedTuple):
    """Which piece of a timeline: so many entries behind a cursor, or in front of it (`newer`), that pass a sieve."""

    cursor: str | None
    limit: int
    newer: bool = False
    sieve: Sieve | None = None


def read_timeline(
    connection: Connection,
    log: Slice,
    account: AccountSettings,
    sources: Mapping[int, SourceRow],
    profile: int,
    *,
    whence: Whence,
) -> TimelinePart:
    """Read a piece of a profile's timeline."""
    given = read_cursor(whence.cursor, int, str, str, int)
    edge = None if given is None else ((given[0], given[1], given[2]), given[3])
    newer = whence.newer and edge is not None
    at = FOREVER if edge is None else edge[0][0]
    if whence.sieve is None:
        found = nearest(connection, profile, at, whence.limit, newer=newer)
    else:
        found = sifted(connection, profile, at, whence.limit, whence.sieve, newer=newer)
    opened = message_rows.load(connection, found.numbers)
    bodies = bodies_of(connection, log)
    bodies.ahead(opened.values())
    cuts = Cuts(connection)
    cuts.ahead(opened.values())
    entries = [_entry(row, bodies, sources[row.source], account, cuts) for row in opened.values()]
    known = profile_of(connection, profile)
    stamp = None if known is None or whence.sieve is not None else known.customer
    if stamp is not None:
        entries.append(_became_customer(stamp))
    entries.sort(key=lambda entry: entry.order, reverse=not newer)
    if edge is not None:
        entries = [entry for entry in entries if (entry.order > edge if newer else entry.order < edge)]
    shown = entries[: whence.limit]
    if known is not None:
        _name_sessions(connection, profile, known, shown)
    return _part(shown, found.reached, is_more=len(entries) > whence.limit, whence=whence)


def _part(shown: list[_Entry], reached: int | None, *, is_more: bool, whence: Whence) -> TimelinePart:
    """Put a piece together: what was read next to the cursor goes on at its far end, and back at its near one."""
    near = write_cursor(*shown[0].stamp, shown[0].rank) if shown else None
    far = write_cursor(*shown[-1].stamp, shown[-1].rank) if is_more else None
    if far is None and reached is not None:
        far = write_cursor(reached + whence.newer, "", "", 0)
    ended = None if is_more or reached is None else iso(reached)
    if whence.newer:
        return TimelinePart([entry.item for entry in reversed(shown)], near, far, ended)
    return TimelinePart([entry.item for entry in shown], far, near if whence.cursor else None, ended)


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


def _became_customer(stamp: Stamp) -> _Entry:
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


def _name_sessions(connection: Connection, number: int, profile: Profile, entries: list[_Entry]) -> None:
    """Give each entry without a session id of its own that of the generated session it falls into."""
    times = [entry.stamp[0] for entry in entries if entry.generated]
    if not times:
        return
    sessions = generated_between(connection, number, profile, min(times), max(times))
    starts = [session.start for session in sessions]
    for entry in entries:
        if entry.generated:
            at = bisect_right(starts, entry.stamp[0]) - 1
            if at >= 0 and entry.stamp[0] <= sessions[at].end:
                entry.item.session_id = sessions[at].id
