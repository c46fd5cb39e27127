"""Conditions in one line, to be read."""

from typing import Any

import pytest

from richpanel.core.condition_json import read
from richpanel.core.conditions import leaves

ORDER = {"event": "Order Completed"}
MONTH = {"within": {"days": 30}}


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({**ORDER, **MONTH}, "performed Order Completed in the last 30 days"),
        ({**ORDER, "performed": False, **MONTH}, "did not perform Order Completed in the last 30 days"),
        ({**ORDER, "count": {"op": ">=", "value": 2}}, "performed Order Completed at least 2 times"),
        ({**ORDER, "count": {"op": "=", "value": 1}}, "performed Order Completed 1 time"),
        (
            {**ORDER, "where": [{"property": "total", "op": ">", "value": 1000}, {"context": "ip", "op": "exists"}]},
            "performed Order Completed (total > 1,000 and context ip exists)",
        ),
        ({"trait": "plan", "op": "in", "value": ["a", 1, True]}, 'trait plan in ("a", 1, true)'),
        ({"trait": "born", "op": "before", "value": "1990-01-01"}, "trait born before 1990-01-01"),
        ({"trait": "renews", "op": "within_next", "value": {"days": 7}}, "trait renews within the next 7 days"),
        ({"trait": "email", "op": "not_contains", "value": "@"}, 'trait email does not contain "@"'),
        ({"trait": "email", "op": "not_exists"}, "trait email does not exist"),
        ({"computed": "spent", "op": ">=", "value": 100}, "computed spent >= 100"),
        (
            {"and": [{"audience": "vip"}, {"or": [{"audience": "a"}, {"not": {"audience": "b"}}]}]},
            "in audience vip and (in audience a or not (in audience b))",
        ),
        (
            {"sequence": ["Checkout Started", {"thenNot": ORDER, "within": {"hours": 1}}], "within": {"days": 7}},
            "performed Checkout Started and then did not Order Completed within 1 hour in the last 7 days",
        ),
        ({"sequence": ["A", {"then": "B"}, {"then": "C"}]}, "performed A and then B and then C"),
    ],
)
def test_one_line(given: dict[str, Any], line: str) -> None:
    assert str(read(given)) == line


def test_leaves_are_given_from_left_to_right() -> None:
    condition = read({"and": [{"audience": "a"}, {"not": {"or": [{"audience": "b"}, {"audience": "c"}]}}]})
    assert [str(leaf) for leaf in leaves(condition)] == ["in audience a", "in audience b", "in audience c"]
