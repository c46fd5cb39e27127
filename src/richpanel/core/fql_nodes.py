"""What an expression of Segment's filter language (FQL) consists of, and how it is written."""

import re
from dataclasses import dataclass, field
from typing import Final

Place = tuple[int, int]
"""Line and column in an expression, from 1."""
Scalar = str | int | float | bool | None


class FqlError(ValueError):
    """An expression cannot be read, or cannot be evaluated for a message; `place` says where, where that is known."""

    def __init__(self, text: str, place: Place | None = None) -> None:
        super().__init__(text if place is None else f"line {place[0]}, column {place[1]}: {text}")
        self.text = text
        self.place = place


@dataclass(frozen=True, slots=True)
class _Placed:
    place: Place = field(default=(1, 1), compare=False, kw_only=True)
    depth: int = field(default=1, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Everything(_Placed):
    """`all`: every message."""


@dataclass(frozen=True, slots=True)
class Path(_Placed):
    """A field of the message: the keys from the top down."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Literal(_Placed):
    """A text, a number, true, false or null."""

    value: Scalar
    kind: str = ""  # Else 1, 1.0 and True were equal.


@dataclass(frozen=True, slots=True)
class Items(_Placed):
    """A list: `['a', 'b']`."""

    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Call(_Placed):
    """A function with its arguments."""

    name: str
    arguments: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Not(_Placed):
    """`!`."""

    of: "Node"


@dataclass(frozen=True, slots=True)
class Compared(_Placed):
    """Two values and what stands between them: `= != > >= < <= in`."""

    operator: str
    left: "Node"
    right: "Node"


@dataclass(frozen=True, slots=True)
class Joined(_Placed):
    """Two or more conditions joined by `and` or `or`."""

    operator: str
    of: tuple["Node", ...]


Node = Everything | Path | Literal | Items | Call | Not | Compared | Joined

WORDS: Final = frozenset({"and", "or", "in", "true", "false", "null"})
"""What no path's first key may be, unless escaped."""
_PLAIN_FIRST: Final = re.compile(r"[A-Za-z_]")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]")


def literal(value: Scalar) -> Literal:
    """Make a literal, with the name of its type."""
    return Literal(value, kind_of(value))


def kind_of(value: object) -> str:
    """Name the type of a value as `typeof` does; an object is `object`, which FQL has no literal for."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int | float):
        return "number"
    return "list" if isinstance(value, list | tuple) else "object"


def show(node: Node) -> str:
    """Write an expression so that reading it gives the same again."""
    match node:
        case Everything():
            return "all"
        case Path(keys):
            return show_path(keys)
        case Literal(value):
            return _literal(value)
        case Items(items):
            return f"[{', '.join(map(_operand, items))}]"
        case Call(name, arguments):
            return f"{name}({', '.join(map(show, arguments))})"
        case Not(of):
            return f"!{_operand(of)}"
        case Compared(operator, left, right):
            return f"{_operand(left)} {operator} {_operand(right)}"
        case Joined(operator, of):
            inside = (f"({show(each)})" if isinstance(each, Joined) else show(each) for each in of)
            return f" {operator} ".join(inside)


def show_path(keys: tuple[str, ...]) -> str:
    """Write a path, odd characters escaped."""
    text = ".".join("".join(each if _PLAIN.match(each) else f"\\{each}" for each in key) for key in keys)
    if (len(keys) == 1 and keys[0] in WORDS | {"all"}) or (text[0] != "\\" and not _PLAIN_FIRST.match(text)):
        return f"\\{text}"
    return text


def _operand(node: Node) -> str:
    text = show(node)
    return f"({text})" if isinstance(node, Joined | Compared | Everything) else text


def _literal(value: Scalar) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"
    return repr(value)
