"""Conditions of audiences: a typed tree over events, traits, computed traits and other audiences (`semantics.md` 8).

`core.condition_json` reads and writes the JSON form of the API; `str()` of a condition is one line to be read. What a
condition means is said once, in `core.reasons`; `core.membership` finds the same as messages arrive.
"""

from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

import msgspec

from richpanel.core.comparing import Test
from richpanel.core.windows import EVER, Span, Window


class Where(msgspec.Struct, frozen=True):
    """A filter: a test of what stands at a path of an event's properties, or of its context."""

    of: Literal["property", "context"]
    path: str
    test: Test

    def __str__(self) -> str:
        """Write it as `total > 100`."""
        return f"{'context ' if self.of == 'context' else ''}{self.path} {self.test}"


class Named(msgspec.Struct, frozen=True):
    """Events of a name that pass all filters; page calls are `Page Viewed`, with `page_name`."""

    name: str
    where: tuple[Where, ...] = ()

    @property
    def looks_around(self) -> bool:
        """Whether it asks for anything of the context."""
        return any(where.of == "context" for where in self.where)

    def __str__(self) -> str:
        """Write it as `Order Completed (total > 100)`."""
        return f"{self.name} ({' and '.join(map(str, self.where))})" if self.where else self.name


class Count(msgspec.Struct, frozen=True):
    """How often: a comparison of the number of events."""

    op: str
    value: int

    def __str__(self) -> str:
        """Write it as `at least 2 times`."""
        words = {">=": "at least ", "<=": "at most ", ">": "more than ", "<": "fewer than ", "=": "", "!=": "not "}
        return f"{words[self.op]}{self.value:,} time{'' if self.value == 1 else 's'}"


AT_LEAST_ONCE: Final = Count(">=", 1)


class Performed(msgspec.Struct, frozen=True):
    """Whether events happened as often as said within the window; with `performed` false, whether they did not."""

    event: Named
    count: Count = AT_LEAST_ONCE
    performed: bool = True
    window: Window = EVER

    def __str__(self) -> str:
        """Write it as `performed Order Completed in the last 30 days`."""
        verb = "performed" if self.performed else "did not perform"
        often = "" if self.count == AT_LEAST_ONCE else str(self.count)
        return " ".join(filter(None, (verb, str(self.event), often, str(self.window))))


class Step(msgspec.Struct, frozen=True):
    """What followed, or did not: `within` is counted from the event of the step before that did happen."""

    event: Named
    followed: bool = True
    within: Span | None = None

    def __str__(self) -> str:
        """Write it as `and then did not Order Completed within 1 hour`."""
        verb = "and then" if self.followed else "and then did not"
        return f"{verb} {self.event}{'' if self.within is None else f' within {self.within}'}"


class Sequence(msgspec.Struct, frozen=True):
    """Events in strict order. All that happened lie in the window.

    "Did not" holds between the events beside it; after the last of them up to now, or where it has `within`, once that
    has passed.
    """

    first: Named
    steps: tuple[Step, ...]
    window: Window = EVER

    def __str__(self) -> str:
        """Write it as `performed A and then B within 1 hour in the last 7 days`."""
        return " ".join(filter(None, (f"performed {self.first}", *map(str, self.steps), str(self.window))))


class Trait(msgspec.Struct, frozen=True):
    """A test of a trait: a key, or a path into what stands there."""

    key: str
    test: Test

    def __str__(self) -> str:
        """Write it as `trait plan = "gold"`."""
        return f"trait {self.key} {self.test}"


class Computed(msgspec.Struct, frozen=True):
    """A test of a computed trait's value."""

    key: str
    test: Test

    def __str__(self) -> str:
        """Write it as `computed orders_30d >= 3`."""
        return f"computed {self.key} {self.test}"


class InAudience(msgspec.Struct, frozen=True):
    """Whether the person is in another audience."""

    key: str

    def __str__(self) -> str:
        """Write it as `in audience vip`."""
        return f"in audience {self.key}"


class All(msgspec.Struct, frozen=True):
    """AND."""

    conditions: tuple["Condition", ...]

    def __str__(self) -> str:
        """Write it with `and` between, and parentheses around what has parts."""
        return " and ".join(map(_enclosed, self.conditions))


class AnyOf(msgspec.Struct, frozen=True):
    """OR."""

    conditions: tuple["Condition", ...]

    def __str__(self) -> str:
        """Write it with `or` between, and parentheses around what has parts."""
        return " or ".join(map(_enclosed, self.conditions))


class Not(msgspec.Struct, frozen=True):
    """NOT."""

    condition: "Condition"

    def __str__(self) -> str:
        """Write it as `not (...)`."""
        return f"not ({self.condition})"


Leaf: TypeAlias = Performed | Sequence | Trait | Computed | InAudience
Condition: TypeAlias = All | AnyOf | Not | Leaf


def _enclosed(condition: Condition) -> str:
    return f"({condition})" if isinstance(condition, All | AnyOf | Sequence) else str(condition)


def leaves(condition: Condition) -> Iterator[Leaf]:
    """Give the parts of a condition that are no AND, OR or NOT, from left to right."""
    match condition:
        case All(conditions) | AnyOf(conditions):
            for part in conditions:
                yield from leaves(part)
        case Not(inner):
            yield from leaves(inner)
        case _:
            yield condition
