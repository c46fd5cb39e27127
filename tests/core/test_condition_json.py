"""Conditions as JSON: what is written can be read, is valid by the schema, and what is wrong is told by its place."""

from typing import Any

import pytest
from hypothesis import given
from jsonschema import Draft202012Validator

from richpanel.core.condition_json import MAX_DEPTH, MAX_LEAVES, condition_json, read, schema
from richpanel.core.conditions import Condition
from richpanel.core.faults import FaultyError
from richpanel.core.money import decode_exact, encode_exact
from tests.core.engage_cases import CONDITIONS

EVENT = {"event": "Order Completed"}
VALIDATOR = Draft202012Validator(
    {"$ref": "#/components/schemas/Condition", "components": {"schemas": schema()}},
)


@given(CONDITIONS)
def test_round_trip(condition: Condition) -> None:
    written = encode_exact(condition_json(condition))
    assert read(decode_exact(written)) == condition


@given(CONDITIONS)
def test_schema_takes_what_is_written(condition: Condition) -> None:
    VALIDATOR.validate(decode_exact(encode_exact(condition_json(condition))))


def test_what_the_contract_shows_is_read() -> None:
    given = {
        "and": [
            {
                **EVENT,
                "performed": True,
                "count": {"op": ">=", "value": 1},
                "within": {"days": 30},
                "where": [{"property": "total", "op": ">", "value": 100}],
            },
            {"or": [{"trait": "plan", "op": "=", "value": "gold"}, {"computed": "spent", "op": ">=", "value": 1000}]},
            {"not": {"audience": "vip"}},
            {"sequence": [{"event": "Checkout Started"}, {"thenNot": EVENT, "within": {"hours": 1}}]},
            {"sequence": ["Checkout Started", {"then": "Order Completed"}], "within": {"days": 7}},
            {"event": "Page Viewed", "between": ["2026-11-01", "2026-12-01"]},
        ]
    }
    VALIDATOR.validate(given)
    assert read(condition_json(read(given))) == read(given)


@pytest.mark.parametrize(
    ("given", "field", "says"),
    [
        ("all", "condition", "an object, not a text"),
        ({}, "condition", "one of and, or, not, sequence, event, trait, computed, audience"),
        ({"event": "A", "trait": "b"}, "condition", "not event and trait together"),
        ({"and": []}, "condition.and", "1 to 100 elements, not 0"),
        ({"and": EVENT}, "condition.and", "a list, not an object"),
        ({"and": [EVENT], "why": 1}, "condition.why", "not known here; possible: and"),
        ({"not": [EVENT]}, "condition.not", "an object, not a list"),
        ({"or": [EVENT, {"not": {"event": ""}}]}, "condition.or[1].not.event", "not be empty"),
        ({"event": 1}, "condition.event", "a text, not a number"),
        ({**EVENT, "performed": "no"}, "condition.performed", "true or false"),
        ({**EVENT, "count": 3}, "condition.count", "an object, not a number"),
        ({**EVENT, "count": {"op": ">="}}, "condition.count.value", "required"),
        ({**EVENT, "count": {"op": "contains", "value": 1}}, "condition.count.op", "not `contains`"),
        ({**EVENT, "count": {"op": ">", "value": -1}}, "condition.count.value", "from 0"),
        ({**EVENT, "where": [{"op": "exists"}]}, "condition.where[0].property", "required"),
        ({**EVENT, "where": [{"context": "ip", "op": "is"}]}, "condition.where[0].op", "not `is`"),
        ({"trait": "plan"}, "condition.op", "required"),
        ({"audience": "vip", "op": "="}, "condition.op", "not known"),
        ({"sequence": [EVENT]}, "condition.sequence", "2 to 8"),
        ({"sequence": [{"then": EVENT}, {"then": EVENT}]}, "condition.sequence[0].event", "required"),
        ({"sequence": [EVENT, EVENT]}, "condition.sequence[1].then", "required"),
        ({"sequence": [EVENT, {"then": {**EVENT, "count": 1}}]}, "condition.sequence[1].then.count", "not known"),
        ({"sequence": [EVENT, {"thenNot": "B", "within": {}}]}, "condition.sequence[1].within", "one of days"),
    ],
)
def test_faults(given: Any, field: str, says: str) -> None:
    with pytest.raises(FaultyError) as caught:
        read(given)
    assert field in dict(caught.value.faults)
    assert says in dict(caught.value.faults)[field]
    assert not VALIDATOR.is_valid(given) or "empty" in says


def test_all_faults_are_told() -> None:
    given = {"and": [{"event": ""}, EVENT, {"or": [{"trait": "a", "op": "in", "value": 1}, {"foo": 1}]}]}
    with pytest.raises(FaultyError) as caught:
        read(given)
    assert [field for field, _ in caught.value.faults] == [
        "condition.and[0].event",
        "condition.and[2].or[0].value",
        "condition.and[2].or[1]",
    ]
    assert str(caught.value).startswith("condition.and[0].event: Must not be empty.; ")


def test_bounds() -> None:
    read({"and": [EVENT] * MAX_LEAVES})
    with pytest.raises(FaultyError, match=f"{MAX_LEAVES} parts"):
        read({"or": [{"and": [EVENT] * MAX_LEAVES}, EVENT]})
    nested: dict[str, Any] = EVENT
    for _ in range(MAX_DEPTH - 1):
        nested = {"not": nested}
    read(nested)
    with pytest.raises(FaultyError, match=f"{MAX_DEPTH} levels"):
        read({"not": nested})
