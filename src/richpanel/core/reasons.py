"""Reasons: what a condition means, said by looking at a person's whole history, and what decides it (`semantics.md` 8).

This is the definition, in loops over all events and at one instant; `core.membership` must give the same as messages
arrive. "Why is this person in it" is answered from here: each part with whether it holds, its value, and the events.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from richpanel.core.comparing import ORDER, path_of, predicate, values_at
from richpanel.core.computed import LEAST_FREQUENT, Computation, Kind, Raw, asking, rank, ranked, readings, typed
from richpanel.core.conditions import (
    All,
    AnyOf,
    Computed,
    Condition,
    InAudience,
    Named,
    Not,
    Performed,
    Step,
    Trait,
)
from richpanel.core.conditions import Sequence as InOrder
from richpanel.core.filtering import matching
from richpanel.core.happened import Happened, event_name
from richpanel.core.membership import Audience, Person
from richpanel.core.money import average, total
from richpanel.core.traits import canonical_key
from richpanel.core.windows import Window

MAX_EVENTS: Final = 20
"""Events that a reason names: the newest of those that count."""


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """A part of a condition: what it says, whether it holds, of which value and events, and the reasons within."""

    text: str
    holds: bool
    value: Any = None
    events: tuple[Happened, ...] = ()
    parts: tuple["Reason", ...] = ()


class History:
    """All that is known of a person at an instant: events in order, traits, and what they are asked about."""

    def __init__(
        self,
        events: Sequence[Happened],
        person: Person,
        now: int,
        *,
        audiences: Mapping[str, Audience],
        traits: Mapping[str, Computation],
    ) -> None:
        """Look at a person at `now`, ms UTC, not before any of the events."""
        self.events = sorted(events, key=lambda happened: happened.stamp)
        self._person = person
        self._now = now
        self._audiences = audiences
        self._traits = traits

    def audience(self, audience: Audience) -> Reason:
        """Tell whether the person is in an audience, and why."""
        reason = self.reason(audience.condition)
        if audience.visitors or self._person.customer:
            return reason
        return Reason("is a customer", False, parts=(reason,))

    def reason(self, condition: Condition) -> Reason:
        """Tell whether a condition holds, and why."""
        said = str(condition)
        match condition:
            case All(conditions):
                parts = tuple(map(self.reason, conditions))
                return Reason(said, all(part.holds for part in parts), parts=parts)
            case AnyOf(conditions):
                parts = tuple(map(self.reason, conditions))
                return Reason(said, any(part.holds for part in parts), parts=parts)
            case Not(inner):
                part = self.reason(inner)
                return Reason(said, not part.holds, parts=(part,))
            case InAudience(key):
                part = self.audience(self._audiences[key])
                return Reason(said, part.holds, parts=(part,))
            case Trait(key, test):
                found = self._trait(key)
                return Reason(said, predicate(test)(found, self._now), found)
            case Computed(key, test):
                computation = self._traits[key]
                value = self.value(computation)
                events = tuple(self.counted(computation.event, computation.window)[-MAX_EVENTS:])
                return Reason(said, asking(test)(value, self._now), typed(value), events)
            case InOrder():
                found_events = next(self._orders(condition), None)
                return Reason(said, found_events is not None, None, found_events or ())
            case Performed(event, count, performed, window):
                counted = self.counted(event, window)
                holds = ORDER[count.op](len(counted), count.value) == performed
                return Reason(said, holds, len(counted), tuple(counted[-MAX_EVENTS:]))

    def value(self, computation: Computation) -> Raw:
        """Compute a trait, by all events that count."""
        events = self.counted(computation.event, computation.window)
        kind = computation.kind
        if kind == "count":
            return len(events)
        path = path_of(computation.property or "")
        found = [reading for each in events for reading in readings(kind, path, each.properties)]
        return _FIGURES[kind](found) if found or kind in _OF_NOTHING else None

    def counted(self, event: Named, window: Window) -> list[Happened]:
        """Give the events of a name that pass the filters and lie in the window, in order."""
        return [each for each in self._of(event) if self._lies_in(each, window)]

    def _of(self, event: Named) -> list[Happened]:
        name, matches = event_name(event.name), matching(event)
        return [each for each in self.events if each.name == name and matches(each)]

    def _lies_in(self, happened: Happened, window: Window) -> bool:
        return window.holds(happened.t) and (window.within is None or self._now < happened.t + window.within.ms)

    def _trait(self, key: str) -> list[Any]:
        whole, (first, *others) = canonical_key(key), path_of(key)
        traits = self._person.traits
        return values_at(traits[whole], ()) if whole in traits else values_at(traits.get(canonical_key(first)), others)

    def _orders(self, condition: InOrder) -> Iterator[tuple[Happened, ...]]:
        """Give each way in which a sequence has happened, newest first events first."""
        for first in reversed(self.counted(condition.first, condition.window)):
            yield from self._followed((first,), condition.steps, condition.window)

    def _followed(
        self, chain: tuple[Happened, ...], steps: Sequence[Step], window: Window
    ) -> Iterator[tuple[Happened, ...]]:
        """Give each way in which a chain can go on: by steps that did not follow up to the next that did."""
        nots = []
        for number, step in enumerate(steps):
            if not step.followed:
                nots.append(step)
                continue
            for after in self._after(chain[-1], step):
                if self._lies_in(after, window) and not any(self._between(chain[-1], each, after) for each in nots):
                    yield from self._followed((*chain, after), steps[number + 1 :], window)
            return
        if all(self._is_settled(chain[-1], each) and not self._after(chain[-1], each) for each in nots):
            yield chain

    def _after(self, happened: Happened, step: Step) -> list[Happened]:
        """Give the events of a step that follow another one soon enough."""
        later = [each for each in self._of(step.event) if each.stamp > happened.stamp]
        return [each for each in later if step.within is None or each.t < happened.t + step.within.ms]

    def _between(self, happened: Happened, step: Step, end: Happened) -> bool:
        return any(each.stamp < end.stamp for each in self._after(happened, step))

    def _is_settled(self, happened: Happened, step: Step) -> bool:
        return step.within is None or self._now >= happened.t + step.within.ms


def _most_frequent(found: list[str]) -> str | None:
    often = [(number, reading) for reading, number in Counter(found).items() if number >= LEAST_FREQUENT]
    return min(often, key=lambda each: (-each[0], rank(each[1])))[1] if often else None


_OF_NOTHING: Final = frozenset({"sum", "unique_list", "unique_count"})
_FIGURES: Final[dict[Kind, Callable[[list[str]], Raw]]] = {
    "sum": lambda found: total(map(Decimal, found)),
    "average": lambda found: average(total(map(Decimal, found)), len(found)),
    "minimum": lambda found: min(map(Decimal, found)),
    "maximum": lambda found: max(map(Decimal, found)),
    "first": lambda found: found[0],
    "last": lambda found: found[-1],
    "most_frequent": _most_frequent,
    "unique_list": lambda found: ranked(set(found)),
    "unique_count": lambda found: len(set(found)),
}
