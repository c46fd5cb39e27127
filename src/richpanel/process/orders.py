"""Orders of a batch: add their events, find their owners, and carry the difference into the owners' figures."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from sqlalchemy import Connection

from richpanel.core import order as orders
from richpanel.core.events import order_event, semantic
from richpanel.core.figures import worth
from richpanel.core.money import decode_exact, minus, plus, text
from richpanel.core.order import OrderState
from richpanel.core.profile import Currency, Profile
from richpanel.core.stamps import Stamp
from richpanel.process.folding import Folding
from richpanel.process.incoming import Incoming
from richpanel.store import order_rows as stored
from richpanel.store import profile_rows as profiles
from richpanel.store.account import AccountSettings
from richpanel.store.order_rows import OrderKey, StoredOrder

_TRACK = 1


def of_message(message: Incoming) -> tuple[str, dict[str, object]] | None:
    """Give the order id and the exactly decoded properties of an order's event; None for other messages."""
    if message.kind != _TRACK or message.event is None or semantic(message.event) is None:
        return None
    raw = memoryview(message.message.properties).tobytes()
    if b"rder" not in raw and b"\\u" not in raw and order_event(message.event) is None:  # Keys may be escaped.
        return None
    properties = decode_exact(raw) if raw else None
    if not isinstance(properties, dict):
        return None
    found = orders.order_id(message.event, properties)
    return None if found is None else (found, properties)


class Orders:
    """The orders that a batch touches, until they are written."""

    def __init__(self, connection: Connection, account: AccountSettings) -> None:
        self.connection = connection
        self.account = account
        self.open: dict[OrderKey, StoredOrder] = {}

    def add(self, folding: Folding, events: list[tuple[OrderKey, Incoming, dict[str, object]]]) -> None:
        """Add events to their orders; each message's trace says which order it changed."""
        missing = {key for key, _, _ in events} - self.open.keys()
        self.open.update(stored.load(self.connection, missing))
        for key, message, properties in events:
            order = self.open.setdefault(key, StoredOrder(key, OrderState(key[1])))
            ignored = orders.add(order.state, message.event or "", properties, message.stamp, message.owner)
            change = {"what": "order", "orderId": key[1]}
            if ignored:
                change["ignored"] = list(ignored)  # type: ignore[assignment]
            folding.changes.setdefault(message.n, []).append(change)

    @property
    def profiles(self) -> set[int]:
        """Who has part in these orders."""
        return {entry.profile for order in self.open.values() for entry in order.state.entries}

    def take(self, keys: set[OrderKey]) -> list[StoredOrder]:
        """Take up these orders."""
        self.open.update(stored.load(self.connection, keys - self.open.keys()))
        return [self.open[key] for key in keys]

    def take_of(self, profiles_changed: Iterable[int]) -> None:
        """Take up the orders of profiles that became customers: they may own them now."""
        for key, order in stored.of_profiles(self.connection, profiles_changed).items():
            self.open.setdefault(key, order)

    def hand_over(self, joins: dict[int, int]) -> None:
        """Give visitors' events to the profiles that took them over."""
        for key, order in stored.of_profiles(self.connection, joins).items():
            taken = self.open.setdefault(key, order)
            for entry in taken.state.entries:
                entry.profile = joins.get(entry.profile, entry.profile)
        stored.forget_profiles(self.connection, joins)

    def reassign(
        self,
        known: Mapping[OrderKey, StoredOrder],
        owners: Mapping[tuple[OrderKey, Stamp], int],
        refolded: set[int],
    ) -> None:
        """Follow a refold: each event of these orders belongs to the profile in whose history it was found."""
        changed = set()
        for (key, stamp), profile in owners.items():
            order = self.open.get(key, known[key])
            if orders.moved(order.state, stamp, profile):
                self.open[key] = order
                changed.add(order.number)
        stored.forget_parts(self.connection, refolded, changed)

    def write(self, folding: Folding) -> None:
        """Find each order's owner, carry the figures, write the orders."""
        if not self.open:
            return
        customers = self._customers(folding)
        touched = {order.owner for order in self.open.values() if order.owner}
        for order in self.open.values():
            found = orders.owner(order.state, customers.__contains__)
            touched.add(found or 0)
        touched.discard(0)
        folding.load(touched)
        for order in self.open.values():
            self._settle(folding, order, customers)
        stored.remove(self.connection, [o.number for o in self.open.values() if o.number and not o.state.entries])
        stored.save(self.connection, list(self.open.values()))

    def _customers(self, folding: Folding) -> set[int]:
        asked = {entry.profile for order in self.open.values() for entry in order.state.entries}
        memory = folding.memory.profiles
        known = {number for number in asked if number in memory}
        customers = {number for number in known if memory[number].customer is not None}
        unknown = asked - known
        return customers | profiles.customers_among(self.connection, unknown) if unknown else customers

    def _settle(self, folding: Folding, order: StoredOrder, customers: set[int]) -> None:
        """Take the order's old figure from its old owner, give the new one to the new owner."""
        if order.figure is not None and order.owner:
            _count(_taken(folding, order.owner), order.figure, -1)
        order.owner = orders.owner(order.state, customers.__contains__) or 0
        found = worth(order.state, self.account.currency, self.account.void_statuses)
        order.figure = None if found is None else (found.void, found.currency, text(found.net))
        order.placed_at = 0 if found is None else found.placed_at
        if order.figure is not None and order.owner:
            _count(_taken(folding, order.owner), order.figure, 1)


def _taken(folding: Folding, number: int) -> Profile | None:
    profile = folding.memory.profiles.get(number)
    if profile is None:
        return None
    return folding.take(number, profile.seen).profile


def _count(profile: Profile | None, figure: tuple[bool, str, str], sign: int) -> None:
    if profile is None:
        return
    void, currency, amount = figure
    profile.orders += sign
    if void:
        return
    known = profile.currencies.setdefault(currency, Currency(0, Decimal(0)))
    known.orders += sign
    known.total = plus(known.total, Decimal(amount)) if sign > 0 else minus(known.total, Decimal(amount))
    if not known.orders:
        del profile.currencies[currency]
