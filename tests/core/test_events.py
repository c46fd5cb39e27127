"""The semantic events by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core.events import ALIASES, ORDER_EVENTS, SPEC, Group, canonical, order_event, semantic

NAMES = [(name, group) for group, names in SPEC.items() for name in names]


def test_the_specs_are_complete() -> None:
    counts = {group: len(names) for group, names in SPEC.items()}
    assert counts == {
        "ecommerce": 28,
        "mobile": 13,
        "video": 17,
        "email": 6,
        "live_chat": 4,
        "ab_testing": 1,
        "b2b_saas": 10,
        "copilot": 8,
    }
    assert len({name for name, _ in NAMES}) == len(NAMES), "no name is in two specs"


@pytest.mark.parametrize(("name", "group"), NAMES)
def test_every_name_is_known_in_any_casing(name: str, group: Group) -> None:
    for spelling in (
        name,
        name.lower(),
        name.upper(),
        name.lower().replace(" ", "_"),
        name.title().replace(" ", ""),
        f" {name} ",
    ):
        assert semantic(spelling) == group
        assert canonical(spelling) == name


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("Viewed Product Category", "Product List Viewed"),
        ("Product Category Viewed", "Product List Viewed"),
        ("Viewed Product", "Product Viewed"),
        ("Clicked Product", "Product Clicked"),
        ("Added Product", "Product Added"),
        ("Removed Product", "Product Removed"),
        ("Viewed Promotion", "Promotion Viewed"),
        ("Clicked Promotion", "Promotion Clicked"),
        ("Started Order", "Checkout Started"),
        ("Viewed Checkout Step", "Checkout Step Viewed"),
        ("Completed Checkout Step", "Checkout Step Completed"),
        ("Completed Order", "Order Completed"),
        ("completed_order", "Order Completed"),
        ("completedOrder", "Order Completed"),
        ("Updated Order", "Order Updated"),
        ("Refunded Order", "Order Refunded"),
        ("Cancelled Order", "Order Cancelled"),
        ("Canceled Order", "Order Cancelled"),
        ("Order Canceled", "Order Cancelled"),
        ("order_canceled", "Order Cancelled"),
    ],
)
def test_aliases(alias: str, name: str) -> None:
    assert canonical(alias) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "Order",
        "Order Shipped",
        "Orders Completed",
        "Order Completed!",
        "My Order Completed",
        "Order-Completed",
        "Clicked Login Button",
        "Opened Application",  # the old word order is e-commerce's alone
        "Ordér Completed",
        "Order Completed" + " " * 60,
        "x" * 30_000,
    ],
)
def test_other_names_are_the_shops_own(name: str) -> None:
    assert canonical(name) is None
    assert semantic(name) is None
    assert order_event(name) is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Order Completed", "completed"),
        ("Completed Order", "completed"),
        ("order completed", "completed"),
        ("Order Updated", "updated"),
        ("ORDER_REFUNDED", "refunded"),
        ("Order Cancelled", "cancelled"),
        ("Order Canceled", "cancelled"),
        ("Checkout Started", None),
        ("Started Order", None),
        ("Trial Ended", None),
    ],
)
def test_order_events(name: str, kind: str | None) -> None:
    assert order_event(name) == kind


def test_tables_agree() -> None:
    assert set(ORDER_EVENTS) <= set(SPEC["ecommerce"])
    assert set(ALIASES.values()) <= {name for name, _ in NAMES}


@given(
    st.text() | st.sampled_from([name for name, _ in NAMES]).flatmap(lambda name: st.permutations(name).map("".join))
)
def test_the_three_questions_agree(name: str) -> None:
    known = canonical(name)
    assert (known is None) == (semantic(name) is None)
    assert order_event(name) == (ORDER_EVENTS.get(known) if known else None)
    assert known is None or canonical(known) == known
