"""Deciding: what each destination of a message's source makes of it, once (`semantics.md` 7)."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import Connection

from richpanel.core.channel import CHANNEL_TYPE
from richpanel.core.codes import Code
from richpanel.core.inside import merged
from richpanel.core.message import TYPES
from richpanel.core.routing import decide, decision
from richpanel.process.definitions import Definitions, Route
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
    made: dict[tuple[str, tuple[Code | None, ...]], _Made] = {}
    chosen: list[tuple[Incoming, str]] = []
    connectors: dict[int, int] = {}
    for message in messages:
        if message.kind >= CHANNEL_TYPE:
            message.outcome = KEPT
            continue
        routes = definitions.routes.get(message.source.id, ())
        codes = tuple([_code(message, route) for route in routes])
        key = (message.source.id, codes)
        found = made.get(key)
        if found is None:
            found = made[key] = _make(routes, codes)
        chosen.append((message, found.text))
        message.outcome = found.outcome
        if found.outcome == KEPT:
            connectors[message.n] = found.connector
    numbers = memory.name(connection, {text for _, text in chosen})
    for message, text in chosen:
        message.decision = numbers[text]
    return connectors


class _Made(NamedTuple):
    """A distinct set of decisions: as JSON, and what it means at the built-in account."""

    text: str
    outcome: int
    connector: int


def _make(routes: Sequence[Route], codes: tuple[Code | None, ...]) -> _Made:
    """Name the decisions; the account keeps what any of its destinations keeps."""
    decisions = [decision(route.destination, code) for route, code in zip(routes, codes, strict=True)]
    text = _encode(decisions).decode()
    for route, each in zip(routes, decisions, strict=True):
        if each.outcome == "kept" and route.endpoint == "account" and route.connector is not None:
            return _Made(text, KEPT, route.connector)
    refused = next((each.outcome for each in decisions if each.outcome != "kept"), "filtered")
    return _Made(text, OUTCOMES.index(refused), 0)


def _code(message: Incoming, route: Route) -> Code | None:
    integrations = merged(message.meta.integrations, message.message.integrations)
    context = merged(message.meta.context, message.message.context)
    key_valid = route.connector is not None or route.endpoint != "account"
    return decide(TYPES[message.kind], integrations, context, key_valid)
