"""Deciding: what each destination of a message's source makes of it, once (`semantics.md` 7)."""

from typing import Final

import msgspec
from sqlalchemy import Connection

from richpanel.core.codes import Code
from richpanel.core.inside import merged
from richpanel.core.message import TYPES
from richpanel.core.routing import Decision, decide, decision
from richpanel.process.definitions import Definitions, Route
from richpanel.process.folding import CHANNEL
from richpanel.process.incoming import Incoming
from richpanel.process.memory import Memory

KEPT: Final = 0
OUTCOMES: Final = ("kept", "unsupported", "filtered", "failed")
"""What became of a message at the account, by the number that its row carries."""

_encode = msgspec.json.Encoder().encode


def decide_all(
    connection: Connection, memory: Memory, definitions: Definitions, messages: list[Incoming]
) -> dict[int, int]:
    """Decide about each message; give, by message number, the connector under which the account keeps it.

    The decisions are written once per distinct set; a message's row refers to it.
    """
    sets: dict[tuple[Decision, ...], str] = {}
    chosen: list[tuple[Incoming, str]] = []
    connectors: dict[int, int] = {}
    for message in messages:
        if message.kind == CHANNEL:
            message.outcome = KEPT
            continue
        routes = definitions.routes.get(message.source.id, ())
        decisions = tuple(decision(route.destination, _code(message, route)) for route in routes)
        text = sets.get(decisions)
        if text is None:
            text = sets[decisions] = _encode(decisions).decode()
        chosen.append((message, text))
        outcome, connector = _at_the_account(routes, decisions)
        message.outcome = OUTCOMES.index(outcome)
        if message.outcome == KEPT:
            connectors[id(message)] = connector
    numbers = memory.name(connection, sets.values())
    for message, text in chosen:
        message.decision = numbers[text]
    return connectors


def _code(message: Incoming, route: Route) -> Code | None:
    integrations = merged(message.meta.integrations, message.message.integrations)
    context = message.message.context if integrations else merged(message.meta.context, message.message.context)
    key_valid = route.connector is not None or route.endpoint != "account"
    return decide(TYPES[message.kind], integrations, context, key_valid)


def _at_the_account(routes: tuple[Route, ...] | list[Route], decisions: tuple[Decision, ...]) -> tuple[str, int]:
    """Tell what the built-in account makes of a message: it keeps what any of its destinations keeps."""
    first = "filtered"
    for number, (route, made) in enumerate(zip(routes, decisions, strict=True)):
        if made.outcome == "kept" and route.endpoint == "account" and route.connector is not None:
            return "kept", route.connector
        if number == 0:
            first = made.outcome if made.outcome != "kept" else "filtered"
    return first, 0
