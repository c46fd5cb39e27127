"""Outgoing: which messages the destinations outside are to get, by what was decided (`semantics.md` 7 and 9)."""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from sqlalchemy import Connection

from richpanel.process.incoming import Incoming
from richpanel.store import outbox

_BULK_DOOR: Final = "import"


class _Made(msgspec.Struct):
    """A decision; the connector is what the account keeps a message under."""

    destination: str
    outcome: str
    connector: int | None = None


_decode = msgspec.json.Decoder(list[_Made]).decode


def note(chosen: Iterable[tuple[Incoming, str]], outside: Mapping[str, int]) -> None:
    """Note of messages, each with its decisions as JSON, which destinations outside get it: `outside` numbers them."""
    known: dict[str, tuple[int, ...]] = {}
    for message, text in chosen:
        if text not in known:
            known[text] = tuple(
                outside[made.destination]
                for made in _decode(text)
                if made.outcome == "kept" and made.connector is None and made.destination in outside
            )
        message.outgoing = known[text]


def write(connection: Connection, messages: Iterable[Incoming]) -> None:
    """Put messages into the outbox."""
    outbox.add(
        connection,
        [
            (m.place, destination, m.n, m.identity, m.alias, outbox.BULK if m.meta.door == _BULK_DOOR else outbox.LIVE)
            for m in messages
            for destination in m.outgoing
        ],
    )
