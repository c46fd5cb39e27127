"""Payloads: what a stored message says to Richpanel now, in its words (facts of Richpanel 9.4, `semantics.md` 9)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Connection

from richpanel.core import wire
from richpanel.core.codes import Code
from richpanel.core.cut import Cut
from richpanel.core.inside import is_absent, merged
from richpanel.core.message import TYPES, decode_message
from richpanel.core.money import decode_exact
from richpanel.core.profile import Profile
from richpanel.core.record import BodyGone, Meta
from richpanel.core.retrying import Status
from richpanel.core.superseding import current
from richpanel.core.traits import contact
from richpanel.store import memberships, message_rows, names, profile_rows
from richpanel.store.account import AccountSettings
from richpanel.store.bodies import Bodies
from richpanel.store.deliveries import Delivery
from richpanel.store.message_rows import StoredMessage
from richpanel.store.sources import SourceRow

KEPT: Final = 0
"""The outcome of a message that is part of the account's state."""
TOLD: Final = 4
"""The outcome of one that tells of an audience or a computed trait: no traits of the customer's, but about them."""
_IDENTIFY: Final = TYPES.index("identify")


class Payload(NamedTuple):
    """What is to be sent, without key, time of sending and signature."""

    delivery: Delivery
    event: dict[str, Any]


class Unsent(NamedTuple):
    """There is nothing to send any more, and why."""

    delivery: Delivery
    status: Status
    code: Code


class Strayed(NamedTuple):
    """The message has another number: a state that was made anew has taken the place of the one it was read in."""

    delivery: Delivery


Prepared = Payload | Unsent | Strayed


class _Made(msgspec.Struct):
    """What a destination decided, as far as it matters here."""

    destination: str
    cut: Cut | None = None


_decode_decisions = msgspec.json.Decoder(list[_Made]).decode


class Known(NamedTuple):
    """What is known beside the state: the account's settings, its sources by number, and whom this is for.

    `destination` is its id; `exact` asks for what another installation of ours needs to read everything back.
    `computations` numbers the audiences and computed traits, by id.
    """

    account: AccountSettings
    sources: Mapping[int, SourceRow]
    destination: str
    exact: bool
    computations: Mapping[str, int] = {}


def prepare(connection: Connection, bodies: Bodies, known: Known, deliveries: Sequence[Delivery]) -> list[Prepared]:
    """Say each message in Richpanel's words, with the values of now. `connection` sees one state throughout."""
    rows = message_rows.load(connection, [each.n for each in deliveries])
    found = [rows[each.n] for each in deliveries if _is_there(rows, each)]
    bodies.ahead(found)
    people = profile_rows.load(
        connection, {row.identity for row in found if row.type == _IDENTIFY and row.outcome in (KEPT, TOLD)}
    )
    decided = names.by_number(connection, {row.decisions for row in found if row.decisions is not None})
    made: list[Prepared] = []
    heads: dict[int, Meta] = {}  # Those of one record share it, and are mostly said together.
    for delivery in deliveries:
        if not _is_there(rows, delivery):
            made.append(Strayed(delivery))
            continue
        row = rows[delivery.n]
        cut = _cut(decided.get(row.decisions or 0), known.destination)
        person = people.get(row.identity) if row.type == _IDENTIFY and row.outcome in (KEPT, TOLD) else None
        try:
            call = _call(bodies, row, cut, heads)
            if row.outcome == TOLD:
                _tell_anew(connection, call, row, known)
            made.append(_said(call, row, known, delivery, person))
        except BodyGone:
            made.append(Unsent(delivery, "failed", Code.BODY_GONE))
        except (ValueError, msgspec.DecodeError, RecursionError):
            made.append(Unsent(delivery, "failed", Code.NOT_DELIVERABLE))
    return made


def _is_there(rows: Mapping[int, StoredMessage], delivery: Delivery) -> bool:
    row = rows.get(delivery.n)
    return row is not None and row.place == delivery.place


def _cut(decisions: str | None, destination: str) -> Cut | None:
    if decisions is None:
        return None
    return next((made.cut for made in _decode_decisions(decisions) if made.destination == destination), None)


def _call(bodies: Bodies, row: StoredMessage, cut: Cut | None, heads: dict[int, Meta]) -> dict[str, Any]:
    """Read a call whole: with its id, with what its batch says for all its calls, without what filters took."""
    body = message_rows.body(bodies, row.place, row.size)
    head = row.place - row.lead
    meta = heads.get(head)
    if meta is None:
        meta = heads[head] = message_rows.meta(bodies, row.place, row.lead)
    call: dict[str, Any] = decode_exact(body)
    call["type"] = TYPES[row.type]
    if call.get("messageId") in (None, ""):
        call["messageId"] = meta.ids.get(row.item)
    context = call.get("context")
    if not is_absent(meta.context):
        around = merged(meta.context, decode_message(body).context)
        context = decode_exact(around) if around else None
    if meta.ip is not None:
        context = {"ip": meta.ip, **context} if isinstance(context, Mapping) else {"ip": meta.ip}
    call["context"] = context
    return call if cut is None else cut.apply(call)


def _tell_anew(connection: Connection, call: dict[str, Any], row: StoredMessage, known: Known) -> None:
    """Have an identify of an audience, or of a computed trait, say what was told last: the world is to know that."""
    given, context = call.get("traits"), call.get("context")
    if not isinstance(given, dict) or not isinstance(context, Mapping):
        return
    personas = context.get("personas", {})
    number = known.computations.get(personas.get("computation_id", ""))
    told = {} if number is None else memberships.told(connection, number, [row.identity])
    if row.identity in told:
        call["traits"] = {**given, personas["computation_key"]: told[row.identity].value}


def _said(
    call: dict[str, Any], row: StoredMessage, known: Known, delivery: Delivery, person: Profile | None
) -> Prepared:
    email = None
    if person is not None:
        given = call.get("traits")
        if isinstance(given, Mapping) and row.outcome == KEPT:
            call["traits"], is_empty = current(given, person.traits, person.carried_email)
            if is_empty:
                return Unsent(delivery, "superseded", Code.SUPERSEDED)
        if _is_computed(call):
            email = contact(person.traits, person.carried_email).email
    source = known.sources.get(row.source)
    event = wire.payload(
        call,
        row.t,
        email=email,
        source_type=None if source is None else source.type,
        exact=known.exact,
        blocked=known.account.blocked_ids,
    )
    return Payload(delivery, event)


def _is_computed(call: Mapping[str, Any]) -> bool:
    """Tell whether it comes from an audience or a computed trait (facts of Segment, 7.3): those name no email."""
    context = call.get("context")
    return isinstance(context, Mapping) and isinstance(context.get("personas"), Mapping)
