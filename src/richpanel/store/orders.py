"""A customer's orders as people see them (contract.md, "REST API")."""

import msgspec
from sqlalchemy import Connection

from richpanel.core import figures
from richpanel.core.timestamps import iso
from richpanel.store import order_rows
from richpanel.store.account import AccountSettings
from richpanel.store.paging import Page, read_cursor, write_cursor


class RefundView(msgspec.Struct, rename="camel"):
    """One refund: its amount as a decimal string, its items, and when."""

    amount: str | None
    items: msgspec.Raw | None
    refunded_at: str


class OrderEvent(msgspec.Struct, rename="camel"):
    """One event of an order: its name, when, and the message that brought it."""

    event: str
    timestamp: str
    message_id: str
    source: str


class OrderView(msgspec.Struct, rename="camel", kw_only=True):
    """An order: money as decimal strings; `net` is what counts for `ltv` unless the order is void."""

    order_id: str
    status: str | None
    total: str | None
    currency: str
    items: msgspec.Raw
    refunds: list[RefundView]
    fulfillment: dict[str, msgspec.Raw]
    properties: dict[str, msgspec.Raw]
    placed_at: str
    updated_at: str
    void: bool
    net: str
    events: list[OrderEvent]


def list_orders(
    connection: Connection, account: AccountSettings, profile: int, *, cursor: str | None, limit: int
) -> Page[OrderView]:
    """List a profile's orders, the one placed last first."""
    at = read_cursor(cursor, int, str, int)
    found = order_rows.of_owner(connection, profile, limit=limit + 1, before=at)
    shown = [_shown(order, account) for order in found[:limit]]
    more = write_cursor(*order_rows.place_of(found[limit - 1])) if len(found) > limit else None
    return Page([order for order in shown if order is not None], more)


def _shown(order: order_rows.StoredOrder, account: AccountSettings) -> OrderView | None:
    seen = figures.view(order.state, account.currency, account.void_statuses)
    if seen is None:
        return None
    return OrderView(
        order_id=seen.order_id,
        status=seen.status,
        total=seen.total,
        currency=seen.currency,
        items=seen.items,
        refunds=[RefundView(refund.amount, refund.items, iso(refund.t)) for refund in seen.refunds],
        fulfillment=seen.fulfillment,
        properties=seen.properties,
        placed_at=iso(seen.placed_at),
        updated_at=iso(seen.updated_at),
        void=seen.void,
        net=seen.net,
        events=[OrderEvent(event.event, iso(event.t), event.message_id, event.source) for event in seen.events],
    )
