"""Definitions of audiences and computed traits as they are stored: whole, with all that they ask for."""

from decimal import Decimal
from typing import Any

import pytest

from richpanel.core.computed import Computation, read_computation
from richpanel.core.condition_json import read
from richpanel.core.defined import defined_json, gather, read_defined
from richpanel.core.happened import Happened
from richpanel.core.membership import Audience, AudiencePlan, Person, TraitPlan

NOW = 1_760_000_000_000
SPENT = read_computation({"kind": "sum", "event": "Order Completed", "property": "total", "within": {"days": 90}})
OTHER = read_computation({"kind": "count", "event": "Page Viewed"})


def audience(condition: dict[str, Any], *, visitors: bool = False) -> Audience:
    return Audience(read(condition), visitors)


AUDIENCES = {
    "buyers": audience({"event": "Order Completed"}, visitors=True),
    "spenders": audience({"computed": "spent", "op": ">=", "value": Decimal("99.50")}),
    "vip": audience({"and": [{"audience": "spenders"}, {"trait": "plan", "op": "=", "value": "gold"}]}),
}
TRAITS = {"spent": SPENT, "views": OTHER}


def test_what_others_ask_for_is_taken_along_and_nothing_else() -> None:
    defined = gather(audience({"not": {"audience": "vip"}}), AUDIENCES, TRAITS)
    assert defined.audiences == {"spenders": AUDIENCES["spenders"], "vip": AUDIENCES["vip"]}
    assert defined.traits == {"spent": SPENT}
    assert gather(SPENT, AUDIENCES, TRAITS).traits == {}


@pytest.mark.parametrize(
    "condition",
    [
        {"not": {"audience": "vip"}},
        {"or": [{"audience": "buyers"}, {"computed": "views", "op": ">", "value": 3}]},
        {"sequence": ["Checkout Started", {"thenNot": "Order Completed", "within": {"hours": 1}}]},
        {"event": "Order Completed", "between": ["2026-01-01", "2026-02-01"], "count": {"op": "=", "value": 2}},
        {"event": "A", "performed": False, "where": [{"property": "total", "op": ">", "value": Decimal("0.1")}]},
    ],
)
def test_a_definition_is_read_back_as_it_was_written(condition: dict[str, Any]) -> None:
    defined = gather(audience(condition), AUDIENCES, TRAITS)
    assert read_defined(defined_json(defined)) == defined


@pytest.mark.parametrize("computation", [SPENT, OTHER])
def test_a_computation_is_read_back_and_made_ready(computation: Computation) -> None:
    defined = read_defined(defined_json(gather(computation, {}, {})))
    assert defined.what == computation
    assert isinstance(defined.plan(), TraitPlan)


def test_an_audience_is_made_ready_with_what_it_asks_for() -> None:
    plan = read_defined(defined_json(gather(AUDIENCES["vip"], AUDIENCES, TRAITS))).plan()
    assert isinstance(plan, AudiencePlan)
    state = plan.empty()
    plan.add(state, Happened((NOW, "src", "m1"), "Order Completed", {"total": "99.50"}))
    assert plan.judge(state, Person({"plan": "gold"}), NOW).member
    assert not plan.judge(state, Person({"plan": "silver"}), NOW).member
