"""Deciding: what each destination of a message's source makes of it, once (`semantics.md` 7)."""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Connection

from richpanel.core.channel import CHANNEL_TYPE
from richpanel.core.codes import Code
from richpanel.core.cut import Cut
from richpanel.core.filters import Filters, Verdict
from richpanel.core.inside import merged
from richpanel.core.message import TYPES
from richpanel.core.replaying import Again
from richpanel.core.routing import Decision, Ruling, decide, decision
from richpanel.process import outgoing
from richpanel.process.definitions import Definitions, Route
from richpanel.process.earlier import Earlier
from richpanel.process.incoming import IDENTIFY, Incoming, cut_short, make_whole
from richpanel.process.memory import Memory
from richpanel.store import names
from richpanel.store.computations import ENGAGE
from richpanel.store.destinations import ACCOUNT
from richpanel.store.message_rows import StoredMessage
from richpanel.store.names import WHOLE

KEPT: Final = 0
TOLD: Final = 4
"""The outcome of what tells of audiences and computed traits: an output, never folded here (`semantics.md` 8)."""
OUTCOMES: Final = ("kept", "unsupported", "filtered", "failed", "told")
"""What became of a message at the account, by the number that its row carries."""

_FIRST_CONNECTOR: Final = 1


class Stored(Decision, frozen=True, omit_defaults=True):
    """A decision as stored: with the connector under which the account keeps the message, where it does.

    An order is keyed by it, and the destination may get the key of another one later.
    """

    connector: int | None = None


_encode = msgspec.json.Encoder().encode
_decode_any = msgspec.json.Decoder().decode
_decode = msgspec.json.Decoder(list[Stored]).decode


def decide_all(
    connection: Connection, memory: Memory, definitions: Definitions, messages: list[Incoming]
) -> dict[int, int]:
    """Decide about each message; give, by message number, the connector under which the account keeps it.

    The decisions are written once per distinct set; a message's row refers to it. While a state is made anew, a message
    that was decided about keeps its decision. What filters take from a message at the account is taken here.
    """
    made: dict[tuple[str, tuple[Ruling, ...]], _Made] = {}
    again = {} if memory.earlier is None else _again(definitions, memory.earlier.of(messages))
    chosen: list[tuple[Incoming, str]] = []
    connectors: dict[int, int] = {}
    for message in messages:
        if message.kind >= CHANNEL_TYPE:
            message.outcome = KEPT
            continue
        if message.whole is not None:
            make_whole(message)
        found = again.get(message.n)
        if found is None:
            routes = definitions.routes.get(message.source.id, ())
            rulings = tuple([_ruling(message, route) for route in routes])
            key = (message.source.id, rulings)
            found = made.get(key)
            if found is None:
                found = made[key] = _make(routes, rulings)
        chosen.append((message, found.text))
        _settle(message, found, definitions, connectors)
    numbers = memory.name(connection, {text for _, text in chosen}, longest=WHOLE)
    for message, text in chosen:
        message.decision = numbers[text]
    if definitions.outside:
        outgoing.note(chosen, definitions.outside)
    return connectors


def decide_again(
    connection: Connection,
    memory: Memory,
    definitions: Definitions,
    named: Again,
    stored: Sequence[tuple[StoredMessage, Incoming]],
) -> dict[int, int]:
    """Decide about stored messages again for one destination, unless it keeps them; the other decisions stay.

    Fills in outcomes, decisions, and where the destination is outside what goes there. Gives, by number, the connectors
    of those that the account did not keep and does now: what filters take of them is taken here. A message whose source
    is not connected any more stays as it is.
    """
    destination = named.destination
    texts = names.by_number(connection, {row.decisions for row, _ in stored if row.decisions is not None})
    chosen: list[tuple[Incoming, str]] = []
    connectors: dict[int, int] = {}
    for row, message in stored:
        message.outcome, message.decision = row.outcome, row.decisions or 0
        route = next((r for r in definitions.routes.get(message.source.id, ()) if r.destination == destination), None)
        before = _decode(texts[row.decisions]) if row.decisions is not None else []
        if route is None or any(each.destination == destination and each.outcome == "kept" for each in before):
            continue
        make_whole(message)
        # Behind the others: of several that keep a message at the account the first tells how, and goes on to.
        made = [each for each in before if each.destination != destination]
        made.append(msgspec.structs.replace(_stored(route, _ruling(message, route)), replay=named.replay))
        found = _meant(_encode(made).decode(), made)
        chosen.append((message, found.text))
        if row.outcome == KEPT:
            continue
        _settle(message, found, definitions, connectors)
    numbers = memory.name(connection, {text for _, text in chosen}, longest=WHOLE)
    for message, text in chosen:
        message.decision = numbers[text]
    outgoing.note(chosen, {id_: number for id_, number in definitions.outside.items() if id_ == destination})
    return connectors


def _settle(message: Incoming, found: "_Made", definitions: Definitions, connectors: dict[int, int]) -> None:
    """Give a message its outcome at the account, with the connector that keeps it and what filters leave of it."""
    message.outcome = TOLD if message.source.type == ENGAGE else found.outcome
    if message.outcome == KEPT:
        connectors[message.n] = found.connector
        if found.cut is not None:
            cut_short(message, found.cut, definitions.account.blocked_ids)


class _Made(NamedTuple):
    """A distinct set of decisions: as JSON, and what it means at the built-in account."""

    text: str
    outcome: int
    connector: int
    cut: Cut | None = None


def _make(routes: Sequence[Route], rulings: tuple[Ruling, ...]) -> _Made:
    """Name the decisions."""
    decisions = [_stored(route, ruling) for route, ruling in zip(routes, rulings, strict=True)]
    return _meant(_encode(decisions).decode(), decisions)


def _meant(text: str, decisions: Sequence[Stored]) -> _Made:
    """Tell what decisions mean at the account: it keeps what any of its destinations keeps, as the first does."""
    for each in decisions:
        if each.connector is not None:
            return _Made(text, KEPT, each.connector, each.cut)
    refused = next((each.outcome for each in decisions if each.outcome != "kept"), "filtered")
    return _Made(text, OUTCOMES.index(refused), 0)


def _stored(route: Route, ruling: Ruling) -> Stored:
    made = decision(route.destination, ruling)
    connector = route.connector if made.code is None and route.endpoint == "account" else None
    return Stored(made.destination, made.outcome, made.code, made.filter, made.cut, made.reason, None, connector)


def _again(definitions: Definitions, earlier: dict[int, Earlier]) -> dict[int, _Made]:
    """Take decisions up as they were made."""
    known: dict[Earlier, _Made] = {}
    for each in set(earlier.values()):
        decisions = _decode(each.text)
        known[each] = _meant(each.text, decisions)
        if each.outcome == KEPT != known[each].outcome:  # Stored when decisions did not name the connector yet.
            kept = {made.destination for made in decisions if made.outcome == "kept"}
            known[each] = _Made(each.text, KEPT, _connector_now(definitions, kept))
    return {number: known[each] for number, each in earlier.items()}


def _connector_now(definitions: Definitions, destinations: set[str]) -> int:
    """Give the connector of a decision that was stored without it: what its destination has now, or the first."""
    for routes in definitions.routes.values():
        for route in routes:
            if route.destination in destinations and route.connector is not None:
                return route.connector
    return _FIRST_CONNECTOR


def _ruling(message: Incoming, route: Route) -> Ruling:
    integrations = merged(message.meta.integrations, message.message.integrations)
    context = merged(message.meta.context, message.message.context)
    key_valid = route.endpoint != "account" or _works(route, message.meta.at)
    judge = None if route.filters is None else _judge(message, route.filters, integrations, context)
    called = route.destination if message.source.type == ENGAGE else None
    ruling = decide(TYPES[message.kind], integrations, context, key_valid, judge, called=called)
    if route.endpoint != ACCOUNT and message.kind == IDENTIFY and message.uid is None:
        kept = ruling.code is None if isinstance(ruling, Verdict) else ruling is None
        return Code.UID_REQUIRED if kept else ruling
    return ruling


def _works(route: Route, received_at: int) -> bool:
    """Tell whether the destination's API Key is one of the account's for a message received then."""
    return route.connector is not None and (route.key_ends_at is None or received_at < route.key_ends_at)


def _judge(
    message: Incoming, filters: Filters, integrations: msgspec.Raw, context: msgspec.Raw
) -> Callable[[], Verdict]:
    """Ask filters about a message, decoded only if it comes to that."""
    return lambda: filters.judge(as_shown(message, integrations, context))


def as_shown(message: Incoming, integrations: msgspec.Raw, context: msgspec.Raw) -> dict[str, Any]:
    """Give a call as its trace shows it: its batch's fields merged in, no write key, the client's address."""
    shown: dict[str, Any] = _decode_any(message.body)
    shown.pop("writeKey", None)
    shown.update(type=TYPES[message.kind], messageId=message.message_id)
    for key, raw in (("context", context), ("integrations", integrations)):
        if raw:
            shown[key] = _decode_any(raw)
    if message.meta.ip is not None:
        around = shown.setdefault("context", {}) or {}
        shown["context"] = {"ip": message.meta.ip, **around} if isinstance(around, dict) else around
    return shown
