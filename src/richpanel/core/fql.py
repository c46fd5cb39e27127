"""FQL, Segment's filter language: an expression becomes a function that tells whether a message matches.

Sources: the public FQL reference (facts of the Segment side, 6); where it is silent, Segment's matcher for browsers.
Null is taken everywhere with a sensible meaning; any other wrong type makes an expression fail (`FqlError`), so that a
filter that nobody can evaluate lets nothing through. Cost is bounded: expressions by size and depth, texts by length.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from richpanel.core.fql_functions import FUNCTIONS, Function
from richpanel.core.fql_nodes import (
    Call,
    Compared,
    Everything,
    FqlError,
    Items,
    Joined,
    Literal,
    Node,
    Not,
    Path,
    Place,
    kind_of,
    show,
)
from richpanel.core.wildcards import Wildcard

__all__ = ["Condition", "FqlError", "compile_fql", "condition_of", "parse", "path_keys", "show"]

Message = Mapping[str, Any]
Value = Callable[[Message], Any]
Condition = Callable[[Message], bool]

_ORDER: Final[dict[str, Callable[[Any, Any], bool]]] = {
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
}
_SCALAR: Final = frozenset({"string", "number", "bool", "null"})


def parse(text: str) -> Node:
    """Read an expression. Raises FqlError with line and column, and what was expected there."""
    from richpanel.core import fql_grammar  # The parser is for those who have filters: 5 MB.

    return fql_grammar.parse(text)


def path_keys(text: str) -> tuple[str, ...]:
    """Read a path of fields, `properties.product\\ 1`. Raises FqlError."""
    node = parse(text)
    if isinstance(node, Everything):
        return ("all",)
    if not isinstance(node, Path):
        raise FqlError("This is not the path of a field, such as `properties.email`.")
    return node.keys


@lru_cache(maxsize=64)
def compile_fql(text: str) -> Condition:
    """Make an expression a function of a message, decoded. Raises FqlError for what can never be evaluated.

    The function raises FqlError, and nothing else, for a message that the expression cannot be evaluated for.
    """
    return condition_of(parse(text))


def condition_of(node: Node) -> Condition:
    """Make a parsed expression a function of a message."""
    value, kind = _compiled(node)
    if kind not in (None, "bool", "null"):
        raise FqlError(f"The expression gives a {kind}; it must be true or false.", node.place)

    def condition(message: Message) -> bool:
        try:
            return _truth(value(message), "The expression")
        except RecursionError:
            raise FqlError("The message is nested too deeply to compare it.") from None

    return condition


def _compiled(node: Node) -> tuple[Value, str | None]:
    """Make a node a function; give the type that it is known to have (or null), None where only a message tells."""
    match node:
        case Everything():
            return (lambda _: True), "bool"
        case Path(keys):
            return _path(keys), None
        case Literal(value):
            return (lambda _: value), kind_of(value)
        case Items(items):
            values = [_compiled(each)[0] for each in items]
            return (lambda message: [value(message) for value in values]), "list"
        case Call():
            return _call(node)
        case Not(of):
            return _not(of), "bool"
        case Compared():
            return _compared(node), "bool"
        case Joined():
            return _joined(node), "bool"


def _path(keys: tuple[str, ...]) -> Value:
    def value(message: Message) -> Any:
        found: Any = message
        for key in keys:
            if not isinstance(found, Mapping):
                return None
            found = found.get(key)
        return found

    return value


def _call(node: Call) -> tuple[Value, str]:
    function = FUNCTIONS.get(node.name)
    if function is None:
        raise FqlError(f"There is no function `{node.name}`; there are {', '.join(FUNCTIONS)}.", node.place)
    wanted, given = len(function.takes), len(node.arguments)
    if wanted != given:
        plural = "" if wanted == 1 else "s"
        raise FqlError(f"{node.name}() takes {wanted} argument{plural}, not {given}.", node.place)
    compiled = [_compiled(each) for each in node.arguments]
    for (_, kind), takes, argument in zip(compiled, function.takes, node.arguments, strict=True):
        if kind not in (None, "null") and kind not in takes:
            raise FqlError(_refusal(node.name, takes, kind), argument.place)
    _check_pattern(node)
    return _called(node.name, function, [value for value, _ in compiled]), function.gives


def _check_pattern(node: Call) -> None:
    """Tell of a malformed pattern before any message comes."""
    if node.name == "match" and isinstance(pattern := node.arguments[1], Literal) and isinstance(pattern.value, str):
        try:
            Wildcard(pattern.value)
        except FqlError as error:
            raise FqlError(error.text, pattern.place) from None


def _called(name: str, function: Function, values: Sequence[Value]) -> Value:
    def call(message: Message) -> Any:
        given = [value(message) for value in values]
        for each, takes in zip(given, function.takes, strict=True):
            if each is not None and (kind := kind_of(each)) not in takes:
                raise FqlError(_refusal(name, takes, kind))
        return function.does(*given)

    return call


def _refusal(name: str, takes: frozenset[str], kind: str) -> str:
    return f"{name}() takes a {' or '.join(sorted(takes))}, not a {kind}."


def _not(node: Node) -> Value:
    value = _condition(node, "`!`")
    return lambda message: not value(message)


def _joined(node: Joined) -> Value:
    conditions = [_condition(each, f"`{node.operator}`") for each in node.of]
    if node.operator == "and":
        return lambda message: all(condition(message) for condition in conditions)
    return lambda message: any(condition(message) for condition in conditions)


def _condition(node: Node, before: str) -> Condition:
    value, kind = _compiled(node)
    if kind not in (None, "bool", "null"):
        raise FqlError(f"{before} takes true or false, not a {kind}.", node.place)
    return lambda message: _truth(value(message), before)


def _truth(value: object, whose: str) -> bool:
    """Take true or false; null counts as false."""
    if value is None:
        return False
    if not isinstance(value, bool):
        raise FqlError(f"{whose} met a {kind_of(value)} where true or false is needed.")
    return value


def _compared(node: Compared) -> Value:
    (left, left_kind), (right, right_kind) = _compiled(node.left), _compiled(node.right)
    if node.operator == "=":
        return lambda message: same(left(message), right(message))
    if node.operator == "!=":
        return lambda message: not same(left(message), right(message))
    if node.operator == "in":
        _check("in", left_kind, _SCALAR, node.left.place)
        _check("in", right_kind, frozenset({"list"}), node.right.place)
        return lambda message: _within(left(message), right(message))
    for kind, place in ((left_kind, node.left.place), (right_kind, node.right.place)):
        _check(node.operator, kind, frozenset({"number"}), place)
    return _ordered(node.operator, left, right)


def _check(operator: str, kind: str | None, takes: frozenset[str], place: Place) -> None:
    if kind not in (None, "null") and kind not in takes:
        raise FqlError(_uncomparable(operator, kind or ""), place)


def _ordered(operator: str, left: Value, right: Value) -> Value:
    compare = _ORDER[operator]

    def ordered(message: Message) -> bool:
        one, other = left(message), right(message)
        for each in (one, other):
            if each is not None and kind_of(each) != "number":
                raise FqlError(_uncomparable(operator, kind_of(each)))
        return one is not None and other is not None and compare(one, other)

    return ordered


def _within(value: object, items: object) -> bool:
    if kind_of(value) not in _SCALAR:
        raise FqlError(_uncomparable("in", kind_of(value)))
    if items is None:
        return False
    if not isinstance(items, list):
        raise FqlError(_uncomparable("in", kind_of(items)))
    return any(same(value, each) for each in items)


def _uncomparable(operator: str, kind: str) -> str:
    needed = "a text, number, bool or null, and a list" if operator == "in" else "numbers"
    return f"`{operator}` takes {needed}, not a {kind}."


def same(one: Any, other: Any) -> bool:
    """Tell whether two values are of one type and equal; lists and objects all the way down."""
    kind = kind_of(one)
    if kind != kind_of(other):
        return False
    if kind == "list":
        return len(one) == len(other) and all(map(same, one, other))
    if kind == "object":
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    return bool(one == other)
