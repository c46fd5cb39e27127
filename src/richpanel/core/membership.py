"""Membership: who is in an audience at an instant, and the next instant at which time alone changes that.

A plan is an audience's condition, made ready: what it keeps of a person's events, one slot for each part, and a tree
that answers from the slots, the traits and `now`. Other audiences and computed traits that it asks for are part of the
plan, so that a person's state for an audience stands alone. A state is a union like the rest of a profile: events may
come in any order, and the states of two parts of a person can be joined; who loses an event is folded afresh.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias

import msgspec

from richpanel.core.comparing import path_of
from richpanel.core.computed import Computation, Raw, readings
from richpanel.core.conditions import Condition
from richpanel.core.filtering import matching
from richpanel.core.happened import Happened, event_name
from richpanel.core.kept import Kept, Steps
from richpanel.core.sliding import keeping
from richpanel.core.windows import NEVER

State: TypeAlias = list[Any]
"""What a plan keeps of somebody: one element for each slot."""


class Person(NamedTuple):
    """What is known of somebody beside their events: the traits that a plan asks for, decoded; whether a customer."""

    traits: Mapping[str, Any] = {}
    customer: bool = True


class Verdict(NamedTuple):
    """Whether somebody is in, and the next instant at which time alone changes that, else NEVER."""

    member: bool
    until: int


class Audience(msgspec.Struct, frozen=True):
    """An audience's condition, and whether visitors can be in it."""

    condition: Condition
    visitors: bool = False


Held: TypeAlias = tuple[bool, int]
"""Whether a part holds, and an instant up to which it stays so, if nothing happens."""
Node: TypeAlias = Callable[[State, Person, int], Held]


class Slot(Protocol):
    """One part of a state."""

    names: frozenset[str]
    looks_around: bool
    looks_inside: bool
    """Whether more of an event matters than its name and its time."""
    newest: int
    """So many of the newest events of each name are enough; NEVER where all may matter, or more than their times."""

    def empty(self) -> Any:
        """Give what is kept of no events."""

    def take(self, kept: Any, happened: Happened) -> bool:
        """Add an event; tell whether that changed anything."""

    def join(self, kept: Any, other: Any) -> None:
        """Add what is kept of other events."""


class Counted:
    """A slot for events of a name: what is kept of those that pass the filters and lie in the window."""

    def __init__(self, computation: Computation, kept: Kept | None = None, newest: int = NEVER) -> None:
        """Keep what a computation needs, or in the way that is given, to which so many of the newest are enough."""
        self.names = frozenset({event_name(computation.event.name)})
        self.looks_around = computation.event.looks_around
        self.looks_inside = computation.kind != "count" or bool(computation.event.where)
        self.newest = NEVER if self.looks_inside or not computation.window.moves else newest
        self._matches = matching(computation.event)
        self._kind = computation.kind
        self._path = path_of(computation.property or "")
        self._window = computation.window
        self._kept = kept or keeping(computation)
        self.empty, self.join = self._kept.empty, self._kept.join

    def take(self, kept: Any, happened: Happened) -> bool:
        """Add an event; tell whether that changed anything."""
        if not self._window.holds(happened.t) or not self._matches(happened):
            return False
        found = [] if self._kind == "count" else readings(self._kind, self._path, happened.properties)
        return self._kept.add(kept, happened.stamp, found)

    def steps(self, kept: Any, now: int) -> Steps:
        """Give the value now, and those that follow as the window moves on."""
        return self._kept.steps(kept, now - self._window.length)


class Plan:
    """An audience or a computed trait, made ready."""

    def __init__(self, slots: Iterable[Slot], keys: Iterable[str]) -> None:
        """Hold the slots of the state, and the keys of traits that are asked for."""
        self.slots = tuple(slots)
        self.keys = frozenset(keys)
        self.watched: dict[str, list[int]] = {}
        for number, slot in enumerate(self.slots):
            for name in slot.names:
                self.watched.setdefault(name, []).append(number)
        self.newest = max((slot.newest for slot in self.slots), default=0)
        """So many of the newest events of each name are enough (`Slot.newest`)."""

    def empty(self) -> State:
        """Give the state of somebody of whom no event has come."""
        return [slot.empty() for slot in self.slots]

    def add(self, state: State, happened: Happened) -> bool:
        """Add an event, once; tell whether the state changed."""
        changed = False
        for number in self.watched.get(happened.name, ()):
            changed |= self.slots[number].take(state[number], happened)
        return changed

    def join(self, state: State, other: State) -> None:
        """Add the state of other events of the same person."""
        for slot, kept, theirs in zip(self.slots, state, other, strict=True):
            slot.join(kept, theirs)


class AudiencePlan(Plan):
    """An audience, made ready."""

    def __init__(self, slots: Iterable[Slot], keys: Iterable[str], node: Node, *, exact: bool = False) -> None:
        """Hold the slots, the keys, and the tree that answers from them (`core.planning`).

        `exact`: what the tree answers changes at the very instant that it gives, not perhaps later.
        """
        super().__init__(slots, keys)
        self._node = node
        self._exact = exact

    def judge(self, state: State, person: Person, now: int) -> Verdict:
        """Tell whether somebody is in at `now` (ms UTC, not before any of their events), and until when."""
        member, until = self._node(state, person, now)
        while until < NEVER and not self._exact:
            then, later = self._node(state, person, until)
            if then != member:
                return Verdict(member, until)
            until = later
        return Verdict(member, until)


class TraitPlan(Plan):
    """A computed trait, made ready."""

    def __init__(self, computation: Computation) -> None:
        """Prepare a computation."""
        self._slot = Counted(computation)
        self._length = computation.window.length
        super().__init__((self._slot,), ())

    def value(self, state: State, now: int) -> tuple[Raw, int]:
        """Give the value at `now`, and the next instant at which time alone changes it, else NEVER."""
        return settled(self._slot.steps(state[0], now), self._length, lambda raw: raw)


def settled(steps: Steps, length: int, read: Callable[[Raw], Any]) -> tuple[Any, int]:
    """Read the value that is first, and when the window has moved so far that another one is read."""
    raw, t = next(steps)
    found = read(raw)
    while t != NEVER:
        raw, later = next(steps)
        if read(raw) != found:
            return found, t + length
        t = later
    return found, NEVER
