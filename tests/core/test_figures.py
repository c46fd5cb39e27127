"""Figures: what an order comes to, and what a person's orders come to."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core.figures import Figures, OrderView, figures, is_void, view, worth
from richpanel.core.money import decode_exact
from richpanel.core.order import OrderState, add

COMPLETED, UPDATED, REFUNDED, CANCELLED = "Order Completed", "Order Updated", "Order Refunded", "Order Cancelled"


def order(number: int, *events: tuple[str, dict[str, Any]], t: int = 0) -> OrderView:
    state = OrderState(str(number))
    for at, (name, properties) in enumerate(events):
        add(state, name, properties, (t + at, f"m{number}-{at}", "src"), 1)
    found = view(state, "USD")
    assert found is not None
    return found


def test_nobody_has_ordered_nothing() -> None:
    none = figures([], "USD")
    assert none == Figures()
    assert msgspec.to_builtins(none)["ordersCount"] == 0
    assert (none.ltv, none.aov, none.ltv_by_currency, none.order_ids) == ("0.00", None, {}, [])


@pytest.mark.parametrize(
    ("events", "net"),
    [
        ([(COMPLETED, {"total": 30, "revenue": 25})], "30.00"),
        ([(COMPLETED, {"revenue": 25})], "25.00"),
        ([(COMPLETED, {"total": 0, "revenue": 25})], "0.00"),
        ([(COMPLETED, {})], "0.00"),
        ([(COMPLETED, {"total": "free", "revenue": 25})], "25.00"),
        ([(COMPLETED, {"total": Decimal("0.1")}), (REFUNDED, {"total": Decimal("0.2")})], "-0.10"),
        ([(COMPLETED, {"total": 30}), (REFUNDED, {"revenue": 10, "order_status": "partial"})], "20.00"),
    ],
)
def test_net_is_total_else_revenue_less_refunds(events: list[tuple[str, dict[str, Any]]], net: str) -> None:
    assert order(1, *events).net == net


@pytest.mark.parametrize(
    ("status", "void"),
    [
        ("cancelled", True),
        ("canceled", True),
        ("Refunded", True),
        ("VOIDED", True),
        (" voided ", True),
        ("partially_refunded", False),
        ("on hold", False),
        ("", False),
        (None, False),
    ],
)
def test_void(status: str | None, void: bool) -> None:
    assert is_void(status) is void


def test_void_words_ignore_underscores_and_dashes() -> None:
    assert is_void("Payment_Failed-Twice", {"payment failed twice"})


def test_ltv_aov_and_counts() -> None:
    orders = [
        order(1, (COMPLETED, {"total": Decimal("10.00")}), t=10),
        order(2, (COMPLETED, {"total": "20.01", "currency": "usd"}), t=20),
        order(3, (COMPLETED, {"total": 99}), (CANCELLED, {}), t=30),
        order(4, (COMPLETED, {"total": 5, "currency": "EUR"}), t=40),
        order(5, (COMPLETED, {"total": 50}), (REFUNDED, {"total": 15, "order_status": "partially refunded"}), t=50),
        order(6, (COMPLETED, {"total": 70}), (REFUNDED, {"total": 70}), t=60),
    ]
    found = figures(orders, "USD")
    assert found.orders_count == 6
    assert found.ltv == "65.01"
    assert found.aov == "21.67"
    assert found.ltv_by_currency == {"EUR": "5.00", "USD": "65.01"}
    assert found.order_ids == ["1", "2", "3", "4", "5", "6"]
    assert (found.first_order_at, found.last_order_at, found.last_order_number) == (10, 60, "6")
    assert figures(orders, "EUR").aov == "5.00"
    assert figures(orders, "GBP").aov is None


def test_the_last_order_is_the_one_placed_last() -> None:
    late = order(
        1,
        ("Checkout Started", {}),
        (
            COMPLETED,
            {
                "order_name": "#1042",
                "total": Decimal("30.50"),
                "tax": "2.5",
                "shipping": 4,
                "shipping_method": "Next day",
                "paymentMethod": "Visa",
                "shipping_date": "2026-11-22",
                "status_url": "https://s.example/1",
                "tracking_company": "DHL",
                "tracking_number": 123,
                "trackingUrl": "https://t.example/123",
                "deliveryStatus": "in transit",
            },
        ),
        t=100,
    )
    early = order(2, (COMPLETED, {"total": 1}), *[(UPDATED, {"total": 1})] * 200, t=50)
    found = figures([late, early], "USD")
    assert msgspec.to_builtins(found) == {
        "ordersCount": 2,
        "ltv": "31.50",
        "aov": "15.75",
        "ltvByCurrency": {"USD": "31.50"},
        "orderIds": ["2", "1"],
        "firstOrderAt": 50,
        "lastOrderAt": 101,
        "lastOrderNumber": "#1042",
        "lastOrderCreatedAt": 101,
        "lastOrderAmount": "30.50",
        "lastOrderTaxAmount": "2.50",
        "lastOrderShippingAmount": "4.00",
        "lastOrderShippingMethod": "Next day",
        "lastOrderPaymentMethod": "Visa",
        "lastOrderShippingDate": "2026-11-22",
        "lastOrderStatusUrl": "https://s.example/1",
        "lastOrderTrackingCompany": "DHL",
        "lastOrderTrackingNumber": "123",
        "lastOrderTrackingUrl": "https://t.example/123",
        "lastOrderDeliveryStatus": "in transit",
    }


def test_what_is_no_word_is_no_figure() -> None:
    found = figures([order(7, (COMPLETED, {"revenue": 3, "order_name": ["x"], "shipping_method": {"a": 1}}))], "USD")
    assert (found.last_order_number, found.last_order_amount, found.last_order_shipping_method) == ("7", "3.00", None)


def test_a_view_is_json_as_the_api_has_it() -> None:
    shown = order(1, (COMPLETED, {"total": 5, "products": [{"price": Decimal("1.10")}], "gift": True}))
    assert msgspec.json.decode(msgspec.json.encode(shown)) == {
        "orderId": "1",
        "status": "completed",
        "total": "5.00",
        "currency": "USD",
        "items": [{"price": 1.1}],
        "refunds": [],
        "fulfillment": {},
        "properties": {"gift": True},
        "events": [{"t": 0, "event": "Order Completed", "messageId": "m1-0", "source": "src"}],
        "placedAt": 0,
        "updatedAt": 0,
        "void": False,
        "net": "5.00",
    }
    assert b'"price":1.10' in msgspec.json.encode(shown)


amounts = st.decimals(-99, 999, places=2)
histories = st.lists(
    st.tuples(
        st.sampled_from([COMPLETED, UPDATED, REFUNDED, CANCELLED, "Checkout Started"]),
        st.fixed_dictionaries(
            {},
            optional={
                "total": amounts,
                "revenue": amounts,
                "currency": st.sampled_from(["USD", "EUR", "eur"]),
                "order_status": st.sampled_from(["paid", "Cancelled", "on_hold"]),
            },
        ),
    ),
    max_size=4,
)


@given(st.lists(histories, max_size=5), st.randoms(use_true_random=False))
def test_figures_are_the_sum_of_what_each_order_is_worth(orders: list[Any], random: Any) -> None:
    states = []
    for number, events in enumerate(orders):
        state = OrderState(str(number))
        for at, (name, properties) in enumerate(events):
            add(state, name, properties, (at, f"m{at}", "src"), 1)
        states.append(state)
    views = [shown for state in states if (shown := view(state, "USD")) is not None]
    each = [known for state in states if (known := worth(state, "USD")) is not None]
    assert [(one.currency, Decimal(one.net), one.void, one.placed_at) for one in views] == each
    found = figures(views, "USD")
    own = [one.net for one in each if not one.void and one.currency == "USD"]
    assert Decimal(found.ltv) == sum(own)
    assert found.orders_count == len(each)
    assert (found.aov is None) == (not own)
    if own:
        assert abs(Decimal(found.aov or 0) * len(own) - sum(own)) <= Decimal("0.005") * len(own)
    assert sum(map(Decimal, found.ltv_by_currency.values())) == sum(one.net for one in each if not one.void)
    random.shuffle(views)
    assert figures(views, "USD") == found


def test_views_decode_exactly() -> None:
    assert decode_exact(msgspec.json.encode(order(1, (COMPLETED, {"note": Decimal("0.10")})).properties)) == {
        "note": Decimal("0.10")
    }
