"""Event names on the wire: Segment's names as Richpanel's own plugins say them, and back (facts of Richpanel 3.3, 9.4).

One table for both directions. What it does not name keeps its name.
"""

from typing import Final, Literal

from richpanel.core.events import canonical

Kind = Literal["identify", "page", "track"]

IDENTIFY: Final = "identify"
PAGE: Final = "page_view"
ORDER: Final = "order"

PRODUCT_EVENTS: Final = frozenset({"view_product", "add_to_cart", "remove_from_cart"})
"""Those whose properties are a product."""

SENT: Final = {
    "Product Viewed": "view_product",
    "Product List Viewed": "view_category",
    "Products Searched": "search",
    "Product Added": "add_to_cart",
    "Product Removed": "remove_from_cart",
    "Cart Viewed": "view_cart",
    "Checkout Started": "checkout_start",
    "Payment Info Entered": "checkout_payment",
    "Coupon Applied": "applied_coupon",
    "Order Completed": ORDER,
    "Order Updated": ORDER,
    "Order Refunded": ORDER,
    "Order Cancelled": ORDER,
}
"""Segment's canonical names and what they are on the wire."""

_UPDATING: Final = ("order_status_update", "fulfillment")
RECEIVED: Final = {wire: name for name, wire in reversed(SENT.items())} | dict.fromkeys(_UPDATING, "Order Updated")
"""Names on the wire and the canonical ones that they stand for, where nothing else tells (an `order` is complete)."""

ORDER_NAMES: Final = frozenset({ORDER, "order_status_update"})
"""Those whose properties are an order's."""


def wire_name(kind: Kind, event: str | None) -> str:
    """Give the name that a call has on the wire; `event` is a track call's, in any spelling of the spec."""
    if kind == "identify":
        return IDENTIFY
    if kind == "page":
        return PAGE
    name = event or ""
    return SENT.get(canonical(name) or name, name)


def event_of(name: str) -> tuple[Kind, str | None]:
    """Give the call that a name on the wire stands for: its type, and a track call's event.

    The inverse of `wire_name`, but for names that share one on the wire, or that the shop spells in its own way: of
    those `core.wire` carries the name along.
    """
    if name == IDENTIFY:
        return "identify", None
    if name == PAGE:
        return "page", None
    return "track", RECEIVED.get(name, name)
