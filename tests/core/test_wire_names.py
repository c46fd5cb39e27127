"""Event names on the wire and back: one table, and its inverse."""

import pytest

from richpanel.core.events import SPEC
from richpanel.core.wire_names import RECEIVED, SENT, Kind, event_of, wire_name

ALL = [name for names in SPEC.values() for name in names]


def test_the_mapping_is_of_the_specs_names() -> None:
    assert SENT.keys() <= set(ALL)


@pytest.mark.parametrize("name", [*ALL, "Clicked Login Button", "läuft"])
def test_back_again(name: str) -> None:
    """All but the order events that share a name come back as they were."""
    shared = {"Order Updated", "Order Refunded", "Order Cancelled"}
    assert event_of(wire_name("track", name)) == ("track", "Order Completed" if name in shared else name)


@pytest.mark.parametrize(
    ("kind", "event", "wire"),
    [
        ("identify", None, "identify"),
        ("page", None, "page_view"),
        ("track", "Product Viewed", "view_product"),
        ("track", "product_viewed", "view_product"),
        ("track", "Viewed Product", "view_product"),
        ("track", "Viewed Product Category", "view_category"),
        ("track", "Order Canceled", "order"),
        ("track", "completedOrder", "order"),
        ("track", "Checkout Step Viewed", "Checkout Step Viewed"),
        ("track", "My Event", "My Event"),
    ],
)
def test_names_going_out(kind: Kind, event: str | None, wire: str) -> None:
    assert wire_name(kind, event) == wire


@pytest.mark.parametrize(
    ("wire", "kind", "event"),
    [
        ("identify", "identify", None),
        ("page_view", "page", None),
        ("order", "track", "Order Completed"),
        ("order_status_update", "track", "Order Updated"),
        ("fulfillment", "track", "Order Updated"),
        ("subscription", "track", "subscription"),
        ("view_article", "track", "view_article"),
        ("ORDER", "track", "ORDER"),
    ],
)
def test_names_coming_in(wire: str, kind: str, event: str | None) -> None:
    assert event_of(wire) == (kind, event)


def test_every_name_of_the_table_comes_back() -> None:
    assert set(SENT.values()) <= RECEIVED.keys()
