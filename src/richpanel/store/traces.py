"""Traces: everything that became of one message (mission.md, B3)."""

from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec
from sqlalchemy import Connection

from richpanel.core import identity, notes
from richpanel.core.channel import CHANNEL_TYPE, decode_activity
from richpanel.core.codes import Code
from richpanel.core.identity import ANONYMOUS
from richpanel.core.manual import MANUAL_TYPES
from richpanel.core.message import TYPES, decode_message
from richpanel.core.notes import Note
from richpanel.core.routing import Decision
from richpanel.core.timestamps import iso, parse
from richpanel.store import identities, message_rows, names, outbox
from richpanel.store.bodies import Bodies, Place
from richpanel.store.bulk import LISTED, fetch, listed
from richpanel.store.decisions import Cuts
from richpanel.store.delivery_reading import DeliveryView
from richpanel.store.message_rows import StoredMessage
from richpanel.store.sources import SourceRow

_OUTCOMES = ("kept", "unsupported", "filtered", "failed", "told")
_TYPE_NAMES = (*TYPES, "channel", *MANUAL_TYPES)
_NO_BODY = msgspec.Raw(b"null")
Delivered = Callable[[Sequence[int]], Mapping[int, list[DeliveryView]]]
"""Gives the deliveries of messages, by their places in the log."""


class MatchedProfile(msgspec.Struct, omit_defaults=True, frozen=True):
    """Whose a kept message is: a customer's or known person's uid, or a visitor's anonymousId."""

    uid: str | None = None
    visitor: str | None = None


class Repeat(msgspec.Struct, rename="camel"):
    """Another arrival of the same id; `conflict` where its content differs."""

    received_at: str
    conflict: bool


class Trace(msgspec.Struct, rename="camel", kw_only=True):
    """One message: received, decided, changed, delivered (contract.md).

    `body` is null where `body_kept` is false: retention has let it go.
    """

    message_id: str
    source: str
    type: str | None
    event: str | None = None
    received_at: str
    timestamp: str | None
    outcome: str
    code: str | None = None
    conflict: bool = False
    profile: MatchedProfile = MatchedProfile()
    changes: list[msgspec.Raw] = []
    decisions: list[Decision] = []
    notes: list[Note] = []
    deliveries: list[DeliveryView] = []
    duplicates: list[Repeat] = []
    body: msgspec.Raw
    body_kept: bool = True


def read_traces(
    connection: Connection,
    bodies: Bodies,
    sources: Mapping[int, SourceRow],
    hashes: Mapping[int, SourceRow],
    message_id: str,
    *,
    blocked: Collection[str],
    delivered: Delivered | None = None,
) -> list[Trace]:
    """Read the traces of the messages, and the discards, with this id under these hashes.

    `blocked` are the ids that stand for nobody; `delivered` looks up what was sent outside.
    """
    rows = fetch(
        connection,
        f"SELECT i.n FROM parts p CROSS JOIN message_ids i ON i.part = p.part WHERE i.hash IN {LISTED}",
        listed(hashes),
    )
    stored = message_rows.load(connection, [row[0] for row in rows])
    found = []
    bodies.ahead(stored.values())
    sent = delivered([row.place for row in stored.values()]) if delivered and stored else {}
    for row in stored.values():
        if message_rows.has_id(bodies, row, message_id):
            trace = _trace(connection, bodies, sources[row.source], row, message_id)
            trace.deliveries = sent.get(row.place, [])
            if row.outcome == 0 and trace.body_kept:
                trace.notes = _notes(bodies, row, Cuts(connection), blocked)
            found.append(trace)
    return found + _discards(connection, bodies, sources, hashes, message_id)


def _trace(connection: Connection, bodies: Bodies, source: SourceRow, row: StoredMessage, message_id: str) -> Trace:
    texts = names.by_number(connection, [n for n in (row.event, row.decisions) if n is not None])
    decisions = msgspec.json.decode(texts[row.decisions], type=list[Decision]) if row.decisions is not None else []
    code = next((made.code.value for made in decisions if made.code is not None), None)
    is_kept = not row.outcome or bool(outbox.there(connection, [row.place]))
    if not is_kept and not decisions:
        code = Code.NOT_CONNECTED.value
    repeats = [
        Repeat(iso(received), bool(conflict))
        for received, conflict in fetch(
            connection, "SELECT received, conflict FROM duplicates WHERE n = ? ORDER BY received, id", row.n
        )
    ]
    changes = fetch(connection, "SELECT data FROM changes WHERE n = ?", row.n)
    body = _body(bodies, row)
    return Trace(
        message_id=message_id,
        source=source.id,
        type=_TYPE_NAMES[row.type],
        event=texts.get(row.event) if row.event is not None else None,
        received_at=iso(row.received),
        timestamp=iso(row.t),
        outcome=_OUTCOMES[0 if is_kept else row.outcome],
        code=None if is_kept else code,
        conflict=any(repeat.conflict for repeat in repeats),
        profile=_profile(connection, row) if row.outcome == 0 else MatchedProfile(),
        changes=msgspec.json.decode(changes[0][0], type=list[msgspec.Raw]) if changes else [],
        decisions=decisions,
        duplicates=repeats,
        body=_NO_BODY if body is None else body,
        body_kept=body is not None,
    )


def _notes(bodies: Bodies, row: StoredMessage, cuts: Cuts, blocked: Collection[str]) -> list[Note]:
    """Tell what of a kept message was not taken as given."""
    if row.type > CHANNEL_TYPE:
        return []
    meta, body = message_rows.meta(bodies, row.place, row.lead), bodies(row.place, row.size)
    if row.type == CHANNEL_TYPE:
        return notes.of_activity(decode_activity(body), meta)
    meta.sentAt = parse(meta.sentAt)
    message = decode_message(body)
    message.type = TYPES[row.type]
    cut = cuts.of(row)
    if cut is not None:
        cut.apply_to(message, meta.context)
        meta.context = msgspec.Raw()
    return notes.of_call(message, meta, blocked)


def _profile(connection: Connection, row: StoredMessage) -> MatchedProfile:
    """Tell whose the message is by the links known now."""
    if not row.identity:
        return MatchedProfile()  # An undo is nobody's.
    kind, value, runs = identities.by_number(connection, [row.identity])[row.identity]
    if kind == ANONYMOUS:
        owner = identity.owner(runs, row.t)
        if owner is None:
            return MatchedProfile(visitor=value)
        kind, value, _ = identities.by_number(connection, [owner])[owner]
    return MatchedProfile(uid=value)


def _body(bodies: Bodies, row: StoredMessage) -> msgspec.Raw | None:
    """Give a message as it counts: the batch's fields merged in, no write key, the client's address."""
    body = message_rows.kept(bodies, row.place, row.size)
    if body is None:
        return None
    if row.type >= CHANNEL_TYPE:
        return msgspec.Raw(body)
    meta = message_rows.meta(bodies, row.place, row.lead)
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    fields.pop("writeKey", None)
    for key, shared in (("context", meta.context), ("integrations", meta.integrations)):
        given = _object(shared) | _object(fields.get(key))
        if key == "context" and meta.ip is not None:
            given.setdefault("ip", msgspec.Raw(msgspec.json.encode(meta.ip)))
        if given:
            fields[key] = msgspec.Raw(msgspec.json.encode(given))
    fields.setdefault("type", msgspec.Raw(msgspec.json.encode(_TYPE_NAMES[row.type])))
    fields.setdefault("messageId", msgspec.Raw(msgspec.json.encode(meta.ids.get(row.item))))
    return msgspec.Raw(msgspec.json.encode(fields))


def _object(raw: msgspec.Raw | None) -> dict[str, msgspec.Raw]:
    if not raw or not memoryview(raw).tobytes().lstrip().startswith(b"{"):
        return {}
    return msgspec.json.decode(raw, type=dict[str, msgspec.Raw])


def _discards(
    connection: Connection,
    bodies: Bodies,
    sources: Mapping[int, SourceRow],
    hashes: Mapping[int, SourceRow],
    message_id: str,
) -> list[Trace]:
    rows = fetch(
        connection,
        f"SELECT source, at, code, place, size, full_size FROM discards WHERE hash IS NOT NULL AND hash IN {LISTED} "
        "ORDER BY id LIMIT 50",
        listed(hashes),
    )
    found = []
    bodies.ahead([Place(row.place, 0) for row in rows])
    for source, at, code, place, size, _ in rows:
        payload = message_rows.kept(bodies, place, size)
        body = _as_object(payload or b"")
        fields = _object(body)
        kind = msgspec.json.decode(fields["type"]) if "type" in fields else None
        found.append(
            Trace(
                message_id=message_id,
                source=sources[source].id,
                type=kind if isinstance(kind, str) else None,
                received_at=iso(at),
                timestamp=None,
                outcome="discarded",
                code=code,
                body=body or msgspec.Raw(msgspec.json.encode(payload and payload.decode("utf-8", "replace"))),
                body_kept=payload is not None,
            )
        )
    return found


def _as_object(payload: bytes) -> msgspec.Raw | None:
    try:
        return msgspec.Raw(payload) if isinstance(msgspec.json.decode(payload), dict) else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
