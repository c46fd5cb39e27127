"""Planning: what a plan keeps of a person is as little as its condition looks at; the rest is in test_membership."""

from typing import Any

import pytest

from richpanel.core.computed import Computation
from richpanel.core.condition_json import read
from richpanel.core.conditions import Named
from richpanel.core.membership import Audience
from richpanel.core.planning import plan_audience
from richpanel.core.windows import Span, Window
from tests.core.test_membership import ordered

WEEK = {"within": {"days": 7}}


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ({"event": "Order Completed"}, [[1]]),
        ({"event": "Order Completed", "count": {"op": ">=", "value": 3}}, [[3]]),
        ({"event": "Order Completed", "count": {"op": "=", "value": 3}}, [[4]]),
        ({"event": "Order Completed", **WEEK}, [[9]]),
        ({"event": "Order Completed", "count": {"op": "<=", "value": 1}, **WEEK}, [[8, 9]]),
        ({"audience": "other"}, [[1]]),
        ({"computed": "orders", "op": ">", "value": 1}, [list(range(10))]),
        ({"sequence": ["Order Completed", {"then": "Order Completed"}]}, [[0]]),
        ({"trait": "plan", "op": "exists"}, []),
        ({"and": [{"event": "Viewed"}, {"event": "Order Completed"}]}, [[0], [1]]),
    ],
)
def test_as_little_is_kept_as_is_looked_at(condition: dict[str, Any], kept: list[Any]) -> None:
    others = {"other": Audience(read({"event": "Order Completed"}))}
    traits = {"orders": Computation("count", Named("Order Completed"), None, Window(Span(7, "days")))}
    plan = plan_audience(Audience(read(condition)), others, traits)
    state = plan.empty()
    for t in range(10):
        plan.add(state, ordered(t, t))
    assert state == kept


def test_what_is_asked_of_traits_is_known() -> None:
    condition = {"or": [{"trait": "first_name", "op": "exists"}, {"trait": "address.city", "op": "exists"}]}
    assert plan_audience(Audience(read(condition)), {}, {}).keys == {"firstName", "address", "address.city"}
