"""What audiences ask of each other and of computed traits: all of it must be there, and there are no circles."""

from collections.abc import Iterator, Mapping
from typing import Final

from richpanel.core.computed import Computation
from richpanel.core.conditions import All, AnyOf, Computed, Condition, InAudience, Leaf, Not, leaves
from richpanel.core.faults import Fault, FaultyError
from richpanel.core.membership import Audience

MAX_PARTS: Final = 200
"""Parts that an audience may have, those of the audiences that it asks for included."""


def placed(condition: Condition, at: str = "condition") -> Iterator[tuple[str, Leaf]]:
    """Give the parts of a condition that are no AND, OR or NOT, each with its place."""
    match condition:
        case All(conditions):
            for number, part in enumerate(conditions):
                yield from placed(part, f"{at}.and[{number}]")
        case AnyOf(conditions):
            for number, part in enumerate(conditions):
                yield from placed(part, f"{at}.or[{number}]")
        case Not(inner):
            yield from placed(inner, f"{at}.not")
        case _:
            yield at, condition


def asked(condition: Condition) -> set[str]:
    """Give the keys of the audiences that a condition asks for itself."""
    return {part.key for part in leaves(condition) if isinstance(part, InAudience)}


def check(key: str, condition: Condition, audiences: Mapping[str, Audience], traits: Mapping[str, Computation]) -> None:
    """Check what the condition of the audience with this key asks for. Raises FaultyError with all that is wrong."""
    faults = []
    parts = 0
    for at, part in placed(condition):
        parts += 1
        if isinstance(part, Computed) and part.key not in traits:
            faults.append(Fault(f"{at}.computed", f"There is no computed trait `{part.key}`."))
        elif isinstance(part, InAudience) and part.key not in audiences and part.key != key:
            faults.append(Fault(f"{at}.audience", f"There is no audience `{part.key}`."))
        elif isinstance(part, InAudience):
            circle = path_to(key, part.key, audiences)
            if circle is not None:
                way = " > ".join((key, *circle))
                faults.append(Fault(f"{at}.audience", f"An audience cannot ask for itself: {way}."))
            else:
                parts += _size(part.key, audiences)
    if not faults and parts > MAX_PARTS:
        faults.append(Fault("condition", f"May have {MAX_PARTS} parts with those of other audiences, not {parts:,}."))
    if faults:
        raise FaultyError(*faults)


def path_to(key: str, start: str, audiences: Mapping[str, Audience]) -> list[str] | None:
    """Give the audiences by which one (`start`) leads to another, both included; None where it does not."""
    ways = [[start]]
    seen = {start}
    while ways:
        way = ways.pop()
        if way[-1] == key:
            return way
        audience = audiences.get(way[-1])
        for name in sorted(asked(audience.condition) - seen) if audience else ():
            seen.add(name)
            ways.append([*way, name])
    return None


def dependants(key: str, audiences: Mapping[str, Audience]) -> set[str]:
    """Give the audiences that ask for this one, themselves or through others: they are computed afresh with it."""
    return {name for name in audiences if name != key and path_to(key, name, audiences) is not None}


def _size(key: str, audiences: Mapping[str, Audience]) -> int:
    total = 0
    left = [key]
    while left and total <= MAX_PARTS:
        for part in leaves(audiences[left.pop()].condition):
            total += 1
            if isinstance(part, InAudience) and part.key in audiences:
                left.append(part.key)
    return total
