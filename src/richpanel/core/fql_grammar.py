"""The grammar of Segment's filter language (FQL), after its public reference, and what breaks an expression of it.

This loads the parser generator: `core.fql` imports it when there is a first expression to read.
"""

import math
import re
from functools import cache
from typing import Any, Final

from lark import Lark, Token, UnexpectedCharacters, UnexpectedInput, UnexpectedToken, v_args
from lark.exceptions import VisitError
from lark.visitors import Transformer_NonRecursive

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
    literal,
)

MAX_BYTES: Final = 5_120
"""How long an expression may be (Segment: 5 KB)."""
MAX_DEPTH: Final = 32
"""How deeply parentheses, lists, functions and `!` may be nested."""
_MAX_EXACT_DIGITS: Final = 40

_GRAMMAR: Final = r"""
start: either
?either: both (_OR both)*
?both: compared (_AND compared)*
?compared: negated
    | negated COMPARISON negated
?negated: value
    | "!" negated -> not_
?value: PATH -> path
    | STRING -> text
    | NUMBER -> number
    | CONSTANT -> constant
    | "[" [either ("," either)*] "]" -> items
    | PATH "(" [either ("," either)*] ")" -> call
    | "(" either ")"

_OR: /or(?![A-Za-z0-9_.\\-])/
_AND: /and(?![A-Za-z0-9_.\\-])/
COMPARISON: /!=|>=|<=|=|>|<|in(?![A-Za-z0-9_.\\-])/
CONSTANT: /(true|false|null)(?![A-Za-z0-9_.\\-])/
NUMBER: /[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?(?![A-Za-z0-9_.\\-])/
PATH: /(?!(and|or|in|true|false|null)(?![A-Za-z0-9_.\\-]))/ FIRST REST* ("." REST+)*
FIRST: /([A-Za-z_]|\\(.|\n))/
REST: /([A-Za-z0-9_-]|\\(.|\n))/
STRING: /'([^'\\]|\\(.|\n))*'|"([^"\\]|\\(.|\n))*"/
%ignore /[ \t\r\n]+/
"""

_SAID: Final = {
    "_AND": "`and`",
    "_OR": "`or`",
    "COMPARISON": "a comparison (= != > >= < <= in)",
    "RPAR": "`)`",
    "RSQB": "`]`",
    "COMMA": "`,`",
    "$END": "the end",
}
_VALUES: Final = frozenset({"PATH", "STRING", "NUMBER", "CONSTANT", "LSQB", "LPAR", "BANG"})
_MET: Final = re.compile(r"[A-Za-z0-9_]{1,40}|.", re.DOTALL)
_CONSTANTS: Final = {"true": True, "false": False, "null": None}
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_QUOTED: Final = re.compile(r"\\([\\'\"])")


def parse(text: str) -> Node:
    """Read an expression. Raises FqlError, which says where it breaks and what was expected there."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise FqlError(f"An expression may hold {MAX_BYTES:,} bytes at the most.")
    if not text.strip():
        raise FqlError("An expression is required; `all` stands for every message.", (1, 1))
    reading: Any = _parser().parse_interactive(text)  # Lark leaves its methods without types.
    try:
        reading.exhaust_lexer()
        return _Nodes().transform(reading.feed_eof())
    except UnexpectedInput as error:
        raise _told(error, text, reading.accepts()) from None
    except VisitError as error:  # What a node is not made of.
        raise error.orig_exc from None


def keys_of(text: str) -> tuple[str, ...]:
    """Give the keys of a path as it is written."""
    keys = [""]
    for each in re.findall(r"\\.|.", text, re.DOTALL):
        if each == ".":
            keys.append("")
        else:
            keys[-1] += each[-1]
    return tuple(keys)


@cache
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr", maybe_placeholders=False, propagate_positions=True)


def _told(error: UnexpectedInput, text: str, accepted: set[str]) -> FqlError:
    """Tell what the parser met as a sentence for who wrote it."""
    expected = _expected(accepted)
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        lines = text.rstrip().split("\n")
        return FqlError(f"The expression ends too early; expected {expected}.", (len(lines), len(lines[-1]) + 1))
    at: int = error.pos_in_stream or 0  # type: ignore[redundant-expr]
    place = (text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))
    found = _MET.match(text, at)
    met = "" if found is None else found[0]
    if isinstance(error, UnexpectedCharacters) and met in ("'", '"'):
        return FqlError("This text has no closing quote.", place)
    if met.lower() in ("and", "or", "in") and met.lower() != met:
        return FqlError(f"Operators are in lower case: `{met.lower()}`.", place)
    named = f"`{met}`" if met.isprintable() else f"The character U+{ord(met):04X}"
    return FqlError(f"{named} cannot stand here; expected {expected}.", place)


def _expected(names: set[str]) -> str:
    if names >= _VALUES:
        said = ["a value (a field, a text in quotes, a number, a list, a function)"]
        names = names - _VALUES
    else:
        said = []
    said += [text for name, text in _SAID.items() if name in names]
    return " or ".join(said)


def _place(meta: Any) -> Place:
    return (meta.line, meta.column)


def _deeper(place: Place, nodes: tuple[Node, ...]) -> int:
    depth = 1 + max((node.depth for node in nodes), default=0)
    if depth > MAX_DEPTH:
        raise FqlError(f"The expression is nested more than {MAX_DEPTH} levels deep.", place)
    return depth


@v_args(meta=True, inline=True)
class _Nodes(Transformer_NonRecursive[Token, Node]):
    """Makes nodes from the inside out, without recursion."""

    def start(self, meta: Any, node: Node) -> Node:
        alone = meta.end_pos - meta.start_pos == len("all")  # `\\all` is the field of that name.
        return Everything(place=node.place) if alone and node == Path(("all",)) else node

    def either(self, meta: Any, *nodes: Node) -> Node:
        return Joined("or", nodes, place=_place(meta), depth=_deeper(_place(meta), nodes))

    def both(self, meta: Any, *nodes: Node) -> Node:
        return Joined("and", nodes, place=_place(meta), depth=_deeper(_place(meta), nodes))

    def compared(self, meta: Any, left: Node, operator: Token, right: Node) -> Node:
        place = (operator.line or 1, operator.column or 1)
        return Compared(str(operator), left, right, place=place, depth=_deeper(_place(meta), (left, right)))

    def not_(self, meta: Any, node: Node) -> Node:
        return Not(node, place=_place(meta), depth=_deeper(_place(meta), (node,)))

    def path(self, meta: Any, token: Token) -> Node:
        return Path(keys_of(token), place=_place(meta))

    def text(self, meta: Any, token: Token) -> Node:
        return Literal(_QUOTED.sub(r"\1", token[1:-1]), "string", place=_place(meta))

    def number(self, meta: Any, token: Token) -> Node:
        exact = len(token) <= _MAX_EXACT_DIGITS and token.lstrip("+-").isdigit()
        value: int | float = int(token) if exact else float(token)
        if isinstance(value, float) and not math.isfinite(value):
            raise FqlError("This number is larger than a number of JSON can be.", _place(meta))
        return Literal(value, "number", place=_place(meta))

    def constant(self, meta: Any, token: Token) -> Node:
        return Literal(_CONSTANTS[token], literal(_CONSTANTS[token]).kind, place=_place(meta))

    def items(self, meta: Any, *nodes: Node) -> Node:
        return Items(nodes, place=_place(meta), depth=_deeper(_place(meta), nodes))

    def call(self, meta: Any, name: Token, *nodes: Node) -> Node:
        return Call("\0".join(keys_of(name)), nodes, place=_place(meta), depth=_deeper(_place(meta), nodes))
