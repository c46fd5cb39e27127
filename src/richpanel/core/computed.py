"""Computed traits: a figure of one kind over an event's property in a window (`semantics.md` 8; Segment facts, 7.1).

What a property gives is read by kind: amounts as money is (a text such as `$5.00`, too), exactly; categories (most
frequent, unique) are texts, numbers and booleans; first and last take any value. Where a list stands, each of its
elements counts. A count, a sum, a unique count of nothing is 0, a unique list of nothing is empty; others are absent.
"""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias

import msgspec

from richpanel.core.comparing import ORDER, Test, predicate, values_at
from richpanel.core.condition_json import named_json, read_named
from richpanel.core.conditions import Named
from richpanel.core.faults import a_text, an_object, one_of, wrong
from richpanel.core.money import amount, decode_exact, encode_exact, text
from richpanel.core.windows import EVER, KEYS, Window, read_window, window_json

Kind: TypeAlias = Literal[
    "count", "sum", "average", "minimum", "maximum", "first", "last", "most_frequent", "unique_list", "unique_count"
]
KINDS: Final[tuple[Kind, ...]] = (
    *("count", "sum", "average", "minimum", "maximum"),
    *("first", "last", "most_frequent", "unique_list", "unique_count"),
)
AMOUNTS: Final = frozenset({"sum", "average", "minimum", "maximum"})
CATEGORIES: Final = frozenset({"most_frequent", "unique_list", "unique_count"})
MAX_CATEGORY: Final = 512
MAX_VALUE: Final = 4_096
"""Bytes of JSON of a category, and of a first or last value: longer ones are passed over."""
MAX_LISTED: Final = 500
MAX_LIST: Final = 16_384
"""Values that a unique list gives, the first in its order, and their bytes: a message must hold them."""
LEAST_FREQUENT: Final = 2
"""How often a value must be seen to be the most frequent."""

Raw: TypeAlias = int | Decimal | str | tuple[str, ...] | None
"""A value as it is compared: a number, or JSON as text, so that equal values are equal."""

_WORDS: Final[dict[Kind, str]] = {
    "count": "number of",
    "most_frequent": "most frequent",
    "unique_list": "unique values of",
    "unique_count": "number of unique values of",
}


class Computation(msgspec.Struct, frozen=True):
    """What a computed trait computes."""

    kind: Kind
    event: Named
    property: str | None = None
    window: Window = EVER

    def __str__(self) -> str:
        """Write it as `sum of total of Order Completed in the last 30 days`."""
        what = _WORDS.get(self.kind, f"{self.kind} of" if self.kind in AMOUNTS else self.kind)
        of = "" if self.property is None else f"{self.property} of"
        return " ".join(filter(None, (what, of, str(self.event), str(self.window))))


def read_computation(value: object, at: str = "computation") -> Computation:
    """Read the JSON form, decoded by `money.decode_exact`. Raises FaultyError with what is wrong."""
    given = an_object(value, at, required=("kind", "event"), optional=("property", "where", *KEYS))
    kind: Any = one_of(given["kind"], f"{at}.kind", KINDS)
    if kind == "count" and "property" in given:
        raise wrong(f"{at}.property", "Is not for `count`, which counts events; `where` may ask for a property.")
    if kind != "count" and "property" not in given:
        raise wrong(f"{at}.property", f"Is required by `{kind}`.")
    path = a_text(given["property"], f"{at}.property") if "property" in given else None
    return Computation(kind, read_named(given, at), path, read_window(given, at))


def computation_json(computation: Computation) -> dict[str, Any]:
    """Give the JSON form; decimals are to be written as numbers."""
    given: dict[str, Any] = {
        "kind": computation.kind,
        **named_json(computation.event),
        **window_json(computation.window),
    }
    return given if computation.property is None else {**given, "property": computation.property}


def readings(kind: Kind, path: tuple[str, ...], properties: Mapping[str, Any]) -> list[str]:
    """Read what an event says of a property, as texts that are equal where the values are; what is unusable is not."""
    found = values_at(properties, path)
    if kind in AMOUNTS:
        return [text(number) for each in found if (number := amount(each)) is not None]
    if kind in CATEGORIES:
        return [read for each in found if (read := _category(each)) is not None]
    written = encode_exact(found[0]) if found else b""
    return [written.decode()] if 0 < len(written) <= MAX_VALUE else []


def _category(value: object) -> str | None:
    if isinstance(value, str | bool):
        written = encode_exact(value)
        return written.decode() if len(written) <= MAX_CATEGORY else None
    number = amount(value)
    return None if number is None else plain(text(number))


def plain(written: str) -> str:
    """Write money as a number is written: no zeros at the end of its decimals."""
    return written.rstrip("0").rstrip(".")


def rank(category: str) -> tuple[int, Decimal, str]:
    """Give a category's place in the order: booleans, then numbers by value, then texts by alphabet."""
    if category[0] == '"':
        return (2, Decimal(0), str(decode_exact(category)))
    return (0, Decimal(0), category) if category[0] in "tf" else (1, Decimal(category), "")


def ranked(categories: Iterable[str]) -> tuple[str, ...]:
    """Give a unique list of categories: in order, as many as are given out."""
    found = sorted(categories, key=rank)[:MAX_LISTED]
    room = MAX_LIST
    for number, category in enumerate(found):
        room -= len(category.encode()) + 1
        if room < 0:
            return tuple(found[:number])
    return tuple(found)


def typed(raw: Raw) -> Any:
    """Give a value for the world: integers, exact decimals, texts, lists; None where it is absent."""
    if isinstance(raw, tuple):
        return [decode_exact(each) for each in raw]
    if isinstance(raw, Decimal):
        return decode_exact(plain(text(raw)))
    return decode_exact(raw) if isinstance(raw, str) else raw


def asking(test: Test) -> Callable[[Raw, int], bool]:
    """Make what answers a test of a value, at an instant (ms UTC)."""
    op, value, asked = test.op, test.value, predicate(test)

    def generally(raw: Raw, now: int) -> bool:
        return asked(values_at(typed(raw), ()), now)

    if op not in ORDER or isinstance(value, bool) or not isinstance(value, int | Decimal):
        return generally
    number, compare = Decimal(value), ORDER[op]

    def quickly(raw: Raw, now: int) -> bool:
        return compare(raw, number) if isinstance(raw, int | Decimal) else generally(raw, now)

    return quickly


def is_empty(raw: Raw) -> bool:
    """Tell whether a value says nothing: those who never had another one are told nothing."""
    return raw in (None, 0, ())
