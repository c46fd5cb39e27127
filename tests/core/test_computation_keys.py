"""Keys: what a name becomes, and which keys somebody may choose (semantics.md 8; Segment facts, 7.2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core.computation_keys import MAX_KEY, key_fault, key_of


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Order Completed Last 30days", "order_completed_last_30days"),
        ("Order Completed Last 30Days", "order_completed_last_30days"),
        ("Order Completed Last 30 Days", "order_completed_last_30_days"),
        ("high-value users", "high_value_users"),
        ("VIP Customers (2024)", "vip_customers_2024"),
        ("Test Audience", "test_audience"),
        ("Sneakers Buyers", "sneakers_buyers"),
        ("orderCompletedLast7days", "order_completed_last7days"),
        ("  __already_snake__ ", "already_snake"),
        ("HTMLPages", "htmlpages"),
        ("Größte Käufer", "größte_käufer"),
        ("İstanbul", "i_stanbul"),
        ("💎 & 🎉", ""),
        ("x" * 300, "x" * MAX_KEY),
    ],
)
def test_names(name: str, key: str) -> None:
    assert key_of(name) == key


@given(st.text(max_size=200))
def test_a_key_is_its_own_key_and_can_be_chosen(name: str) -> None:
    key = key_of(name)
    assert key_of(key) == key
    assert key == key.lower()
    assert not key or key_fault(key, ()) is None or key in {"email", "name", "phone", "id", "uid", "address"}


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("", "required"),
        ("VIP", "such as `vip`"),
        ("_vip", "such as `vip`"),
        ("a__b", "such as `a_b`"),
        ("email", "says who somebody is"),
        ("first_name", "says who somebody is"),
        ("richpanel_session_id", "says who somebody is"),
        ("old", "never used again"),
    ],
)
def test_keys_that_nobody_can_have(key: str, says: str) -> None:
    fault = key_fault(key, {"old"})
    assert fault is not None
    assert says in fault.text


def test_keys_that_are_free() -> None:
    for key in ("vip", "order_completed_last_30days", "2024"):
        assert key_fault(key, {"old"}) is None
