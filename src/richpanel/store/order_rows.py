"""Orders as stored: a fold of their own, with the owner whose figures they count in."""

from collections.abc import Collection, Iterable, Sequence

import msgspec
from sqlalchemy import Connection

from richpanel.core.order import OrderState, pack, unpack
from richpanel.store import schema
from richpanel.store.bulk import LISTED, delete, fetch, insert, listed, on_postgres, update

OrderKey = tuple[int, str]
"""The connector's number (its shop) and the order id (`semantics.md` 6)."""


class StoredOrder(msgspec.Struct):
    """An order; `number` is 0 until it is stored.

    `figure`: void, currency and net amount as last added to its owner's figures; None while no order event has come.
    """

    key: OrderKey
    state: OrderState
    number: int = 0
    owner: int = 0
    placed_at: int = 0
    figure: tuple[bool, str, str] | None = None


_encode = msgspec.json.Encoder().encode
_decode_figure = msgspec.json.Decoder(tuple[bool, str, str] | None).decode
_COLUMNS = "id, connector, order_id, owner, placed_at, figure, state"


def _read(rows: Iterable[Sequence[object]]) -> list[StoredOrder]:
    return [
        StoredOrder((connector, order_id), unpack(state), number, owner, placed_at, _decode_figure(figure))  # type: ignore[arg-type]
        for number, connector, order_id, owner, placed_at, figure, state in rows
    ]


def load(connection: Connection, keys: Iterable[OrderKey]) -> dict[OrderKey, StoredOrder]:
    """Load orders by key; unknown ones are left out."""
    wanted = set(keys)
    statement = f"SELECT {_COLUMNS} FROM orders WHERE connector = ? AND order_id IN {LISTED}"
    found: dict[OrderKey, StoredOrder] = {}
    for connector in {key[0] for key in wanted}:
        ids = [key[1] for key in wanted if key[0] == connector]
        for order in _read(fetch(connection, statement, connector, listed(ids))):
            found[order.key] = order
    return found


def of_profiles(connection: Connection, profiles: Iterable[int]) -> dict[OrderKey, StoredOrder]:
    """Load every order of which one of these profiles sent an event."""
    rows = fetch(
        connection,
        f'SELECT {_COLUMNS} FROM orders WHERE id IN (SELECT "order" FROM order_profiles WHERE profile IN {LISTED})',
        listed(set(profiles)),
    )
    return {order.key: order for order in _read(rows)}


def of_owner(
    connection: Connection, owner: int, *, limit: int, before: tuple[int, str, int] | None = None
) -> list[StoredOrder]:
    """Load a profile's orders, the one placed last first; `before` is the `place_of` the last one given.

    Of those placed at one instant the order id decides, not the number, which tells what arrived first.
    """
    rows = fetch(
        connection,
        f"SELECT {_COLUMNS} FROM orders "
        "WHERE owner = ? AND placed_at > 0 AND (placed_at, order_id, connector) < (?, ?, ?) "
        "ORDER BY placed_at DESC, order_id DESC, connector DESC LIMIT ?",
        owner,
        *(before or (1 << 62, "", 0)),
        limit,
    )
    return _read(rows)


def place_of(order: StoredOrder) -> tuple[int, str, int]:
    """Give an order's place in the list of its owner."""
    return (order.placed_at, order.key[1], order.key[0])


def save(connection: Connection, orders: Sequence[StoredOrder]) -> None:
    """Write orders and which profiles took part in them; new ones are numbered here."""
    number = _first_number(connection, sum(not order.number for order in orders))
    added, changed = [], []
    for order in orders:
        values = (order.owner, order.placed_at, _encode(order.figure).decode(), pack(order.state))
        is_new = not order.number
        if is_new:
            order.number = number
            number += 1
        if order.state.entries and is_new:
            added.append((order.number, *order.key, *values))
        elif order.state.entries:
            changed.append((*values, order.number))
    insert(connection, schema.orders, added)
    update(connection, schema.orders, changed, columns=("owner", "placed_at", "figure", "state"), keys=("id",))
    taken = {(entry.profile, o.number) for o in orders for entry in o.state.entries}
    insert(connection, schema.order_profiles, sorted(taken), ignore=True)


def _first_number(connection: Connection, count: int) -> int:
    """Give the first of so many numbers that no order has. On PostgreSQL others number orders, too."""
    if not on_postgres(connection):
        return int(fetch(connection, "SELECT coalesce(max(id), 0) + 1 FROM orders")[0][0])
    return int(fetch(connection, "SELECT take_numbers('order_numbers', ?)", count)[0][0]) if count else 0


def remove(connection: Connection, numbers: Iterable[int]) -> None:
    """Remove orders that have no events any more."""
    gone = [(number,) for number in numbers]
    delete(connection, schema.orders, gone, keys=("id",))
    delete(connection, schema.order_profiles, gone, keys=("order",))


def forget_events(connection: Connection, numbers: Iterable[int]) -> None:
    """Forget who took part in these orders; `save` notes it anew."""
    delete(connection, schema.order_profiles, [(number,) for number in numbers], keys=("order",))


def forget_parts(connection: Connection, profiles: Iterable[int], numbers: Collection[int]) -> None:
    """Forget that these profiles took part in these orders; `save` notes who does."""
    parts = sorted((profile, number) for profile in profiles for number in numbers)
    delete(connection, schema.order_profiles, parts, keys=("profile", "order"))


def forget_profiles(connection: Connection, profiles: Iterable[int]) -> None:
    """Forget in which orders these profiles took part."""
    delete(connection, schema.order_profiles, [(number,) for number in profiles], keys=("profile",))
