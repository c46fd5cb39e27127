"""Watching: which audiences and computed traits a message can concern, found by its name, so that most concern none."""

from collections.abc import Iterable, Mapping
from typing import Final

from richpanel.core.happened import name_of
from richpanel.core.membership import Plan
from richpanel.core.message import Message

_REMEMBERED: Final = 4_096
_LONGEST: Final = 100
"""So many names are remembered, none of more characters."""


class Watch:
    """All plans of an account, by what they look at."""

    def __init__(self, plans: Mapping[int, Plan]) -> None:
        """Index plans, each by the number under which its states are kept."""
        self.plans = plans
        self.by_event: dict[str, tuple[int, ...]] = {}
        self.by_trait: dict[str, tuple[int, ...]] = {}
        self.around: set[str] = set()
        """Names of events of which somebody looks at the context."""
        self.inside: set[str] = set()
        """Names of events of which somebody looks at more than the time."""
        self._called: dict[tuple[str | None, str | None], tuple[str | None, tuple[int, ...]]] = {}
        for number, plan in plans.items():
            for name in plan.watched:
                self.by_event[name] = (*self.by_event.get(name, ()), number)
            self.around |= {name for slot in plan.slots if slot.looks_around for name in slot.names}
            self.inside |= {name for slot in plan.slots if slot.looks_inside for name in slot.names}
            for key in plan.keys:
                self.by_trait[key] = (*self.by_trait.get(key, ()), number)

    def of_call(self, message: Message) -> tuple[str | None, tuple[int, ...]]:
        """Give the name by which conditions know a call (`happened.name_of`), and the plans that it can concern.

        Few names are given to most calls: what is found for one is remembered.
        """
        called = message.event if message.type == "track" else message.type
        found = self._called.get((message.type, called))
        if found is None:
            if len(self._called) >= _REMEMBERED:
                self._called.clear()
            name = name_of(message)
            found = name, self.of_event(name)
            if called is not None and len(called) <= _LONGEST:
                self._called[message.type, called] = found
        return found

    def of_event(self, name: str | None) -> tuple[int, ...]:
        """Give the plans that an event of this name (`happened.name_of`) can concern."""
        return self.by_event.get(name, ()) if name is not None else ()

    def of_traits(self, keys: Iterable[str]) -> set[int]:
        """Give the plans that ask for any of these traits, by their one spelling."""
        return {number for key in keys for number in self.by_trait.get(key, ())}
