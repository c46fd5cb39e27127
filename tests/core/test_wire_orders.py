"""Orders on the wire: every spelling of the developer guide and of the plugins (facts of Richpanel 3.4)."""

from decimal import Decimal
from typing import Any

import pytest

from richpanel.core.wire_orders import fulfillment_read, order_read, order_sent

GUIDE = {
    **{"orderId": "1", "orderDbKey": "1", "amount": 45.5, "subTotalPrice": 38, "shippingAmount": "4.90"},
    **{"taxAmount": 3, "discountAmount": 1, "currency": "EUR", "status": "processing", "orderName": "#1"},
    **{"coupons": ["A"], "shippingMethod": "DHL", "paymentMethod": "card", "statusUrl": "u"},
    "items": [{"id": "p", "optionId": "o", "imageURL": ["i"], "price": 20, "quantity": 2}],
}
PLUGIN = {
    **{"order_id": "1", "order_db_key": "1", "amount": 45.5, "subtotal": 38, "shipping_amount": "4.90"},
    **{"tax_amount": 3, "discount_amount": 1, "currency": "EUR", "order_status": "processing", "order_name": "#1"},
    **{"coupons": ["A"], "shipping_method": "DHL", "payment_method": "card", "status_url": "u"},
    "items": [{"id": "p", "option_id": "o", "image_url": ["i"], "price": 20, "quantity": 2}],
}
READ = {
    **{"order_id": "1", "total": 45.5, "subtotal": 38, "shipping": "4.90", "tax": 3, "discount": 1, "currency": "EUR"},
    **{"order_status": "processing", "order_name": "#1", "coupon": "A", "shipping_method": "DHL"},
    **{"payment_method": "card", "status_url": "u"},
    "products": [{"product_id": "p", "variant": "o", "image_url": "i", "price": 20, "quantity": 2}],
}


@pytest.mark.parametrize("given", [GUIDE, PLUGIN])
def test_both_spellings_are_read_alike(given: dict[str, Any]) -> None:
    assert order_read("completed", given) == READ


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"status": "pending"}, "pending"),
        ({"order_status": "Paid", "status": "pending"}, "Paid"),
        ({"new_status": "wc-done", "order_status": "old", "old_status": "old"}, "wc-done"),
        ({"orderStatus": "x", "status": "y"}, "x"),
        ({"status": "", "order_status": None}, None),
        ({"status": "completed"}, "completed"),
        ({}, None),
    ],
)
def test_where_a_status_stands(given: dict[str, Any], status: str | None) -> None:
    assert order_read("completed", given).get("order_status") == status


def test_what_has_no_place_is_kept() -> None:
    given = {
        "orderId": 1001,
        "order_db_key": 5,
        "totalRefundedAmount": 3,
        "coupons": ["A", "B"],
        "billing_city": "Rome",
    }
    assert order_read("updated", given) == {
        **{"order_id": 1001, "order_db_key": 5, "totalRefundedAmount": 3, "coupons": ["A", "B"], "billing_city": "Rome"}
    }


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"id": 7}, {"order_id": 7}),
        ({"id": 7, "orderId": 8}, {"id": 7, "order_id": 8}),
        ({"total": 1, "amount": 2}, {"total": 1, "amount": 2}),
        ({"trackingNumber": "J", "deliveryStatus": "d"}, {"tracking_number": "J", "delivery_status": "d"}),
    ],
)
def test_names_that_meet(given: dict[str, Any], read: dict[str, Any]) -> None:
    assert order_read("updated", given) == read


@pytest.mark.parametrize(
    ("parcels", "found"),
    [
        (
            [{"id": "s", "status": "sent", "tracking": [{"trackingNumber": "J", "trackingUrl": "u"}]}],
            ("J", "u", "sent"),
        ),
        ([{"tracking_number": "J", "tracking_url": "u"}], ("J", "u", None)),
        ([{"id": "old", "status": "delivered"}, {"id": "s", "tracking": {"trackingNumber": "J"}}], ("J", None, None)),
        ([{"id": "s", "tracking": []}], (None, None, None)),
        ([], (None, None, None)),
        (["s"], (None, None, None)),
        ({"id": "s"}, (None, None, None)),
    ],
)
@pytest.mark.parametrize("name", ["fulfillment", "fulfillments"])
def test_parcels(name: str, parcels: Any, found: tuple[str | None, ...]) -> None:
    read = order_read("updated", {"orderId": "1", name: parcels})
    assert tuple(read.get(key) for key in ("tracking_number", "tracking_url", "delivery_status")) == found
    assert read["fulfillment"] == parcels  # It says more than the fields do.


def test_a_parcel_that_says_no_more_than_the_fields_is_not_kept_beside_them() -> None:
    given = {"order_id": "1", "tracking_number": "J", "delivery_status": "sent"}
    sent = order_sent("updated", given)
    assert sent["fulfillment"] == [{"id": "J", "status": "sent", "tracking": [{"trackingNumber": "J"}]}]
    assert order_read("updated", sent) == given


def test_a_fulfillment_event_tells_where_the_parcel_is() -> None:
    """Its items and its status are the parcel's: those of the order stay what they are."""
    given = {
        "id": "s",
        "orderId": "1",
        "status": "delivered",
        "items": [{"id": "p"}],
        "tracking": [{"trackingNumber": 5}],
    }
    read = fulfillment_read(given)
    assert (read["order_id"], read["tracking_number"], read["delivery_status"]) == ("1", 5, "delivered")
    assert not {"products", "items", "order_status", "status"} & read.keys()
    assert read["fulfillment"] == [{key: value for key, value in given.items() if key != "orderId"}]


@pytest.mark.parametrize(("kind", "amount"), [("completed", Decimal("9.90")), ("cancelled", Decimal("9.90"))])
def test_the_amount(kind: Any, amount: Decimal) -> None:
    assert order_sent(kind, {"order_id": "1", "total": amount})["amount"] == amount
