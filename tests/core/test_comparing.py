"""Comparisons: what each operator says of what stands at a path (semantics.md 8)."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core.comparing import Test, changes, path_of, predicate, read_test, values_at
from richpanel.core.comparing import test_json as written
from richpanel.core.faults import FaultyError
from richpanel.core.windows import NEVER, Span
from tests.core.engage_cases import TESTS, VALUES

NOW = 1_000_000


def asked(op: str, value: Any, found: object) -> bool:
    return predicate(Test(op, value))(values_at(found, ()), NOW)


@given(TESTS)
def test_round_trip(test: Test) -> None:
    assert read_test(written(test), "at") == test


@pytest.mark.parametrize(
    ("op", "value", "yes", "no"),
    [
        ("=", "gold", ["gold", ["silver", "gold"]], ["Gold", "", 1, True, None, [], {}]),
        ("=", 10, [10, "10", "10.00", "$10", Decimal("1E+1"), 10.0], [True, 11, "ten", None, [[10]]]),
        ("=", "10", ["10", 10, Decimal("10.0")], ["10.0", 11, None]),
        ("=", True, [True, [False, True]], [1, "true", None, False]),
        ("!=", "gold", ["silver", 1, ["a", "b"]], ["gold", ["silver", "gold"], None, []]),
        (">", 10, [11, "10.01", [1, 20], "1,000"], [10, True, "many", None, [], 10**18]),
        (">=", Decimal("0.1"), [Decimal("0.1"), "0.10"], [Decimal("0.09999")]),
        ("<", 0, [-1, "-0.01"], [0, "", None]),
        ("<=", 0, [0, "0.00", -1], [1, None]),
        ("in", ("a", 1), ["a", 1, "1", Decimal("1.0"), ["b", "a"]], ["b", True, None]),
        ("contains", "sale", ["a sale", ["x", "sales"]], ["Sale", 1, None, {}]),
        ("contains", "5", [15, Decimal("0.5")], [True, 4]),
        ("not_contains", "sale", ["a shop", 1, ["x"]], ["a sale", ["x", "sales"], None, []]),
        ("starts_with", "go", ["gold"], ["ago", None]),
        ("ends_with", "ld", ["gold"], ["lda", None]),
        ("exists", None, [0, "", False, {}, ["a"]], [None, [], [None]]),
        ("not_exists", None, [None, []], [0, "", False]),
        ("before", NOW, ["1970-01-01", 999, "1965-01-01"], [1000, NOW, "1970-01-01T00:16:40Z", "soon", True, None]),
        ("after", NOW, [1000, "1970-01-01T00:16:40Z"], [999, "soon", None]),
        ("within_last", Span(1, "seconds"), [1000, "1970-01-01T00:16:39.001Z"], [999, 1001, None]),
        (
            "within_next",
            Span(1, "seconds"),
            [1001, "1970-01-01T00:16:40.001Z"],
            [1000, 1002, "1970-01-01T00:16:41.001Z"],
        ),
    ],
)
def test_operators(op: str, value: Any, yes: list[object], no: list[object]) -> None:
    assert [found for found in yes if not asked(op, value, found)] == []
    assert [found for found in no if asked(op, value, found)] == []


@given(TESTS)
def test_absent_is_never_true_but_for_not_exists(test: Test) -> None:
    assert predicate(test)([], NOW) is (test.op == "not_exists")


@given(TESTS, VALUES, st.integers(0, 12_000))
def test_changes_are_foreseen(test: Test, value: object, now: int) -> None:
    found = values_at(value, ())
    until = changes(test, found, now)
    assert until > now
    held = predicate(test)(found, now)
    for instant in {*range(now, min(until, 30_000), 100), min(until, 30_000) - 1}:
        if now <= instant < until:
            assert predicate(test)(found, instant) == held
    assert until == NEVER or isinstance(test.value, Span)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("total", [1]),
        ("address.city", ["Oslo"]),
        ("products.sku", ["a", "b"]),
        ("products.1.sku", ["b"]),
        ("products.9.sku", []),
        ("tags", ["x", "y"]),
        ("utm.source", ["mail"]),
        ("nothing", []),
        ("missing.below", []),
        ("total.below", []),
        ("null", []),
        ("products.99999999999999999999", []),
    ],
)
def test_paths(path: str, found: list[object]) -> None:
    inside = {
        "total": 1,
        "address": {"city": "Oslo"},
        "products": [{"sku": "a"}, {"sku": "b"}, {"name": "c"}, "d"],
        "tags": ["x", None, "y"],
        "utm.source": "mail",
        "null": None,
    }
    assert values_at(inside, path_of(path)) == found


@pytest.mark.parametrize(
    ("given", "field", "says"),
    [
        ({"op": "~"}, "c.op", "one of"),
        ({}, "c.op", "one of"),
        ({"op": "="}, "c.value", "required by `=`"),
        ({"op": "exists", "value": 1}, "c.value", "not for `exists`"),
        ({"op": ">", "value": "1"}, "c.value", "a number, not a text"),
        ({"op": ">", "value": 10**18}, "c.value", "too many digits"),
        ({"op": "=", "value": None}, "c.value", "not null"),
        ({"op": "=", "value": {}}, "c.value", "not an object"),
        ({"op": "=", "value": "x" * 513}, "c.value", "512"),
        ({"op": "in", "value": "a"}, "c.value", "a list, not a text"),
        ({"op": "in", "value": []}, "c.value", "1 to 200"),
        ({"op": "in", "value": ["a", []]}, "c.value[1]", "not a list"),
        ({"op": "contains", "value": ""}, "c.value", "not be empty"),
        ({"op": "before", "value": "soon"}, "c.value", "`soon`"),
        ({"op": "within_last", "value": {"day": 1}}, "c.value.day", "not known"),
    ],
)
def test_faults(given: dict[str, Any], field: str, says: str) -> None:
    with pytest.raises(FaultyError) as caught:
        read_test(given, "c")
    ((at, text),) = caught.value.faults
    assert at == field
    assert says in text
