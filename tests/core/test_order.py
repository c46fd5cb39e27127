"""Orders: rules as cases, and the law (a function of the set of events) as properties against a naive fold."""

import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core.events import SPEC
from richpanel.core.figures import OrderView, view
from richpanel.core.money import amount, decode_exact, text
from richpanel.core.order import MAX_LISTED, OrderState, add, merge, moved, order_id, owner, pack, unpack
from richpanel.core.stamps import Stamp

COMPLETED, UPDATED, REFUNDED, CANCELLED = "Order Completed", "Order Updated", "Order Refunded", "Order Cancelled"
STARTED = "Checkout Started"

Event = tuple[Stamp, str, dict[str, Any], int]


def event(t: int, name: str, profile: int = 1, **properties: Any) -> Event:
    return (t, f"m{t}", "src"), name, properties, profile


def fold(*events: Event, into: OrderState | None = None) -> OrderState:
    state = OrderState("1001") if into is None else into
    for stamp, name, properties, profile in events:
        add(state, name, properties, stamp, profile)
    return state


def shown(*events: Event) -> OrderView:
    found = view(fold(*events), "USD")
    assert found is not None
    return found


def plain(value: object) -> Any:
    """A view's values as JSON has them."""
    return decode_exact(msgspec.json.encode(value))


# ------------------------------------------------------------------------------------------------------------- which


@pytest.mark.parametrize(
    ("name", "properties", "expected"),
    [
        (COMPLETED, {"order_id": "1001"}, "1001"),
        (COMPLETED, {"order_id": 1001}, "1001"),
        (COMPLETED, {"orderId": "1001"}, "1001"),
        (COMPLETED, {"id": "1001"}, "1001"),
        (COMPLETED, {"order_id": "1001", "orderId": "2", "id": "3"}, "1001"),
        (COMPLETED, {"order_id": None, "orderId": "2"}, "2"),
        ("completed_order", {"order_id": "1001"}, "1001"),
        ("Checkout Started", {"order_id": "1001"}, "1001"),
        ("Checkout Started", {"id": "1001"}, None),
        ("Coupon Applied", {"order_id": "1001"}, "1001"),
        ("Email Opened", {"order_id": "1001"}, "1001"),
        ("Order Shipped", {"order_id": "1001"}, None),
        (COMPLETED, {}, None),
        (COMPLETED, {"order_id": ""}, None),
        (COMPLETED, {"order_id": "undefined"}, None),
        (COMPLETED, {"order_id": {"id": 1}}, None),
        (COMPLETED, {"order_id": Decimal("1.5")}, None),
    ],
)
def test_which_order_an_event_is_of(name: str, properties: dict[str, Any], expected: str | None) -> None:
    assert order_id(name, properties) == expected


@pytest.mark.parametrize("name", [name for names in SPEC.values() for name in names])
def test_every_event_of_the_specs_is_listed_with_its_order(name: str) -> None:
    order = shown(event(1, COMPLETED), event(2, name, profile=2))
    assert [(listed.t, listed.event, listed.message_id, listed.source) for listed in order.events] == [
        (1, COMPLETED, "m1", "src"),
        (2, name, "m2", "src"),
    ]


def test_there_is_no_order_before_an_order_event() -> None:
    state = fold(event(1, STARTED, total=5, order_status="thinking"), event(2, "Payment Info Entered"))
    assert view(state, "USD") is None
    assert owner(state, lambda _: True) == 1


# ------------------------------------------------------------------------------------------------------------ fields


def test_completed_and_updated_set_fields_newest_per_field() -> None:
    order = shown(
        event(
            1, COMPLETED, total=Decimal("30.00"), shipping=5, coupon="SPRING", affiliation="Shop", products=[{"a": 1}]
        ),
        event(2, UPDATED, total="25.5", coupon=None, gift=True, products=[]),
    )
    assert order.total == "25.50"
    assert plain(order.properties) == {"shipping": "5.00", "affiliation": "Shop", "gift": True}
    assert plain(order.items) == []
    assert (order.placed_at, order.updated_at, order.status, order.net) == (1, 2, "completed", "25.50")


@pytest.mark.parametrize("name", [REFUNDED, CANCELLED, STARTED, "Coupon Applied"])
def test_no_other_event_replaces_amounts_or_items(name: str) -> None:
    order = shown(
        event(1, COMPLETED, total=30, tax=3, currency="EUR", products=[1], coupon="A"),
        event(2, name, total=7, tax=1, currency="USD", products=[2], items=[3], coupon="B", reason="late"),
    )
    assert (order.total, order.currency, plain(order.items)) == ("30.00", "EUR", [1])
    assert plain(order.properties) == {"tax": "3.00", "coupon": "A"}


@pytest.mark.parametrize(
    ("properties", "items"),
    [
        ({}, [0]),
        ({"products": [1]}, [1]),
        ({"items": [2]}, [2]),
        ({"items": [2], "products": [1]}, [1]),
        ({"products": [1], "items": [2]}, [1]),
        ({"products": None, "items": [2]}, [2]),
        ({"products": {"0": 1}}, [0]),
        ({"products": None}, [0]),
        ({"products": []}, []),
    ],
)
def test_items_are_replaced_whole_when_given(properties: dict[str, Any], items: list[Any]) -> None:
    assert plain(shown(event(1, COMPLETED, products=[0]), event(2, UPDATED, **properties)).items) == items


def test_items_keep_their_digits() -> None:
    written = b'{"products":[{"price":19.90,"sku":12345678901234567890}],"note":1.10}'
    state = OrderState("1")
    add(state, COMPLETED, decode_exact(written), (1, "m", "s"), 1)
    order = view(state, "USD")
    assert order is not None
    assert bytes(order.items) == b'[{"price":19.90,"sku":12345678901234567890}]'
    assert bytes(order.properties["note"]) == b"1.10"


@pytest.mark.parametrize(
    ("value", "total", "ignored"),
    [
        (20, "20.00", ()),
        (Decimal("20.10"), "20.10", ()),
        ("$1,020.10", "1020.10", ()),
        ("-3", "-3.00", ()),
        (None, "10.00", ()),
        ("free", "10.00", ("total",)),
        (True, "10.00", ("total",)),
        ([5], "10.00", ("total",)),
    ],
)
def test_an_unusable_amount_is_ignored_and_noted(value: object, total: str, ignored: tuple[str, ...]) -> None:
    state = fold(event(1, COMPLETED, total=10))
    assert add(state, UPDATED, {"total": value}, (2, "m2", "src"), 1) == ignored
    order = view(state, "USD")
    assert order is not None
    assert (order.total, order.net) == (total, total)


def test_a_refunds_unusable_amount_is_noted() -> None:
    state = fold(event(1, COMPLETED, total=10))
    assert add(state, REFUNDED, {"total": "all", "revenue": "4"}, (2, "m2", "src"), 1) == ("total",)
    assert state.entries[1].refund is not None
    assert state.entries[1].refund.amount == "4.00"


@pytest.mark.parametrize(
    ("given_currency", "currency"),
    [("EUR", "EUR"), (" eur ", "EUR"), (None, "USD"), ("", "USD"), ("  ", "USD"), (978, "USD"), (..., "USD")],
)
def test_currency(given_currency: object, currency: str) -> None:
    properties: dict[str, Any] = {} if given_currency is ... else {"currency": given_currency}
    assert shown(event(1, COMPLETED, **properties)).currency == currency


def test_routing_data_and_what_has_its_own_place_is_no_property() -> None:
    order = shown(
        event(
            1,
            COMPLETED,
            order_id="1001",
            orderId="1001",
            richpanel_session_id="s",
            total=1,
            currency="USD",
            order_status="paid",
            trackingNumber="T",
            products=[],
            checkout_id="c",
        )
    )
    assert plain(order.properties) == {"checkout_id": "c"}


# ------------------------------------------------------------------------------------------------- status and tracking


@pytest.mark.parametrize(
    ("events", "status", "void"),
    [
        ([event(1, COMPLETED)], "completed", False),
        ([event(1, UPDATED)], None, False),
        ([event(1, COMPLETED), event(2, UPDATED)], "completed", False),
        ([event(1, COMPLETED), event(2, CANCELLED), event(3, UPDATED)], "cancelled", True),
        ([event(1, CANCELLED)], "cancelled", True),
        ([event(1, COMPLETED), event(2, REFUNDED)], "refunded", True),
        ([event(1, REFUNDED), event(2, COMPLETED)], "completed", False),
        ([event(1, COMPLETED, order_status="Paid ")], "Paid ", False),
        ([event(1, COMPLETED), event(2, UPDATED, order_status="shipped")], "shipped", False),
        ([event(1, COMPLETED), event(2, REFUNDED, order_status="partially_refunded")], "partially_refunded", False),
        ([event(1, COMPLETED, order_status="paid"), event(2, CANCELLED)], "cancelled", True),
        ([event(1, CANCELLED), event(2, UPDATED, order_status="on its way")], "on its way", False),
        ([event(1, COMPLETED, order_status="paid"), event(2, UPDATED, order_status=" ")], "paid", False),
        ([event(1, COMPLETED, order_status="paid"), event(2, UPDATED, order_status=5)], "paid", False),
        ([event(1, COMPLETED), event(2, UPDATED, orderStatus="packed")], "packed", False),
        ([event(1, COMPLETED), event(2, UPDATED, orderStatus="a", order_status="b")], "b", False),
        ([event(1, COMPLETED), event(2, "Coupon Applied", order_status="held")], "held", False),
        ([event(1, COMPLETED, order_status="CANCELLED")], "CANCELLED", True),
        ([event(1, COMPLETED, order_status="_Voided-")], "_Voided-", True),
        ([event(1, COMPLETED, order_status="not cancelled")], "not cancelled", False),
        # explicit against default at the same t: explicit, whatever the message ids say
        ([((5, "a", "s"), UPDATED, {"order_status": "held"}, 1), ((5, "b", "s"), CANCELLED, {}, 1)], "held", False),
        ([((5, "b", "s"), UPDATED, {"order_status": "held"}, 1), ((5, "a", "s"), CANCELLED, {}, 1)], "held", False),
        # two of a kind at the same t: by the order
        ([((5, "b", "s"), CANCELLED, {}, 1), ((5, "a", "s"), REFUNDED, {}, 1)], "cancelled", True),
        ([((5, "a", "s"), CANCELLED, {}, 1), ((5, "a", "t"), REFUNDED, {}, 1)], "refunded", True),
    ],
)
def test_status(events: list[Event], status: str | None, void: bool) -> None:
    for sequence in (events, events[::-1]):
        order = shown(*sequence)
        assert (order.status, order.void) == (status, void)


def test_void_statuses_are_a_setting() -> None:
    order = view(fold(event(1, COMPLETED, order_status="On_Hold")), "USD", {"on hold"})
    assert order is not None
    assert order.void


def test_tracking_is_kept_from_any_event_in_either_casing() -> None:
    order = shown(
        event(1, COMPLETED, tracking_company="DHL", trackingNumber=123456789, tracking_url="https://t.example/1"),
        event(2, UPDATED, trackingUrl="https://t.example/2", tracking_number=None, tracking_company=" "),
        event(3, "Coupon Applied", deliveryStatus="in transit"),
        event(4, CANCELLED, delivery_status="returned", deliveryStatus="lost", trackingNumber={"n": 1}),
    )
    assert plain(order.fulfillment) == {
        "tracking_company": "DHL",
        "tracking_number": 123456789,
        "tracking_url": "https://t.example/2",
        "delivery_status": "returned",
    }
    assert order.updated_at == 4


def test_times_are_those_of_the_events_that_count() -> None:
    order = shown(
        event(1, STARTED), event(2, UPDATED), event(3, COMPLETED), event(4, COMPLETED), event(9, "Cart Viewed")
    )
    assert (order.placed_at, order.updated_at) == (3, 4)
    assert shown(event(1, STARTED), event(2, UPDATED), event(5, CANCELLED)).placed_at == 2


# ----------------------------------------------------------------------------------------------------------- refunds


def test_refunds_add_up_and_never_replace() -> None:
    order = shown(
        event(1, COMPLETED, total=100),
        event(2, REFUNDED, total="10.10", order_status="partially refunded", products=[{"id": 1}]),
        event(3, REFUNDED, revenue=Decimal("0.2"), order_status="partially refunded", items=[{"id": 2}]),
        event(4, REFUNDED, order_status="partially refunded"),
    )
    assert [(refund.amount, plain(refund.items), refund.t) for refund in order.refunds] == [
        ("10.10", [{"id": 1}], 2),
        ("0.20", [{"id": 2}], 3),
        (None, None, 4),
    ]
    assert (order.total, order.net, order.void) == ("100.00", "89.70", False)


# ------------------------------------------------------------------------------------------------------------- owner


@pytest.mark.parametrize(
    ("customers", "expected"),
    [(set(), 3), ({1}, 1), ({1, 2}, 2), ({1, 2, 3}, 3), ({9}, 3)],
)
def test_owner_is_the_newest_among_customers_else_the_newest(customers: set[int], expected: int) -> None:
    state = fold(event(1, COMPLETED, 1), event(2, UPDATED, 2), event(3, STARTED, 3), event(0, UPDATED, 3))
    assert owner(state, customers.__contains__) == expected


def test_nobody_owns_nothing() -> None:
    assert owner(OrderState("1"), lambda _: True) is None


def test_an_event_can_move() -> None:
    state = fold(event(1, COMPLETED, 1), event(2, UPDATED, 2))
    assert not moved(state, (2, "m2", "src"), 2)
    assert not moved(state, (2, "m2", "other"), 3)
    assert not moved(state, (9, "m9", "src"), 3)
    assert moved(state, (2, "m2", "src"), 1)
    assert {entry.profile for entry in state.entries} == {1}
    assert owner(state, lambda profile: profile == 2) == 1


# --------------------------------------------------------------------------------------------------------------- law

texts = st.sampled_from(["a", "b", "", " ", "cancelled", "5.00", "x1"])
values = st.none() | texts | st.integers(-5, 5) | st.decimals(-9, 9, places=2) | st.lists(st.integers(0, 3), max_size=2)
keys = st.sampled_from(
    [
        *("total", "revenue", "tax", "currency", "products", "items", "coupon", "order_id", "richpanel_session_id"),
        *("order_status", "orderStatus", "tracking_number", "trackingNumber", "deliveryStatus"),
    ]
)
names = st.sampled_from([COMPLETED, UPDATED, REFUNDED, CANCELLED, STARTED, "completed_order"])
stamps = st.tuples(st.integers(0, 3), st.sampled_from("ab"), st.sampled_from("st"))
events = st.lists(
    st.tuples(stamps, names, st.dictionaries(keys, values, max_size=5), st.integers(1, 3)),
    unique_by=lambda item: item[0],
    max_size=9,
)


KINDS = {COMPLETED: "completed", "completed_order": "completed", REFUNDED: "refunded", CANCELLED: "cancelled"}


def newest(history: list[Event], read: Callable[[Any], Any], *spellings: str) -> tuple[int, Any] | None:
    """The newest usable value under one of some keys, the first of which wins within an event, and its t."""
    for (t, _, _), _, properties, _ in sorted(history, key=lambda item: item[0], reverse=True):
        for key in spellings:
            value = read(properties.get(key))
            if value is not None:
                return t, value
    return None


def words(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def words_or_number(value: object) -> str | int | None:
    return value if isinstance(value, int) else words(value)


def money(value: object) -> str | None:
    found = amount(value)
    return None if found is None else text(found)


def items(value: object) -> list[Any] | None:
    return value if isinstance(value, list) else None


def naive_status(history: list[Event]) -> str | None:
    explicit = newest(history, words, "order_status", "orderStatus")
    defaults = sorted((stamp, KINDS[name]) for stamp, name, _, _ in history if name in KINDS)
    if explicit is not None and (not defaults or defaults[-1][0][0] <= explicit[0]):
        return str(explicit[1])
    return defaults[-1][1] if defaults else None


def naive(history: list[Event]) -> dict[str, Any] | None:
    """The rules of `semantics.md` 6, each read off the whole history."""
    makers = [item for item in history if item[1] in {*KINDS, UPDATED}]
    setters = [item for item in makers if item[1] not in (REFUNDED, CANCELLED)]
    if not makers:
        return None
    refunds = [
        (newest([item], money, "total", "revenue"), newest([item], items, "products", "items"), item[0][0])
        for item in sorted(history, key=lambda item: item[0])
        if item[1] == REFUNDED
    ]
    total = newest(setters, money, "total")
    revenue = newest(setters, money, "revenue")
    currency = newest(setters, words, "currency")
    coupons = [item for item in sorted(setters, key=lambda item: item[0]) if "coupon" in item[2]]
    coupon = (0, coupons[-1][2]["coupon"]) if coupons and coupons[-1][2]["coupon"] is not None else None
    tracking = newest(history, words_or_number, "tracking_number", "trackingNumber")
    delivery = newest(history, words_or_number, "delivery_status", "deliveryStatus")

    def given(**found: tuple[int, Any] | None) -> dict[str, Any]:
        return {key: value[1] for key, value in found.items() if value is not None}

    gross = Decimal((total or revenue or (0, 0))[1])
    return {
        "status": naive_status(history),
        "total": total and total[1],
        "currency": currency[1].strip().upper() if currency else "USD",
        "items": (newest(setters, items, "products", "items") or (0, []))[1],
        "refunds": [(sum_ and sum_[1], list_ and list_[1], t) for sum_, list_, t in refunds],
        "fulfillment": given(tracking_number=tracking, delivery_status=delivery),
        "properties": given(revenue=revenue, tax=newest(setters, money, "tax"), coupon=coupon),
        "placed_at": min(
            [t for (t, _, _), name, *_ in makers if KINDS.get(name) == "completed"] or [min(makers)[0][0]]
        ),
        "net": text(gross - sum(Decimal(sum_[1]) for sum_, _, _ in refunds if sum_)),
    }


@given(events)
def test_the_fold_is_the_naive_fold(history: list[Event]) -> None:
    order = view(fold(*history), "USD")
    expected = naive(history)
    if order is None:
        assert expected is None
        return
    assert expected == {
        "status": order.status,
        "total": order.total,
        "currency": order.currency,
        "items": plain(order.items),
        "refunds": [(refund.amount, plain(refund.items), refund.t) for refund in order.refunds],
        "fulfillment": plain(order.fulfillment),
        "properties": plain(order.properties),
        "placed_at": order.placed_at,
        "net": order.net,
    }


@given(events, st.data())
def test_any_sequence_and_any_partition_give_the_same_bytes(history: list[Event], data: st.DataObject) -> None:
    expected = pack(fold(*history))
    shuffled = data.draw(st.permutations(history))
    assert pack(fold(*shuffled)) == expected
    cut = data.draw(st.integers(0, len(shuffled)))
    one, other = fold(*shuffled[:cut]), fold(*shuffled[cut:])
    before = pack(one), pack(other)
    assert pack(merge(one, other)) == pack(merge(other, one)) == expected
    assert (pack(one), pack(other)) == before, "merging changes neither part"
    assert pack(fold(*shuffled[cut:], into=unpack(pack(one)))) == expected, "going through the store changes nothing"
    assert pack(fold(*history, into=fold(*shuffled))) == expected, "repeats change nothing"
    assert pack(merge(fold(*shuffled), one)) == expected


@given(events)
def test_the_state_is_read_back(history: list[Event]) -> None:
    state = fold(*history)
    assert unpack(pack(state)) == state


def test_an_orders_state_is_small() -> None:
    state = fold(event(1, COMPLETED, total=30, currency="USD", coupon="A", products=[]), event(2, CANCELLED))
    assert len(pack(state)) < 150


def test_too_many_events_that_hold_nothing_are_bounded_and_cost_no_figure() -> None:
    """One order id for everybody, as from a template nobody filled in: the state stays a function of the set."""
    history = [
        event(0, UPDATED, 7),
        event(1, COMPLETED, total=100, coupon="A"),
        event(2, REFUNDED, total=1),
        event(3, CANCELLED),
        event(4, UPDATED, order_status="on hold", trackingNumber="T"),
        *(event(10 + n, STARTED if n % 3 else UPDATED, n, tax=n) for n in range(MAX_LISTED + 200)),
    ]
    expected = fold(*history)
    order = view(expected, "USD")
    assert order is not None
    assert (order.total, order.net, order.status, order.placed_at) == ("100.00", "99.00", "on hold", 1)
    assert (len(order.refunds), plain(order.fulfillment), len(order.events)) == (
        1,
        {"tracking_number": "T"},
        MAX_LISTED + 6,
    )
    assert owner(expected, lambda _: False) == MAX_LISTED + 199
    for seed in range(3):
        random.Random(seed).shuffle(history)
        assert pack(fold(*history)) == pack(expected)
        parts = [fold(*history[at::4]) for at in range(4)]
        assert pack(merge(merge(parts[3], parts[0]), merge(parts[2], parts[1]))) == pack(expected)
