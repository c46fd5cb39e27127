"""Comparisons: what an operator asks of a property, a trait or a computed trait (`semantics.md` 8).

A comparison with something absent is false, `!=` and `not_contains` too: say NOT for those. Where a list stands, one of
its elements is enough; `!=` and `not_contains` ask that none is. `null` and an empty list are absent. A number
equals a text that reads as the same amount.
"""

import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, TypeAlias

import msgspec

from richpanel.core.faults import MAX_NAME, a_text, each, kind, one_of, quoted, wrong
from richpanel.core.money import amount
from richpanel.core.windows import NEVER, Span, instant, read_instant, read_span, shown, span_json

Scalar: TypeAlias = str | int | Decimal | bool
Predicate: TypeAlias = Callable[[Sequence[Any], int], bool]
"""Asked of the values found and the instant (ms UTC) that `within_last` and `within_next` look from."""

ORDER: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
"""The comparisons of numbers."""

MAX_VALUES: Final = 200
_TEXTS: Final = ("contains", "not_contains", "starts_with", "ends_with")
_DATES: Final = ("before", "after")
_RELATIVE: Final = ("within_last", "within_next")
_EXISTENCE: Final = ("exists", "not_exists")
OPERATORS: Final = (*ORDER, "in", *_TEXTS, *_EXISTENCE, *_DATES, *_RELATIVE)


class Test(msgspec.Struct, frozen=True):
    """An operator with what it compares to: a scalar, several for `in`, an instant (ms UTC), a length, or nothing."""

    __test__ = False  # It is no test of ours.

    op: str
    value: Scalar | tuple[Scalar, ...] | Span | None = None

    def __str__(self) -> str:
        """Write it as `> 100`, `in ("a", "b")`, `within the last 7 days`."""
        if isinstance(self.value, Span):
            return f"{self.op.replace('within_', 'within the ')} {self.value}"
        if self.value is None:
            return self.op.replace("not_exists", "does not exist").replace("_", " ")
        word = self.op.replace("not_contains", "does not contain").replace("_", " ")
        if self.op in _DATES and type(self.value) is int:
            return f"{word} {shown(self.value)}"
        if isinstance(self.value, tuple):
            return f"{word} ({', '.join(map(_shown, self.value))})"
        return f"{word} {_shown(self.value)}"


def read_test(given: Mapping[str, Any], at: str) -> Test:
    """Read `op` and `value` of an object whose other keys are read already."""
    op = one_of(given.get("op"), f"{at}.op", OPERATORS)
    if op in _EXISTENCE:
        if "value" in given:
            raise wrong(f"{at}.value", f"Is not for `{op}`.")
        return Test(op)
    if "value" not in given:
        raise wrong(f"{at}.value", f"Is required by `{op}`.")
    value, at = given["value"], f"{at}.value"
    if op == "in":
        return Test(op, each(value, at, _scalar, most=MAX_VALUES))
    if op in _RELATIVE:
        return Test(op, read_span(value, at))
    if op in _DATES:
        return Test(op, read_instant(value, at))
    if op in _TEXTS:
        return Test(op, a_text(value, at))
    return Test(op, _scalar(value, at) if op in ("=", "!=") else _number(value, at))


def test_json(test: Test) -> dict[str, Any]:
    """Give the keys `op` and `value` of a test."""
    value: Any = test.value
    if isinstance(value, Span):
        value = span_json(value)
    elif isinstance(value, tuple):
        value = list(value)
    elif test.op in _DATES:
        value = shown(value)
    return {"op": test.op} if value is None else {"op": test.op, "value": value}


def predicate(test: Test) -> Predicate:
    """Make what answers a test."""
    op, value = test.op, test.value
    if op == "exists":
        return lambda found, _: bool(found)
    if op == "not_exists":
        return lambda found, _: not found
    if isinstance(value, Span):
        return _within(op, value.ms)
    if op in ("!=", "not_contains"):
        asked = _of_one("=" if op == "!=" else "contains", value)
        return lambda found, _: bool(found) and not any(map(asked, found))
    asked = _of_one(op, value)
    return lambda found, _: any(map(asked, found))


def changes(test: Test, found: Sequence[Any], now: int) -> int:
    """Give the next instant after `now` at which time may change what a test says of these values, else NEVER."""
    if not isinstance(test.value, Span):
        return NEVER
    length = test.value.ms if test.op == "within_last" else -test.value.ms
    times = [t for t in map(instant, found) if t is not None]
    return min((at for t in times for at in (t, t + length) if at > now), default=NEVER)


def path_of(path: str) -> tuple[str, ...]:
    """Split a path at its points: `products.category`, `address.city`, `products.0.sku`."""
    return tuple(path.split("."))


def values_at(inside: object, path: Sequence[str]) -> list[Any]:
    """Find what stands at a path: nothing, a value, or the elements of lists on the way. Keys may have points."""
    if isinstance(inside, Mapping) and len(path) > 1 and ".".join(path) in inside:
        return _listed(inside[".".join(path)])
    found: list[Any] = [inside]
    for key in path:
        found = [value for each in found for value in _below(each, key)]
        if not found:
            return found
    return [value for each in found for value in _listed(each)]


def _below(inside: object, key: str) -> Collection[Any]:
    if isinstance(inside, Mapping):
        return (inside[key],) if key in inside else ()
    if not isinstance(inside, list):
        return ()
    if key.isdecimal():
        return inside[int(key) : int(key) + 1] if len(key) < 10 else ()
    return [element[key] for element in inside if isinstance(element, Mapping) and key in element]


def _listed(value: object) -> list[Any]:
    if isinstance(value, list):
        return [element for element in value if element is not None]
    return [] if value is None else [value]


def _of_one(op: str, value: Any) -> Callable[[Any], bool]:
    if op == "in":
        parts = [_equals(each) for each in value]
        return lambda found: any(part(found) for part in parts)
    if op == "=":
        return _equals(value)
    if op in _TEXTS:
        return _text_test(op, value)
    if op == "before":
        return lambda found: (t := instant(found)) is not None and t < value
    if op == "after":
        return lambda found: (t := instant(found)) is not None and t >= value
    return _order(op, Decimal(value))


def _equals(value: Scalar) -> Callable[[Any], bool]:
    if isinstance(value, bool):
        return lambda found: found is value
    number = amount(value)
    if isinstance(value, str):
        return lambda found: (
            found == value if isinstance(found, str) else number is not None and amount(found) == number
        )
    return lambda found: amount(found) == number


def _order(op: str, value: Decimal) -> Callable[[Any], bool]:
    compare = ORDER[op]

    def asked(found: Any) -> bool:
        number = amount(found)
        return number is not None and compare(number, value)

    return asked


def _text_test(op: str, value: str) -> Callable[[Any], bool]:
    if op == "contains":
        return lambda found: value in _text(found)
    if op == "starts_with":
        return lambda found: _text(found).startswith(value)
    return lambda found: _text(found).endswith(value)


def _text(found: object) -> str:
    """Give a text, or the digits of a number; anything else has nothing in it."""
    if isinstance(found, str):
        return found
    if isinstance(found, bool) or not isinstance(found, int | float | Decimal):
        return ""
    number = amount(found)
    return "" if number is None else f"{number:f}"


def _within(op: str, length: int) -> Predicate:
    """From its instant on for as long, or for as long up to its instant: at the end of either no more."""
    since, until = (0, length) if op == "within_last" else (-length, 0)

    def asked(found: Sequence[Any], now: int) -> bool:
        return any(t is not None and t + since <= now < t + until for t in map(instant, found))

    return asked


def _number(value: object, at: str) -> int | Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise wrong(at, f"Must be a number, not {kind(value)}.")
    if amount(value) is None:
        raise wrong(at, f"{quoted(value)} has too many digits.")
    return Decimal(repr(value)) if isinstance(value, float) else value


def _scalar(value: object, at: str) -> Scalar:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        if len(value) > MAX_NAME:
            raise wrong(at, f"May have {MAX_NAME} characters, not {len(value):,}.")
        return value
    if isinstance(value, int | float | Decimal):
        return _number(value, at)
    raise wrong(at, f"Must be a text, a number, true or false, not {kind(value)}.")


def _shown(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else f"{value:,}"
