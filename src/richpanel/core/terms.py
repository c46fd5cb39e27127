"""Terms: what a list of customers is narrowed down by, as somebody types it: `plan=gold; points>=10; !phone`.

A name stands for a trait. Alone it must be there, with `!` in front it must not; `=`, `!=`, `>`, `>=`, `<` and `<=`
compare with it, and `~` looks for a text in it. As in audiences, a comparison with what is absent is false, `!=` too.
"""

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

import msgspec

MOST_TERMS: Final = 10
_TERM: Final = re.compile(
    r"\s*(?P<not>!?)\s*(?P<key>[^=!<>~]+?)\s*(?:(?P<op>!=|>=|<=|=|>|<|~)\s*(?P<value>.*?))?\s*", re.S
)
_KEY: Final = r"[^=!<>~;\s][^=!<>~;]*"
_ONE: Final = rf"\s*(?:!\s*{_KEY}|{_KEY}(?:(?:!=|>=|<=|=|>|<|~)[^;]*)?)"
_MAYBE: Final = rf"(?:{_ONE}|\s*)"
TERMS_PATTERN: Final = rf"{_MAYBE}(?:;{_MAYBE}){{0,{MOST_TERMS - 1}}}"
"""What terms look like, for whoever describes them to clients."""
_OPS: Final[dict[str, Callable[[int], bool]]] = {
    "=": lambda order: order == 0,
    "!=": lambda order: order != 0,
    ">": lambda order: order > 0,
    ">=": lambda order: order >= 0,
    "<": lambda order: order < 0,
    "<=": lambda order: order <= 0,
}


class Term(NamedTuple):
    """What is asked of one key. `op` is one of the signs, `exists` or `missing`."""

    key: str
    op: str
    value: str = ""

    def holds(self, found: Any) -> bool:
        """Tell whether a value, decoded with exact numbers, is what was asked for; None is one that is absent."""
        if self.op in ("exists", "missing"):
            return (found is None) == (self.op == "missing")
        if found is None:
            return False
        if self.op == "~":
            return self.value.casefold() in _text(found).casefold()
        wanted = _number(self.value)
        if isinstance(found, bool) or wanted is None or _number(found) is None:
            return _OPS[self.op](_order(_text(found).casefold(), self.value.casefold()))
        return _OPS[self.op](_order(_number(found), wanted))


def read_terms(text: str) -> tuple[Term, ...]:
    """Read terms. Raises ValueError, which says what is wrong."""
    parts = text.split(";")
    if len(parts) > MOST_TERMS:
        raise ValueError(f"at most {MOST_TERMS} conditions can be asked for at a time")
    return tuple(_read(part) for part in parts if part.strip())


def _read(part: str) -> Term:
    found = _TERM.fullmatch(part)
    if found is None or (found["not"] and found["op"]):
        raise ValueError(f"“{part.strip()[:80]}” is not understood: write plan=gold, points>=10, city, or !phone")
    if found["op"] is None:
        return Term(found["key"], "missing" if found["not"] else "exists")
    return Term(found["key"], found["op"], found["value"])


def _order(one: Any, other: Any) -> int:
    return int(one > other) - int(one < other)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _number(value: Any) -> Decimal | None:
    """Give a number, also one that is written as a text."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return None
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
