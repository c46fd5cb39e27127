"""Conditions as the API has them: JSON in and out, strictly, with each fault by its place, and the schema."""

from collections.abc import Callable
from typing import Any, Final, Literal

from richpanel.core.comparing import OPERATORS, ORDER, read_test, test_json
from richpanel.core.conditions import (
    AT_LEAST_ONCE,
    All,
    AnyOf,
    Computed,
    Condition,
    Count,
    InAudience,
    Named,
    Not,
    Performed,
    Sequence,
    Step,
    Trait,
    Where,
    leaves,
)
from richpanel.core.faults import a_text, an_integer, an_object, each, kind, one_of, wrong
from richpanel.core.windows import KEYS, UNITS, read_span, read_window, span_json, window_json

MAX_LEAVES: Final = 50
MAX_DEPTH: Final = 16
MAX_STEPS: Final = 8
MAX_COUNT: Final = 10_000
MAX_FILTERS: Final = 20


def read(value: object, at: str = "condition") -> Condition:
    """Read a condition, decoded by `money.decode_exact`. Raises FaultyError with all that is wrong with it."""
    condition = _read(value, at, 1)
    number = sum(1 for _ in leaves(condition))
    if number > MAX_LEAVES:
        raise wrong(at, f"May have {MAX_LEAVES} parts beside AND, OR and NOT, not {number}.")
    return condition


def _read(value: object, at: str, depth: int) -> Condition:
    if not isinstance(value, dict):
        raise wrong(at, f"Must be an object, not {kind(value)}.")
    named = [key for key in _READERS if key in value]
    if len(named) != 1:
        given = f", not {' and '.join(named)} together" if named else ""
        raise wrong(at, f"Must have one of {', '.join(_READERS)}{given}.")
    if depth > MAX_DEPTH:
        raise wrong(at, f"May be nested {MAX_DEPTH} levels deep.")
    return _READERS[named[0]](value, at, depth)


def _read_all(value: dict[str, Any], at: str, depth: int) -> Condition:
    return All(_parts(an_object(value, at, required=("and",))["and"], f"{at}.and", depth))


def _read_any(value: dict[str, Any], at: str, depth: int) -> Condition:
    return AnyOf(_parts(an_object(value, at, required=("or",))["or"], f"{at}.or", depth))


def _parts(value: object, at: str, depth: int) -> tuple[Condition, ...]:
    return each(value, at, lambda part, place: _read(part, place, depth + 1))


def _read_not(value: dict[str, Any], at: str, depth: int) -> Condition:
    return Not(_read(an_object(value, at, required=("not",))["not"], f"{at}.not", depth + 1))


def read_named(value: dict[str, Any], at: str) -> Named:
    """Read `event` and `where` of an object whose keys are checked."""
    return Named(a_text(value["event"], f"{at}.event"), read_where(value.get("where", []), f"{at}.where"))


def read_where(value: object, at: str) -> tuple[Where, ...]:
    """Read filters."""
    return each(value, at, _read_filter, least=0, most=MAX_FILTERS)


def _read_filter(value: object, at: str) -> Where:
    of: Literal["property", "context"] = "context" if isinstance(value, dict) and "context" in value else "property"
    given = an_object(value, at, required=(of, "op"), optional=("value",))
    return Where(of, a_text(given[of], f"{at}.{of}"), read_test(given, at))


def _read_performed(value: dict[str, Any], at: str, _: int) -> Condition:
    given = an_object(value, at, required=("event",), optional=("performed", "count", "where", *KEYS))
    performed = given.get("performed", True)
    if not isinstance(performed, bool):
        raise wrong(f"{at}.performed", f"Must be true or false, not {kind(performed)}.")
    count = _read_count(given["count"], f"{at}.count") if "count" in given else AT_LEAST_ONCE
    return Performed(read_named(given, at), count, performed, read_window(given, at))


def _read_count(value: object, at: str) -> Count:
    given = an_object(value, at, required=("op", "value"))
    return Count(one_of(given["op"], f"{at}.op", ORDER), an_integer(given["value"], f"{at}.value", 0, MAX_COUNT))


def _read_sequence(value: dict[str, Any], at: str, _: int) -> Condition:
    given = an_object(value, at, required=("sequence",), optional=KEYS)
    steps = each(given["sequence"], f"{at}.sequence", _read_step, least=2, most=MAX_STEPS)
    first, *others = steps
    if not first.followed or first.within is not None:
        raise wrong(f"{at}.sequence[0]", 'Must be an event, such as {"event": "Checkout Started"}.')
    return Sequence(first.event, tuple(others), read_window(given, at))


def _read_step(value: object, at: str) -> Step:
    """Read `{"then": EVENT}`, `{"thenNot": EVENT}` or, where it begins, EVENT: a name, or an object with filters."""
    if at.endswith("[0]"):
        return Step(_read_event(value, at))
    word = "thenNot" if isinstance(value, dict) and "thenNot" in value else "then"
    given = an_object(value, at, required=(word,), optional=("within",))
    within = read_span(given["within"], f"{at}.within") if "within" in given else None
    return Step(_read_event(given[word], f"{at}.{word}"), word == "then", within)


def _read_event(value: object, at: str) -> Named:
    if isinstance(value, str):
        return Named(a_text(value, at))
    return read_named(an_object(value, at, required=("event",), optional=("where",)), at)


def _read_trait(value: dict[str, Any], at: str, _: int) -> Condition:
    given = an_object(value, at, required=("trait", "op"), optional=("value",))
    return Trait(a_text(given["trait"], f"{at}.trait"), read_test(given, at))


def _read_computed(value: dict[str, Any], at: str, _: int) -> Condition:
    given = an_object(value, at, required=("computed", "op"), optional=("value",))
    return Computed(a_text(given["computed"], f"{at}.computed"), read_test(given, at))


def _read_audience(value: dict[str, Any], at: str, _: int) -> Condition:
    return InAudience(a_text(an_object(value, at, required=("audience",))["audience"], f"{at}.audience"))


_READERS: Final[dict[str, Callable[[dict[str, Any], str, int], Condition]]] = {
    "and": _read_all,
    "or": _read_any,
    "not": _read_not,
    "sequence": _read_sequence,
    "event": _read_performed,
    "trait": _read_trait,
    "computed": _read_computed,
    "audience": _read_audience,
}


def condition_json(condition: Condition) -> dict[str, Any]:
    """Give the JSON form of a condition; decimals are to be written as numbers (`money.encode_exact`)."""
    match condition:
        case All(conditions):
            return {"and": list(map(condition_json, conditions))}
        case AnyOf(conditions):
            return {"or": list(map(condition_json, conditions))}
        case Not(inner):
            return {"not": condition_json(inner)}
        case Trait(key, test):
            return {"trait": key, **test_json(test)}
        case Computed(key, test):
            return {"computed": key, **test_json(test)}
        case InAudience(key):
            return {"audience": key}
        case Sequence(first, steps, window):
            return {"sequence": [named_json(first), *map(_step_json, steps)], **window_json(window)}
        case Performed():
            return _performed_json(condition)


def named_json(event: Named) -> dict[str, Any]:
    """Give `event` and `where`."""
    where = [{part.of: part.path, **test_json(part.test)} for part in event.where]
    return {"event": event.name, "where": where} if where else {"event": event.name}


def _performed_json(condition: Performed) -> dict[str, Any]:
    given: dict[str, Any] = {**named_json(condition.event), **window_json(condition.window)}
    given["performed"] = condition.performed
    if condition.count != AT_LEAST_ONCE:
        given["count"] = {"op": condition.count.op, "value": condition.count.value}
    return given


def _step_json(step: Step) -> dict[str, Any]:
    given: dict[str, Any] = {"then" if step.followed else "thenNot": named_json(step.event)}
    if step.within is not None:
        given["within"] = span_json(step.within)
    return given


_SPAN: Final = {
    "type": "object",
    "properties": {unit: {"type": "integer", "minimum": 1} for unit in UNITS},
    "minProperties": 1,
    "maxProperties": 1,
    "additionalProperties": False,
}
_TIME: Final = {"type": "string", "description": "A date, its first instant in UTC, or a date with a time; ISO 8601."}
_WINDOW: Final[dict[str, Any]] = {
    "within": _SPAN,
    "between": {"type": "array", "items": _TIME, "minItems": 2, "maxItems": 2},
    "before": _TIME,
    "after": _TIME,
}
_TEXT: Final = {"type": "string", "minLength": 1}
_TEST: Final[dict[str, Any]] = {"op": {"enum": list(OPERATORS)}, "value": {}}


def schema(name: str = "Condition") -> dict[str, dict[str, Any]]:
    """Give the components of an OpenAPI document that a condition, under this name, consists of."""
    itself = {"$ref": f"#/components/schemas/{name}"}
    event = {"$ref": f"#/components/schemas/{name}Event"}
    where = {
        "type": "array",
        "items": {"oneOf": [_closed({key: _TEXT, **_TEST}, key, "op") for key in ("property", "context")]},
    }
    parts = {"type": "array", "items": itself, "minItems": 1}
    count = _closed({"op": {"enum": list(ORDER)}, "value": {"type": "integer", "minimum": 0}}, "op", "value")
    steps = [_closed({word: event, "within": _SPAN}, word) for word in ("then", "thenNot")]
    sequence = {
        "type": "array",
        "prefixItems": [event],
        "items": {"oneOf": steps},
        "minItems": 2,
        "maxItems": MAX_STEPS,
    }
    kinds = [
        _closed({"and": parts}, "and"),
        _closed({"or": parts}, "or"),
        _closed({"not": itself}, "not"),
        _closed({"event": _TEXT, "performed": {"type": "boolean"}, "count": count, "where": where, **_WINDOW}, "event"),
        _closed({"sequence": sequence, **_WINDOW}, "sequence"),
        _closed({"trait": _TEXT, **_TEST}, "trait", "op"),
        _closed({"computed": _TEXT, **_TEST}, "computed", "op"),
        _closed({"audience": _TEXT}, "audience"),
    ]
    return {
        name: {"oneOf": kinds},
        f"{name}Event": {"oneOf": [_TEXT, _closed({"event": _TEXT, "where": where}, "event")]},
    }


def _closed(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }
