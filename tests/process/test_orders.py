"""Orders (semantics.md 6): whose they are as people become known, and figures that follow by differences."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from richpanel.core.figures import figures, view
from richpanel.core.money import text
from richpanel.core.profile import Profile, unpack
from richpanel.store.order_rows import of_owner
from tests.process.account import Account, Arrived, Template, copy_of, on_postgres, on_sqlite
from tests.process.calls import activity, identify, page, track
from tests.process.dump import customer, detail, dump, people, plain

COMPLETED, REFUNDED, CANCELLED = "Order Completed", "Order Refunded", "Order Cancelled"


def placed(minutes: float, uid: str | None = None, device: str | None = None, **properties: Any) -> dict[str, Any]:
    return track(minutes, COMPLETED, uid, device, **{"order_id": "o1", "total": 10, **properties})


def orders_of(account: Account) -> dict[str, list[str]]:
    """Which orders everyone who has any has."""
    return {who[1]: [each["orderId"] for each in one["orders"]] for who, one in dump(account).items() if one["orders"]}


def test_an_order_is_a_fold_of_all_its_events(account: Account) -> None:
    account.send(identify(0, "u1"), placed(1, "u1", currency="USD", products=[{"sku": "1"}]))
    account.send(track(2, "Order Updated", "u1", order_id="o1", order_status="packed", tracking_number="T1"))
    account.send(track(3, REFUNDED, "u1", order_id="o1", total="2.50"))
    (order,) = customer(account, "u1")["orders"]
    assert (order["status"], order["total"], order["net"], order["void"]) == ("refunded", "10.00", "7.50", True)
    assert order["items"] == [{"sku": "1"}]
    assert order["fulfillment"] == {"tracking_number": "T1"}
    assert [event["event"] for event in order["events"]] == [COMPLETED, "Order Updated", REFUNDED]


def test_an_anonymous_order_follows_its_visitor(account: Account) -> None:
    account.send(placed(0, None, "a1"))
    assert orders_of(account) == {"a1": ["o1"]}
    account.send(identify(5, "u1", "a1"))
    assert orders_of(account) == {"u1": ["o1"]}
    assert customer(account, "u1")["ltv"] == "10.00"


def test_the_newest_event_among_customers_owns_it(account: Account) -> None:
    account.send(identify(0, "u1"), placed(1, "u1"), track(2, "Order Updated", None, "shop", order_id="o1", total=12))
    assert orders_of(account) == {"u1": ["o1"]}
    assert customer(account, "u1")["ltv"] == "12.00"
    account.send(identify(0, "u2"), track(3, "Order Updated", "u2", order_id="o1"))
    assert orders_of(account) == {"u2": ["o1"]}
    assert [customer(account, uid)["ltv"] for uid in ("u1", "u2")] == ["0.00", "12.00"]


def test_becoming_a_customer_takes_the_order_from_a_visitor(account: Account) -> None:
    account.send(placed(1, "u1"), track(2, "Order Updated", "u2", order_id="o1"))
    assert orders_of(account) == {"u2": ["o1"]}
    account.send(identify(3, "u1"))
    assert orders_of(account) == {"u1": ["o1"]}
    assert dump(account)[("uid", "u2")]["ordersCount"] == 0
    account.send(activity(4, uid="u2"), source="Channels", door="channel")
    assert orders_of(account) == {"u2": ["o1"]}


def test_a_late_link_takes_events_and_order_to_another(account: Account) -> None:
    account.send(identify(0, "u1", "a1"), identify(0, "u2"), placed(20, None, "a1"), page(30, None, "a1"))
    assert orders_of(account) == {"u1": ["o1"]}
    account.send(identify(10, "u2", "a1"))
    assert orders_of(account) == {"u2": ["o1"]}
    assert [customer(account, uid)["ordersCount"] for uid in ("u1", "u2")] == [0, 1]


def test_two_shops_orders_with_one_number_are_two_orders(account: Account) -> None:
    account.send(identify(0, "u1"), placed(1, "u1"))
    account.send(placed(2, "u1", total=30), source="Outlet")
    shown = customer(account, "u1")
    assert [order["total"] for order in shown["orders"]] == ["10.00", "30.00"]
    assert (shown["ordersCount"], shown["ltv"], shown["aov"]) == (2, "40.00", "20.00")


def test_an_event_that_only_names_an_order_makes_none(account: Account) -> None:
    account.send(identify(0, "u1"), track(1, "Checkout Started", "u1", order_id="o1", value=9))
    assert (customer(account, "u1")["ordersCount"], orders_of(account)) == (0, {})
    account.send(placed(2, "u1"))
    (order,) = customer(account, "u1")["orders"]
    assert [event["event"] for event in order["events"]] == ["Checkout Started", COMPLETED]


@pytest.mark.parametrize(
    ("events", "ltv", "aov", "count"),
    [
        ([placed(1, "u1")], "10.00", "10.00", 1),
        ([placed(1, "u1"), track(2, CANCELLED, "u1", order_id="o1")], "0.00", None, 1),
        ([placed(1, "u1"), track(2, CANCELLED, "u1", order_id="o1", order_status="held")], "10.00", "10.00", 1),
        ([placed(1, "u1"), track(2, REFUNDED, "u1", order_id="o1", total=3, order_status="partly")], "7.00", "7.00", 1),
        ([placed(1, "u1", currency="EUR")], "0.00", None, 1),
        ([placed(1, "u1"), placed(2, "u1", order_id="o2", total="1,005.50")], "1015.50", "507.75", 2),
        ([placed(1, "u1", total=0.1), placed(2, "u1", order_id="o2", total=0.2)], "0.30", "0.15", 2),
    ],
)
def test_figures(account: Account, events: list[dict[str, Any]], ltv: str, aov: str | None, count: int) -> None:
    account.send(identify(0, "u1"))
    account.write([Arrived([each]) for each in events])
    account.process(max_bytes=1)
    shown = customer(account, "u1")
    assert (shown["ltv"], shown["aov"], shown["ordersCount"]) == (ltv, aov, count)


def test_the_trace_names_the_order_and_what_was_ignored(account: Account) -> None:
    account.send(identify(0, "u1"), placed(1, "u1", total="a lot", tax=1))
    (changes,) = account.rows("SELECT data FROM changes WHERE data LIKE '%order%'")
    assert changes == ('[{"what":"order","orderId":"o1","ignored":["total"]}]',)


@pytest.mark.parametrize("arrival", [("o1", "o2", "o3"), ("o3", "o1", "o2"), ("o2", "o3", "o1")])
def test_the_last_order_does_not_depend_on_arrival(account: Account, arrival: tuple[str, ...]) -> None:
    """Three orders at one instant: the same one is the last, whichever came first."""
    account.send(identify(0, "u1"))
    for order_id in arrival:
        account.send({**placed(1, "u1", order_id=order_id), "messageId": order_id})
    (one,) = people(account, customers=True)
    shown = plain(detail(account, one))
    assert (shown["lastOrderNumber"], shown["orderIds"]) == ("o3", ["o3", "o2", "o1"])


# ----------------------------------------------------------------------------- differences are the same as from scratch

EVENTS = st.lists(
    st.builds(
        lambda minutes, name, who, properties: track(minutes, name, *who, **properties),
        st.integers(0, 30),
        st.sampled_from([COMPLETED, "Order Updated", REFUNDED, CANCELLED, "Checkout Started"]),
        st.sampled_from([("u1", None), ("u2", None), (None, "a1"), (None, "a2"), ("u1", "a1"), ("u2", "a2")]),
        st.fixed_dictionaries(
            {"order_id": st.sampled_from(["o1", "o2", "o3"])},
            optional={
                "total": st.sampled_from([10, 0.1, "20,50", "x"]),
                "currency": st.sampled_from(["USD", "EUR"]),
                "order_status": st.sampled_from(["paid", "voided"]),
            },
        ),
    )
    | st.builds(
        lambda minutes, who: identify(minutes, *who), st.integers(0, 30), st.sampled_from([("u1", "a1"), ("u2", "a1")])
    ),
    max_size=12,
)


def from_scratch(account: Account, profile: int) -> dict[str, Any]:
    """A profile's figures, added up from its orders."""
    stored = account.read(of_owner, profile, limit=100)
    views = [view(order.state, "USD", account.settings.void_statuses) for order in stored]
    added = figures([each for each in views if each is not None], "USD")
    return {"orders": added.orders_count, "currencies": added.ltv_by_currency}


def kept(profile: Profile) -> dict[str, Any]:
    """A profile's figures as they are kept."""
    return {
        "orders": profile.orders,
        "currencies": {code: text(figure.total) for code, figure in sorted(profile.currencies.items())},
    }


def tries(examples: int) -> settings:
    """How often to try."""
    return settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@on_sqlite
@tries(60)
@given(events=EVENTS, size=st.sampled_from([1, 1_000]))
def test_figures_by_difference_are_those_from_scratch(
    template: Template, tmp_path_factory: pytest.TempPathFactory, events: list[dict[str, Any]], size: int
) -> None:
    check(template, tmp_path_factory, events, size)


@on_postgres
@tries(10)
@given(events=EVENTS, size=st.sampled_from([1, 1_000]))
def test_it_is_so_on_postgresql(
    template: Template, tmp_path_factory: pytest.TempPathFactory, events: list[dict[str, Any]], size: int
) -> None:
    check(template, tmp_path_factory, events, size)


def check(
    template: Template, tmp_path_factory: pytest.TempPathFactory, events: list[dict[str, Any]], size: int
) -> None:
    account = copy_of(template, tmp_path_factory.mktemp("orders") / "data")
    account.write([Arrived([each]) for each in events])
    account.process(max_bytes=size)
    for number, state in account.rows("SELECT id, state FROM profiles"):
        assert kept(unpack(state)) == from_scratch(account, number)
    account.close()
