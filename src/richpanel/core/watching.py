"""Watching: which audiences and computed traits a message can concern, found by its name, so that most concern none."""

from collections.abc import Iterable, Mapping

from richpanel.core.membership import Plan


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
        for number, plan in plans.items():
            for name in plan.watched:
                self.by_event[name] = (*self.by_event.get(name, ()), number)
            self.around |= {name for slot in plan.slots if slot.looks_around for name in slot.names}
            self.inside |= {name for slot in plan.slots if slot.looks_inside for name in slot.names}
            for key in plan.keys:
                self.by_trait[key] = (*self.by_trait.get(key, ()), number)

    def of_event(self, name: str | None) -> tuple[int, ...]:
        """Give the plans that an event of this name (`happened.name_of`) can concern."""
        return self.by_event.get(name, ()) if name is not None else ()

    def of_traits(self, keys: Iterable[str]) -> set[int]:
        """Give the plans that ask for any of these traits, by their one spelling."""
        return {number for key in keys for number in self.by_trait.get(key, ())}
