"""Messages as the reference takes them: what counts, and in which order (semantics.md 1, 7)."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from richpanel.core.ids import clean_id
from richpanel.core.manual import MANUAL_TYPES
from richpanel.core.timestamps import parse
from richpanel.process.repeats import digest
from tests.process.reference_filters import after

Stamp = tuple[int, str, str]


class Arrival(NamedTuple):
    """One item as it arrived. `shop` stands for the connector under which its source's messages are kept.

    `rules` are the filters of the destination there (`reference_filters`).
    """

    received: int
    source: str
    source_type: str
    shop: str
    item: dict[str, Any]
    raw: bytes
    rules: tuple[str, ...] = ()


class Message(NamedTuple):
    """A message that counts."""

    stamp: Stamp
    kind: str
    item: dict[str, Any]
    source_type: str
    shop: str
    rules: tuple[str, ...] = ()

    @property
    def t(self) -> int:
        return self.stamp[0]

    @property
    def uid(self) -> str | None:
        return clean_id(self.item.get("uid" if self.kind in MANUAL_TYPES else "userId"))

    @property
    def anonymous(self) -> str | None:
        return clean_id(self.item.get("anonymousId"))

    @property
    def traits(self) -> dict[str, Any]:
        return self.item.get("traits") or {}

    @property
    def properties(self) -> dict[str, Any]:
        return self.item.get("properties") or {}

    @property
    def context(self) -> dict[str, Any]:
        return self.item.get("context") or {}

    @property
    def sender(self) -> dict[str, Any]:
        return self.item.get("from") or {}


def counting(arrivals: Iterable[Arrival]) -> list[Message]:
    """Of several with one id of one source the least (receivedAt, digest); those that are kept; in the order."""
    return [filtered(message) for message in all_counting(arrivals) if is_kept(message)]


def all_counting(arrivals: Iterable[Arrival]) -> list[Message]:
    """The same, whether they are kept or not."""
    first: dict[tuple[str, str], Arrival] = {}
    for each in arrivals:
        key = (each.source, each.item["messageId"])
        if key not in first or (each.received, digest(each.raw)) < (first[key].received, digest(first[key].raw)):
            first[key] = each
    return sorted(map(message_of, first.values()), key=lambda message: message.stamp)


def message_of(arrival: Arrival) -> Message:
    """An arrival as a message, were it to count."""
    given = parse(arrival.item.get("timestamp"))
    t = arrival.received if given is None else min(given, arrival.received)
    kind = "channel" if "from" in arrival.item else arrival.item["type"]
    stamp = (t, arrival.item["messageId"], arrival.source)
    return Message(stamp, kind, arrival.item, arrival.source_type, arrival.shop, arrival.rules)


def is_kept(message: Message) -> bool:
    """7: by type, by the integrations object (the generator knows `Richpanel` and `All` alone), by the filters."""
    if message.kind in ("channel", *MANUAL_TYPES):
        return True
    switches = message.item.get("integrations", {})
    return (
        message.kind in ("identify", "page", "track")
        and bool(switches.get("Richpanel", switches.get("All", True)))
        and after(message.rules, message.item) is not None
    )


def filtered(message: Message) -> Message:
    """7: what filters take from a message is as if it had not come."""
    if message.kind in ("channel", *MANUAL_TYPES):
        return message
    return message._replace(item=after(message.rules, message.item) or {})
