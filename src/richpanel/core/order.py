"""Orders: each a fold over all its events, whoever sent them (`semantics.md` 6).

The state is the set of the order's events, each with those of its fields that no newer event has replaced. That makes
it a function of the set: adding events in any order, or joining the states of two disjoint sets, gives the same bytes.
A replaced value is gone from the state, so taking an event away needs a fresh fold.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from richpanel.core.events import OrderKind, order_event, semantic
from richpanel.core.ids import clean_id
from richpanel.core.money import amount, encode_exact, text
from richpanel.core.stamps import Stamp

AMOUNTS: Final = frozenset({"total", "revenue", "subtotal", "shipping", "tax", "discount"})
"""The fields of an order that are money; they are shown as decimal strings."""

TRACKING: Final = frozenset({"tracking_company", "tracking_number", "tracking_url", "delivery_status"})
"""What answers "where is my order": any event of the order may carry it."""

DEFAULTS: Final = frozenset({"completed", "refunded", "cancelled"})
"""The kinds of events that stand for a status; Order Updated keeps the one there is."""

MAX_LISTED: Final = 500
"""Events that only name an order, or whose every field was replaced, are kept up to this many, the newest.

A template with one order id for everybody would otherwise make the state, and the cost of each event, grow without end.
Fields, refunds and what a view needs of first and last events are never given up.
"""

STATUS: Final = "order_status"
_ANY_EVENT: Final = TRACKING | {STATUS}  # What an event may set that is not Order Completed or Updated.
_SETTING: Final = frozenset({"completed", "updated"})
_SPELLINGS: Final = {
    "items": "products",
    "orderStatus": STATUS,
    "trackingCompany": "tracking_company",
    "trackingNumber": "tracking_number",
    "trackingUrl": "tracking_url",
    "trackingURL": "tracking_url",
    "deliveryStatus": "delivery_status",
}
_REFUNDED: Final = ("total", "revenue")  # Where a refund's amount stands, the first usable one.
_NOT_FIELDS: Final = frozenset({"order_id", "orderId", "richpanel_session_id"})


class Refund(msgspec.Struct, array_like=True, frozen=True):
    """What one Order Refunded gave back: `amount` as a decimal string in the order's currency, `items` as JSON."""

    amount: str | None = None
    items: bytes | None = None


class Entry(msgspec.Struct, array_like=True):
    """One event of an order. `fields` holds, as JSON, what it set and no newer event has replaced; keys are sorted."""

    t: int
    message: str
    source: str
    name: str
    profile: int
    fields: dict[str, bytes] = {}
    refund: Refund | None = None

    @property
    def stamp(self) -> Stamp:
        """The event's place in the order of messages."""
        return (self.t, self.message, self.source)

    @property
    def kind(self) -> OrderKind | None:
        """What the event does to the order; None where it only names it."""
        return order_event(self.name)


class OrderState(msgspec.Struct, array_like=True):
    """An order's events, sorted by stamp."""

    id: str
    entries: list[Entry] = []


class Marks(NamedTuple):
    """The events among an order's that a view looks for; each None where there is none."""

    first: Entry | None  # Of the four order events, like those below.
    completed: Entry | None  # The first Order Completed.
    default: Entry | None  # The last to set a default status.
    last: Entry | None


pack = msgspec.msgpack.Encoder().encode
unpack = msgspec.msgpack.Decoder(OrderState).decode


def order_id(name: str, properties: Mapping[str, Any]) -> str | None:
    """Tell which order an event is of, or None.

    It must be an event of Segment's specs. The four order events may also name the order by `id` alone, as the first
    e-commerce spec did. Values that stand for nothing (`undefined`, zeros) are no ids: strangers' orders would meet in
    them.
    """
    if semantic(name) is None:
        return None
    found = clean_id(properties.get("order_id")) or clean_id(properties.get("orderId"))
    return found or (clean_id(properties.get("id")) if order_event(name) else None)


def add(state: OrderState, name: str, properties: Mapping[str, Any], stamp: Stamp, profile: int) -> tuple[str, ...]:
    """Add an event named `name` that belongs to `profile`; give the names of amounts that were ignored as no numbers.

    `properties` must be decoded with `money.decode_exact`. Adding the same stamp again changes nothing.
    """
    at = bisect_left(state.entries, stamp, key=_stamp)
    if at < len(state.entries) and state.entries[at].stamp == stamp:
        return ()
    kind = order_event(name)
    fields, ignored = _fields(properties, everything=kind in _SETTING)
    refund = None
    if kind == "refunded":
        refund = _refund(properties)
        ignored += [key for key in _REFUNDED if properties.get(key) is not None and amount(properties[key]) is None]
    state.entries.insert(at, Entry(*stamp, name, profile, fields, refund))
    _settle(state)
    return tuple(ignored)


def merge(one: OrderState, other: OrderState) -> OrderState:
    """Join the states of two sets of events of the same order."""
    entries = {entry.stamp: msgspec.structs.replace(entry, fields=dict(entry.fields)) for entry in one.entries}
    for entry in other.entries:
        known = entries.get(entry.stamp)
        fields = entry.fields if known is None else dict(sorted({**known.fields, **entry.fields}.items()))
        entries[entry.stamp] = msgspec.structs.replace(entry, fields=dict(fields))
    joined = OrderState(one.id, [entries[stamp] for stamp in sorted(entries)])
    _settle(joined)
    return joined


def moved(state: OrderState, stamp: Stamp, profile: int) -> bool:
    """Note that an event belongs to `profile` now; tell whether that is news."""
    at = bisect_left(state.entries, stamp, key=_stamp)
    if at == len(state.entries) or state.entries[at].stamp != stamp or state.entries[at].profile == profile:
        return False
    state.entries[at].profile = profile
    return True


def owner(state: OrderState, is_customer: Callable[[int], bool]) -> int | None:
    """Give the profile of the order's newest event among customers, else of its newest event; None without events."""
    asked: dict[int, bool] = {}
    for entry in reversed(state.entries):
        if entry.profile not in asked:
            asked[entry.profile] = is_customer(entry.profile)
        if asked[entry.profile]:
            return entry.profile
    return state.entries[-1].profile if state.entries else None


def marks(entries: Sequence[Entry]) -> Marks:
    """Find the events that a view looks for among an order's sorted events."""
    first = completed = default = last = None
    for entry in entries:
        kind = entry.kind
        if kind is None:
            continue
        last = entry
        first = first or entry
        if kind == "completed":
            completed = completed or entry
        if kind in DEFAULTS:
            default = entry
    return Marks(first, completed, default, last)


def _stamp(entry: Entry) -> Stamp:
    return entry.stamp


def _fields(properties: Mapping[str, Any], *, everything: bool) -> tuple[dict[str, bytes], list[str]]:
    """Give the fields that an event sets, as JSON, and the names of amounts that are none."""
    fields: dict[str, bytes] = {}
    ignored: list[str] = []
    for given in sorted(properties, key=lambda key: key not in _SPELLINGS):  # Other spellings first: the spec's wins.
        key = _SPELLINGS.get(given, given)
        if key in _NOT_FIELDS or not (everything or key in _ANY_EVENT):
            continue
        value = _field(key, properties[given])
        if value is not None:
            fields[key] = value
        elif key in AMOUNTS and properties[given] is not None:
            ignored.append(key)
    return dict(sorted(fields.items())), ignored


def _field(key: str, value: Any) -> bytes | None:
    """Give a field's value as JSON, or None where it is unusable and sets nothing.

    Money, items, currency, status and tracking need a usable value, so that a `null` cannot wipe them; elsewhere `null`
    is a value like any other, and removes the field from view.
    """
    if key in AMOUNTS:
        money = amount(value)
        return None if money is None else encode_exact(text(money))
    if key == "products":
        return encode_exact(value) if isinstance(value, list) else None
    if key == "currency":
        return encode_exact(value.strip().upper()) if _is_text(value) else None
    if key == STATUS:
        return encode_exact(value) if _is_text(value) else None
    if key in TRACKING:
        return encode_exact(value) if _is_text(value) or type(value) is int else None
    return encode_exact(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not value.isspace() and value != ""


def _refund(properties: Mapping[str, Any]) -> Refund:
    amounts = (amount(properties.get(key)) for key in _REFUNDED)
    given = next((found for found in amounts if found is not None), None)
    items = properties.get("products")
    if not isinstance(items, list):
        items = properties.get("items")
    return Refund(
        None if given is None else text(given),
        encode_exact(items) if isinstance(items, list) else None,
    )


def _settle(state: OrderState) -> None:
    """Take replaced values away, newest per field; give up the oldest of too many events that hold nothing."""
    seen: set[str] = set()
    for entry in reversed(state.entries):
        if entry.fields:
            for key in seen & entry.fields.keys():
                del entry.fields[key]
            seen.update(entry.fields)
    if len(state.entries) > MAX_LISTED:
        _trim(state.entries)


def _trim(entries: list[Entry]) -> None:
    """Drop the oldest of too many events that hold nothing.

    An event once replaced, or no longer the first or last of its kind, stays so however many events join. So what is
    dropped from a part would be dropped from the whole, and the result is still a function of the set.
    """
    bare = [at for at, entry in enumerate(entries) if not entry.fields and entry.refund is None]
    if len(bare) <= MAX_LISTED:
        return
    pinned = {id(entry) for entry in marks(entries)}
    bare = [at for at in bare if id(entries[at]) not in pinned]
    for at in reversed(bare[:-MAX_LISTED]):
        del entries[at]
