"""References: what audiences ask for must be there, without circles and without end."""

import pytest

from richpanel.core.computed import Computation
from richpanel.core.condition_json import read
from richpanel.core.conditions import All, AnyOf, Computed, Condition, InAudience, Named, Not
from richpanel.core.faults import FaultyError
from richpanel.core.membership import Audience
from richpanel.core.references import MAX_PARTS, check, dependants, placed

TRAITS = {"spent": Computation("sum", Named("Order Completed"), "total")}
LEAF = read({"event": "A"})


def asking(*keys: str) -> Condition:
    return All(tuple(map(InAudience, keys))) if keys else LEAF


def library(**asks: list[str]) -> dict[str, Audience]:
    return {key: Audience(asking(*names)) for key, names in asks.items()}


def test_what_is_there_may_be_asked_for() -> None:
    condition = read({"and": [{"audience": "a"}, {"computed": "spent", "op": ">", "value": 1}]})
    check("new", condition, library(a=["b"], b=[]), TRAITS)


def test_all_that_is_missing_is_told_by_its_place() -> None:
    condition = read({"or": [{"not": {"audience": "x"}}, {"and": [{"computed": "y", "op": "exists"}]}]})
    with pytest.raises(FaultyError) as caught:
        check("new", condition, {}, TRAITS)
    assert dict(caught.value.faults) == {
        "condition.or[0].not.audience": "There is no audience `x`.",
        "condition.or[1].and[0].computed": "There is no computed trait `y`.",
    }


@pytest.mark.parametrize(
    ("asks", "start", "way"),
    [
        ({}, "new", "new > new"),
        ({"a": ["new"]}, "a", "new > a > new"),
        ({"a": ["b", "c"], "b": [], "c": ["d"], "d": ["b", "new"]}, "a", "new > a > c > d > new"),
    ],
)
def test_circles(asks: dict[str, list[str]], start: str, way: str) -> None:
    """The audience that is edited may be there already; others ask for its key."""
    with pytest.raises(FaultyError, match=way):
        check("new", asking(start), library(**{"new": [], **asks}), TRAITS)
    with pytest.raises(FaultyError, match=way):
        check("new", asking(start), library(**asks), TRAITS)


def test_dependants_are_all_who_ask_themselves_or_through_others() -> None:
    audiences = library(a=[], b=["a"], c=["b", "d"], d=[], e=["d"])
    assert dependants("a", audiences) == {"b", "c"}
    assert dependants("d", audiences) == {"c", "e"}
    assert dependants("c", audiences) == set()


def test_an_audience_that_grows_through_others_is_refused() -> None:
    audiences = {"0": Audience(AnyOf((LEAF,) * 20))}
    for number in range(1, 30):
        audiences[str(number)] = Audience(asking(*[str(number - 1)] * 10))
    with pytest.raises(FaultyError, match=f"{MAX_PARTS} parts"):
        check("new", asking("29"), audiences, TRAITS)
    check("new", asking("0"), audiences, TRAITS)


def test_parts_are_placed_as_the_json_has_them() -> None:
    condition = All((LEAF, Not(AnyOf((InAudience("a"), Computed("b", read_test()))))))
    assert [at for at, _ in placed(condition)] == [
        "condition.and[0]",
        "condition.and[1].not.or[0]",
        "condition.and[1].not.or[1]",
    ]


def read_test():
    condition = read({"computed": "b", "op": "exists"})
    assert isinstance(condition, Computed)
    return condition.test
