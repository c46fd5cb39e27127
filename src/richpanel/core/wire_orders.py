"""Orders on the wire: the properties of Segment's four order events as Richpanel's `order`, and back (facts 3.4, 9.4).

Going out they are spelled as the developer guide has them. Coming in, every spelling of the guide and of the plugins is
read. Money goes as it came, number or text, with all its digits.
"""

from collections.abc import Mapping
from typing import Any, Final

from richpanel.core.events import OrderKind
from richpanel.core.ids import clean_id
from richpanel.core.money import amount, total
from richpanel.core.order import DEFAULTS, STATUS, TRACKING
from richpanel.core.wire_products import Fields, is_empty, item_read, item_sent, read_names, renamed

_SENT: Final = {
    "subtotal": "subTotalPrice",
    "shipping": "shippingAmount",
    "tax": "taxAmount",
    "discount": "discountAmount",
    "order_name": "orderName",
    "status_url": "statusUrl",
    "shipping_method": "shippingMethod",
    "payment_method": "paymentMethod",
    "financial_status": "financialStatus",
    "fulfillment_status": "fulfillmentStatus",
}
_REFUNDED: Final = {"total": "refundedAmount", "products": "refundedItems"}
"""What an Order Refunded names is what was given back: as `amount` and `items` it would replace the order's own."""

_READ: Final = {sent: given for given, sent in _SENT.items()} | {
    "orderId": "order_id",
    "orderDbKey": "order_db_key",
    "orderDBKey": "order_db_key",
    "amount": "total",
    "sub_total_price": "subtotal",
    "shipping_amount": "shipping",
    "tax_amount": "tax",
    "discount_amount": "discount",
    "items": "products",
    "trackingNumber": "tracking_number",
    "trackingCompany": "tracking_company",
    "trackingUrl": "tracking_url",
    "deliveryStatus": "delivery_status",
    "fulfillments": "fulfillment",
}
_STATUSES: Final = ("new_status", STATUS, "orderStatus", "status")
"""Where the plugins write the status that an order has now, the surest first."""
_SUMMED: Final = ("revenue", "shipping", "tax")
_TRACKED: Final = {
    "tracking_number": "trackingNumber",
    "tracking_company": "trackingCompany",
    "tracking_url": "trackingUrl",
}


def order_sent(kind: OrderKind, given: Fields) -> dict[str, Any]:
    """Give the properties of one of the four order events as Richpanel's `order` has them."""
    fields = _spelled(given)
    identifier = next(key for key in ("order_id", "orderId", "id", "") if not key or clean_id(fields.get(key)))
    number = fields.pop(identifier, None)
    for key in ("order_id", "orderId"):
        fields.pop(key, None)
    sent = renamed(fields, _SENT | _REFUNDED if kind == "refunded" else _SENT)
    if number is not None:
        sent |= {"orderId": number, "orderDbKey": number}
    if kind == "refunded":
        _refund(sent)
    else:
        _amount(sent, fields)
        _items(sent)
    coupon = sent.get("coupon")
    if isinstance(coupon, str):
        del sent["coupon"]
        sent["coupons"] = [coupon]
    status = fields.get(STATUS)
    if not isinstance(status, str) or not status.strip():
        status = kind if kind in DEFAULTS else None
    if status is not None:
        sent |= {"status": status, STATUS: status}
    shipped = _fulfillment(sent, number)
    if shipped is not None:
        for key in TRACKING:
            sent.pop(key, None)
        sent["fulfillment"] = shipped
    return sent


def order_read(kind: OrderKind, given: Fields) -> dict[str, Any]:
    """Give the properties of an order event back from any spelling of Richpanel's."""
    statuses = [given[key] for key in _STATUSES if not is_empty(given.get(key))]
    read = read_names({key: value for key, value in given.items() if key not in _STATUSES}, _READ)
    if "order_id" not in read and "id" in read:
        read["order_id"] = read.pop("id")
    if read.get("order_db_key") == read.get("order_id"):
        read.pop("order_db_key", None)
    if statuses and not (statuses == [kind, kind] and STATUS in given and kind in DEFAULTS):
        read[STATUS] = statuses[0]  # Else it is what the event stands for without it.
    if kind == "refunded":
        read = read_names(read, {"refundedAmount": "total", "refundedItems": "products"})
    products = read.get("products")
    if isinstance(products, list):
        read["products"] = [item_read(item) for item in products]
    coupons = read.get("coupons")
    if "coupon" not in read and isinstance(coupons, list) and len(coupons) == 1 and isinstance(coupons[0], str):
        read["coupon"] = read.pop("coupons")[0]
    return _shipped(read)


def fulfillment_read(given: Fields) -> dict[str, Any]:
    """Give a `fulfillment` event as an update of its order: where the parcel is. Its items are the parcel's alone."""
    order = given.get("orderId", given.get("order_id"))
    parcel = {key: value for key, value in given.items() if key not in ("orderId", "order_id")}
    return _shipped({"order_id": order, "fulfillment": [parcel]})


def _spelled(given: Fields) -> dict[str, Any]:
    """Give an order event's own other spellings (`core.order`) the spec's, which win where both are there."""
    other = {"items": "products", "orderStatus": STATUS, "trackingURL": "tracking_url"}
    other |= {sent: name for name, sent in _TRACKED.items()} | {"deliveryStatus": "delivery_status"}
    return read_names(given, other)


def _amount(sent: dict[str, Any], fields: Fields) -> None:
    """Name what the order comes to: its total, else what the spec's parts of one come to."""
    given = sent.pop("total", None)
    if amount(given) is None:
        given = _sum(fields) if amount(fields.get("revenue")) is not None else None
    if given is not None:
        sent["amount"] = given


def _sum(fields: Fields) -> Any:
    parts = (amount(fields.get(key)) for key in _SUMMED)
    return total(part for part in parts if part is not None)


def _items(sent: dict[str, Any]) -> None:
    products = sent.pop("products", None)
    if isinstance(products, list):
        sent["items"] = [item_sent(item) for item in products]


def _refund(sent: dict[str, Any]) -> None:
    items = sent.get("refundedItems")
    if isinstance(items, list):
        sent["refundedItems"] = [item_sent(item) for item in items]


def _fulfillment(sent: Fields, number: Any) -> list[dict[str, Any]] | None:
    """Give tracking fields as a parcel, or None without any. A parcel needs an id: its number, else the order's."""
    tracking = {wire: sent[key] for key, wire in _TRACKED.items() if not is_empty(sent.get(key))}
    status = sent.get("delivery_status")
    if not tracking and is_empty(status):
        return None
    parcel: dict[str, Any] = {"id": tracking.get("trackingNumber", number)}
    if not is_empty(status):
        parcel["status"] = status
    if tracking:
        parcel["tracking"] = [tracking]
    return [parcel]


def _shipped(read: dict[str, Any]) -> dict[str, Any]:
    """Take the tracking fields from the newest parcel; what it says beside them is kept."""
    parcels = read.get("fulfillment")
    if not isinstance(parcels, list) or not parcels or not isinstance(parcels[-1], Mapping):
        return read
    parcel = parcels[-1]
    tracking = parcel.get("tracking")
    if isinstance(tracking, list) and tracking and isinstance(tracking[-1], Mapping):
        tracking = tracking[-1]
    elif not isinstance(tracking, Mapping):
        tracking = parcel
    for name, wire in _TRACKED.items():
        value = tracking.get(wire, tracking.get(name))
        if not is_empty(value):
            read.setdefault(name, value)
    if not is_empty(parcel.get("status")):
        read.setdefault("delivery_status", parcel["status"])
    if parcels == _fulfillment(read, read.get("order_id")):
        del read["fulfillment"]
    return read
