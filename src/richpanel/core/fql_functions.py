"""FQL's functions: what each takes and gives, null included; what they cannot take is an FqlError."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from richpanel.core.fql_nodes import FqlError, kind_of
from richpanel.core.wildcards import wildcard

MAX_TEXT: Final = 65_536
"""No text grows longer than this while an expression is evaluated."""
_NUMBER: Final = re.compile(r"\s*([+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?)\s*")
_SPACE: Final = re.compile(r"\s")
_WORD: Final = re.compile(r"(?<!\S)\S")
_FALSE: Final = frozenset({"", "0", "false"})


class Function(NamedTuple):
    """A function: the types that each argument may have, the type that it gives, and what it does.

    Null is taken everywhere.
    """

    takes: tuple[frozenset[str], ...]
    gives: str
    does: Callable[..., Any]


def _contains(text: str | None, part: str | None) -> bool:
    return text is not None and part is not None and part in text


def _length(value: str | Sequence[object] | None) -> int:
    if value is None:
        return 0
    return len(value.encode("utf-8", "surrogatepass")) if isinstance(value, str) else len(value)


def _match(text: str | None, pattern: str | None) -> bool:
    return text is not None and pattern is not None and wildcard(pattern).matches(text)


def _of_text(change: Callable[[str], str]) -> Function:
    def does(text: str | None) -> str | None:
        return None if text is None else bounded(change(text))

    return Function((frozenset({"string"}),), "string", does)


def _bool(value: object) -> bool:
    return value.lower() not in _FALSE if isinstance(value, str) else bool(value)


def _number(value: str | int | float | None) -> int | float | None:
    if not isinstance(value, str):
        return value
    found = _NUMBER.fullmatch(value)
    number = float(found[1]) if found is not None and len(value) <= 400 else math.inf
    if not math.isfinite(number):
        raise FqlError("number() was given a text that is none.")
    return int(found[1]) if found is not None and found[1].lstrip("+-").isdigit() else number


def _string(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    _bound_list(value, MAX_TEXT)
    try:
        text = str(value) if isinstance(value, int) else msgspec.json.encode(value).decode()
    except (OverflowError, ValueError):
        raise FqlError("string() was given a number with too many digits.") from None
    return bounded(text)


def bounded(text: str) -> str:
    """Give a text that is not too long."""
    if len(text) > MAX_TEXT:
        raise FqlError(f"A text grew longer than {MAX_TEXT:,} characters.")
    return text


def _bound_list(value: object, room: int) -> int:
    """Tell how much room is left once a value is written, before it is written."""
    if room < 0:
        raise FqlError(f"A list grew longer than {MAX_TEXT:,} characters.")
    if isinstance(value, str):
        return room - len(value)
    if isinstance(value, dict):
        for key, each in value.items():
            room = _bound_list(each, room - len(key))
    elif isinstance(value, list | tuple):
        for each in value:
            room = _bound_list(each, room - 1)
    return room - 1


_STRING: Final = frozenset({"string"})
_LIST_OR_STRING: Final = frozenset({"list", "string"})
_SCALARS: Final = frozenset({"list", "string", "number", "bool"})
_ANY: Final = frozenset({"list", "string", "number", "bool", "object"})

FUNCTIONS: Final[dict[str, Function]] = {
    "contains": Function((_STRING, _STRING), "bool", _contains),
    "length": Function((_LIST_OR_STRING,), "number", _length),
    "lowercase": _of_text(str.lower),
    "uppercase": _of_text(str.upper),
    "snakecase": _of_text(lambda text: _SPACE.sub("_", text)),
    "kebabcase": _of_text(lambda text: _SPACE.sub("-", text)),
    "titlecase": _of_text(lambda text: _WORD.sub(lambda found: found[0].upper(), text)),
    "typeof": Function((_ANY,), "string", kind_of),
    "match": Function((_STRING, _STRING), "bool", _match),
    "bool": Function((_SCALARS,), "bool", _bool),
    "string": Function((_SCALARS,), "string", _string),
    "number": Function((frozenset({"number", "string"}),), "number", _number),
}
