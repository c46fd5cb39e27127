"""What an order comes to, and what a person's orders come to (`semantics.md` 6).

Names and meanings of the figures are those of Richpanel's built-in customer fields (facts of Richpanel 3.2).
"""

from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from typing import Final, NamedTuple

import msgspec

from richpanel.core.money import average, decode_exact, minus, text, total
from richpanel.core.order import STATUS, TRACKING, Entry, Marks, OrderState, marks

VOID_STATUSES: Final = frozenset({"cancelled", "canceled", "refunded", "voided"})
"""Statuses that take an order out of the money figures, in lower case with spaces (`semantics.md` 6; a setting)."""

_SHOWN_APART: Final = TRACKING | {STATUS, "total", "currency", "products"}
_SPACES: Final = str.maketrans("_-", "  ")
_NOTHING: Final = Decimal(0)


class RefundView(msgspec.Struct, rename="camel"):
    """One refund: its amount (a decimal string, None where it named none), its items, and when (ms UTC)."""

    amount: str | None
    items: msgspec.Raw | None
    t: int


class Listed(msgspec.Struct, rename="camel"):
    """An event of an order: when (ms UTC), its name as given, and the ids of its message and source."""

    t: int
    event: str
    message_id: str
    source: str


class Worth(NamedTuple):
    """What one order adds to its owner's figures: `net` is its total less refunds, in `currency`, unless it is void."""

    currency: str
    net: Decimal
    void: bool
    placed_at: int


class OrderView(msgspec.Struct, rename="camel", kw_only=True):
    """An order as people see it. Money is decimal strings, times are ms UTC, `Raw` values are JSON as given.

    `net` is what counts for `ltv` unless the order is void. `properties` are the fields that have no place of their
    own; the money among them (revenue, subtotal, shipping, tax, discount) is decimal strings too.
    """

    order_id: str
    status: str | None
    total: str | None
    currency: str
    items: msgspec.Raw
    refunds: list[RefundView]
    fulfillment: dict[str, msgspec.Raw]
    properties: dict[str, msgspec.Raw]
    events: list[Listed]
    placed_at: int
    updated_at: int
    void: bool
    net: str


class Figures(msgspec.Struct, rename="camel", kw_only=True):
    """What a person's orders come to. Money is decimal strings, times are ms UTC; None where there is no such order."""

    orders_count: int = 0
    ltv: str = "0.00"
    aov: str | None = None
    ltv_by_currency: dict[str, str] = {}
    order_ids: list[str] = []
    first_order_at: int | None = None
    last_order_at: int | None = None
    last_order_number: str | None = None
    last_order_created_at: int | None = None
    last_order_amount: str | None = None
    last_order_tax_amount: str | None = None
    last_order_shipping_amount: str | None = None
    last_order_shipping_method: str | None = None
    last_order_payment_method: str | None = None
    last_order_shipping_date: str | None = None
    last_order_status_url: str | None = None
    last_order_tracking_company: str | None = None
    last_order_tracking_number: str | None = None
    last_order_tracking_url: str | None = None
    last_order_delivery_status: str | None = None


def is_void(status: str | None, void_statuses: Collection[str] = VOID_STATUSES) -> bool:
    """Tell whether a status takes its order out of the money figures; `_` and `-` count as spaces, case does not."""
    return status is not None and status.translate(_SPACES).strip().lower() in void_statuses


def _known(state: OrderState) -> dict[str, bytes]:
    """Give the order's fields; each stands with the newest event that set it."""
    return {key: value for entry in state.entries for key, value in entry.fields.items()}


def _status(state: OrderState, found: Marks) -> str | None:
    """The newest `order_status` wins over the newest default at the same or an older `t`."""
    default = found.default
    given = next((entry for entry in state.entries if STATUS in entry.fields), None)
    if given is not None and (default is None or default.t <= given.t):
        return str(decode_exact(given.fields[STATUS]))
    return None if default is None else default.kind


def _money(value: bytes | None) -> Decimal | None:
    return None if value is None else Decimal(decode_exact(value))


def _net(state: OrderState, fields: dict[str, bytes]) -> Decimal:
    """Total, else revenue, else nothing, less what was refunded."""
    gross = _money(fields.get("total", fields.get("revenue")))
    refunded = total(
        Decimal(entry.refund.amount) for entry in state.entries if entry.refund is not None and entry.refund.amount
    )
    return minus(gross or _NOTHING, refunded)


def _currency(fields: dict[str, bytes], account_currency: str) -> str:
    return decode_exact(fields["currency"]) if "currency" in fields else account_currency


def _placed(found: Marks, first: Entry) -> int:
    return (found.completed or first).t


def worth(state: OrderState, account_currency: str, void_statuses: Collection[str] = VOID_STATUSES) -> Worth | None:
    """Tell what an order adds to its owner's figures; None while no order event has come, as then there is no order."""
    found = marks(state.entries)
    if found.first is None:
        return None
    fields = _known(state)
    return Worth(
        currency=_currency(fields, account_currency),
        net=_net(state, fields),
        void=is_void(_status(state, found), void_statuses),
        placed_at=_placed(found, found.first),
    )


def view(state: OrderState, account_currency: str, void_statuses: Collection[str] = VOID_STATUSES) -> OrderView | None:
    """Show an order; None while no order event has come. An order without a currency counts as `account_currency`."""
    found = marks(state.entries)
    if found.first is None:
        return None
    fields = _known(state)
    status = _status(state, found)
    raw = {key: msgspec.Raw(value) for key, value in fields.items() if value != b"null"}
    return OrderView(
        order_id=state.id,
        status=status,
        total=None if "total" not in fields else decode_exact(fields["total"]),
        currency=_currency(fields, account_currency),
        items=raw.get("products", msgspec.Raw(b"[]")),
        refunds=[
            RefundView(
                entry.refund.amount, None if entry.refund.items is None else msgspec.Raw(entry.refund.items), entry.t
            )
            for entry in state.entries
            if entry.refund is not None
        ],
        fulfillment={key: raw[key] for key in sorted(TRACKING & raw.keys())},
        properties={key: raw[key] for key in sorted(raw.keys() - _SHOWN_APART)},
        events=[Listed(entry.t, entry.name, entry.message, entry.source) for entry in state.entries],
        placed_at=_placed(found, found.first),
        updated_at=max(entry.t for entry in state.entries if entry.fields or entry.kind is not None),
        void=is_void(status, void_statuses),
        net=text(_net(state, fields)),
    )


def figures(views: Iterable[OrderView], account_currency: str) -> Figures:
    """Add up a person's orders. `ltv` and `aov` are over the orders in the account's currency that are not void.

    `aov` is rounded to the cent, half to even. The last order is the one placed last, whatever arrived last.
    """
    orders = sorted(views, key=lambda order: (order.placed_at, order.order_id))
    nets: dict[str, list[Decimal]] = {}
    for order in orders:
        if not order.void:
            nets.setdefault(order.currency, []).append(Decimal(order.net))
    own = nets.get(account_currency, [])
    found = Figures(
        orders_count=len(orders),
        ltv=text(total(own)),
        aov=text(average(total(own), len(own))) if own else None,
        ltv_by_currency={currency: text(total(nets[currency])) for currency in sorted(nets)},
        order_ids=[order.order_id for order in orders],
    )
    if orders:
        found.first_order_at = orders[0].placed_at
        _fill_last(found, orders[-1])
    return found


def _fill_last(found: Figures, last: OrderView) -> None:
    """Fill the fields of the order placed last."""
    found.last_order_at = found.last_order_created_at = last.placed_at
    found.last_order_number = _word(last.properties, "order_name") or last.order_id
    found.last_order_amount = last.total or _word(last.properties, "revenue")
    found.last_order_tax_amount = _word(last.properties, "tax")
    found.last_order_shipping_amount = _word(last.properties, "shipping")
    found.last_order_shipping_method = _word(last.properties, "shipping_method", "shippingMethod")
    found.last_order_payment_method = _word(last.properties, "payment_method", "paymentMethod")
    found.last_order_shipping_date = _word(last.properties, "shipping_date", "shippingDate")
    found.last_order_status_url = _word(last.properties, "status_url", "statusUrl")
    found.last_order_tracking_company = _word(last.fulfillment, "tracking_company")
    found.last_order_tracking_number = _word(last.fulfillment, "tracking_number")
    found.last_order_tracking_url = _word(last.fulfillment, "tracking_url")
    found.last_order_delivery_status = _word(last.fulfillment, "delivery_status")


def _word(values: Mapping[str, msgspec.Raw], *keys: str) -> str | None:
    """Give the first of some values that is a text, or a whole number as its digits; else None."""
    for key in keys:
        value = decode_exact(values[key]) if key in values else None
        if isinstance(value, str) or type(value) is int:
            return str(value)
    return None
