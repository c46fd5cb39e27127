"""Computed traits: what each kind makes of a property's values, exactly; JSON and one line."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given

from richpanel.core.computed import (
    KINDS,
    MAX_LIST,
    MAX_LISTED,
    Computation,
    Kind,
    computation_json,
    is_empty,
    ranked,
    read_computation,
    readings,
    typed,
)
from richpanel.core.conditions import Named
from richpanel.core.faults import FaultyError
from richpanel.core.happened import Happened
from richpanel.core.membership import TraitPlan
from richpanel.core.money import decode_exact, encode_exact
from richpanel.core.windows import NEVER, Span, Window
from tests.core.engage_cases import COMPUTATIONS

MONTH = Window(Span(30, "days"))
GIVEN: list[Any] = ["b", 2, Decimal("0.10"), "a", "$1.20", True, "a", None, ["b", 2], {"x": 1}]


@given(COMPUTATIONS)
def test_round_trip(computation: Computation) -> None:
    assert read_computation(decode_exact(encode_exact(computation_json(computation)))) == computation


@pytest.mark.parametrize("window", [Window(), MONTH])
@pytest.mark.parametrize(
    ("kind", "expected", "of_nothing"),
    [
        ("count", 10, 0),
        ("sum", Decimal("5.3"), 0),
        ("average", Decimal("1.32"), None),  # To the cent, half to even: 5.30 / 4 is 1.325.
        ("minimum", Decimal("0.1"), None),
        ("maximum", 2, None),
        ("first", "b", None),
        ("last", {"x": 1}, None),
        ("most_frequent", 2, None),  # As often as "a" and "b": numbers come before texts.
        ("unique_list", [True, Decimal("0.1"), 2, "$1.20", "a", "b"], []),
        ("unique_count", 6, 0),
    ],
)
def test_kinds(kind: Kind, expected: Any, of_nothing: Any, window: Window) -> None:
    plan = TraitPlan(Computation(kind, Named("A"), None if kind == "count" else "v", window))
    state = plan.empty()
    assert typed(plan.value(state, 0)[0]) == of_nothing
    assert is_empty(plan.value(state, 0)[0])
    for number, value in enumerate(GIVEN):
        plan.add(state, Happened((number, f"m{number}", "web"), "A", {"v": value}))
    raw, until = plan.value(state, len(GIVEN))
    found = typed(raw)
    assert found == expected
    assert type(found) is type(expected)
    assert not is_empty(raw)
    assert (until == NEVER) is (window.within is None)


def test_of_a_list_each_element_counts() -> None:
    plan = TraitPlan(Computation("sum", Named("Order Completed"), "products.price"))
    state = plan.empty()
    order = {"products": [{"price": 19}, {"price": "27.50"}, {"price": None}, {}]}
    plan.add(state, Happened((1, "m", "web"), "Order Completed", order))
    assert typed(plan.value(state, 1)[0]) == Decimal("46.5")


def test_what_is_unusable_is_passed_over() -> None:
    assert readings("sum", ("v",), {"v": ["x", True, "1e3", 10**18]}) == ["1000.00"]
    assert readings("unique_list", ("v",), {"v": ["x" * 600, {"a": 1}, 1, Decimal("1.0"), "1"]}) == ["1", "1", '"1"']
    assert readings("first", ("v",), {"v": "x" * 5_000}) == []
    assert readings("last", ("v",), {"v": {"a": Decimal("1.50")}}) == ['{"a":1.50}']


def test_a_list_is_bounded_and_in_order() -> None:
    found = ranked(str(number) for number in range(2_000, 0, -1))
    assert found == tuple(str(number) for number in range(1, MAX_LISTED + 1))
    long = ranked(f'"{number:0500}"' for number in range(500))
    assert len(long) == MAX_LIST // 503


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"kind": "count", "event": "A"}, "number of A"),
        (
            {"kind": "sum", "event": "A", "property": "total", "within": {"days": 30}},
            "sum of total of A in the last 30 days",
        ),
        ({"kind": "most_frequent", "event": "A", "property": "sku"}, "most frequent sku of A"),
        ({"kind": "last", "event": "A", "property": "sku"}, "last sku of A"),
        ({"kind": "unique_list", "event": "A", "property": "sku"}, "unique values of sku of A"),
    ],
)
def test_one_line(given: dict[str, Any], line: str) -> None:
    assert str(read_computation(given)) == line


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"kind": "median", "event": "A", "property": "v"}, "computation.kind"),
        ({"kind": "sum", "event": "A"}, "computation.property"),
        ({"kind": "count", "event": "A", "property": "v"}, "computation.property"),
        ({"kind": "sum", "event": "A", "property": "v", "name": "x"}, "computation.name"),
        ({"kind": "sum", "event": "A", "property": "v", "where": [{"property": "x"}]}, "computation.where[0].op"),
    ],
)
def test_faults(given: dict[str, Any], field: str) -> None:
    with pytest.raises(FaultyError) as caught:
        read_computation(given)
    assert [at for at, _ in caught.value.faults] == [field]


def test_kinds_are_those_of_the_contract() -> None:
    contract = "count sum average minimum maximum first last most_frequent unique_list unique_count"
    assert list(KINDS) == contract.split()
