"""Memberships: each batch's events are added to what plans keep of people, and whoever that concerns is judged (0025).

What is kept is a union, as a profile is: the order of events does not matter, visitors who turn out to be a customer
are joined to what is kept of that one, and who loses an event is made afresh from the stored ones. A plan whose first
run has not reached a profile, by number, leaves it alone: the run reads all that there is of it.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from functools import partial
from operator import itemgetter
from typing import Final

from richpanel.core.announcing import Told, announced
from richpanel.core.happened import Happened
from richpanel.core.identity import UID
from richpanel.core.membership import Person
from richpanel.core.regulation import hashed
from richpanel.process.computing import Plans
from richpanel.process.events import events_of, opened
from richpanel.process.folding import Folding
from richpanel.process.incoming import IDENTIFY, Incoming
from richpanel.process.judging import Judging, Touched
from richpanel.process.memory import Memory
from richpanel.process.people import Moved
from richpanel.process.refold import Reader
from richpanel.store import memberships
from richpanel.store.happenings import person_of
from richpanel.store.memberships import ALL, Key

_TIME: Final = itemgetter(0)


class Members:
    """The memberships that are judged in one transaction, at `now` (ms UTC), not before what its messages brought."""

    def __init__(self, reader: Reader, memory: Memory, plans: Plans, now: int) -> None:
        """Begin the first run of plans that have none yet; where nobody is there it is over."""
        self._reader = reader
        self.connection = reader.connection
        self._memory = memory
        self.plans = plans
        self.now = now
        self._people: Mapping[int, Person] | None = None
        self._touched: dict[int, Touched] = {number: Touched() for number in plans.ready}
        self.reached = memberships.reached(self.connection)
        new = plans.ready.keys() - self.reached.keys()
        if new:
            reached = 0 if memberships.any_people(self.connection) else ALL
            memberships.reach(self.connection, sorted(new), reached)
            self.reached.update(dict.fromkeys(new, reached))

    def add(self, groups: Mapping[int, Collection[Incoming]]) -> None:
        """Add events, by owner."""
        watch = self.plans.watch
        if not watch.by_event:
            return
        for owner, group in groups.items():
            for message in group:
                if message.inside is None:
                    continue
                name, concerned = watch.of_call(message.message)
                if name is None or not concerned:
                    continue
                event = opened(message, watch.around) if name in watch.inside else Happened(message.stamp, name)
                if event is not None:
                    for number in concerned:
                        self._touched[number].events[owner].append(event)

    def follow(self, folding: Folding, moved: Moved) -> None:
        """Judge who set traits that are asked for, who is new and who became a customer; join, and make afresh."""
        joined = set(moved.joins.values()) - moved.refolds
        for number, each in self.plans.ready.items():
            touched, reached = self._touched[number], self.reached[number]
            touched.afresh |= moved.refolds
            touched.people |= folding.new_customers | joined
            for visitor, uid in moved.joins.items():
                if visitor <= reached:
                    touched.joins[uid].append(visitor)
                elif uid <= reached:
                    touched.afresh.add(uid)  # Nobody has read the visitor's events for this plan.
            if each.has_visitors:
                touched.people.update(n for n, known in folding.open.items() if known.stored is None)
        if self.plans.watch.by_trait:
            self._follow_traits(folding)

    def _follow_traits(self, folding: Folding) -> None:
        for owner, known in folding.open.items():
            if known.renamed:  # What a person is called, and all other traits.
                for number in self.plans.watch.of_traits(self.plans.watch.by_trait):
                    self._touched[number].people.add(owner)

    def take_told(self, messages: Iterable[Incoming]) -> set[int]:
        """Take what the Engage source's own messages told the world, a value and one more than before; give of whom."""
        said: defaultdict[int, defaultdict[int, list[tuple[int, object]]]] = defaultdict(partial(defaultdict, list))
        for message in messages:
            if message.kind != IDENTIFY:
                continue
            found = announced(message.body)
            computation = self.plans.computations.get(found.id)
            if computation is not None and found.is_change:
                said[computation][message.identity].append((message.t, found.value))
        changed: dict[Key, Told] = {}
        for computation, by_uid in said.items():
            before = memberships.told(self.connection, computation, by_uid)
            now = {uid: _told_after(before.get(uid), values) for uid, values in by_uid.items()}
            changed.update(((computation, uid), told) for uid, told in now.items())
            for each in self.plans.of_computation.get(computation, ()):
                self._touched[each.number].told.update(now)
        memberships.tell(self.connection, changed)
        return {uid for _, uid in changed}

    def make(self, plans: Iterable[int], people: Collection[int]) -> None:
        """Make what plans keep of people afresh."""
        for number in plans:
            self._touched[number].afresh.update(people)

    def judge(self, keys: Iterable[Key]) -> None:
        """Judge memberships again, by plan and profile."""
        for number, profile in keys:
            if number in self._touched:
                self._touched[number].people.add(profile)

    def write(self) -> None:
        """Judge all whom anything concerns, and write what is another now."""
        self._keep_within_reach()
        afresh = set().union(*(each.afresh for each in self._touched.values()))
        histories = self._histories(afresh) if afresh else {}
        judging = self._judging(histories)
        people = afresh.union(*(each.people for each in self._touched.values()))
        self._memory.load_profiles(self.connection, people)
        for each in judging:
            each.write()

    def write_gathered(
        self, histories: Mapping[int, list[Happened]], people: Mapping[int, Person]
    ) -> dict[int, list[int]]:
        """Judge those who are made afresh, by what was read of them already: their events, and who they are.

        Give of whom another state or value is kept now, by plan.
        """
        self._keep_within_reach()
        self._people = people
        return {each.number: each.write() for each in self._judging(histories)}

    def _judging(self, histories: Mapping[int, list[Happened]]) -> list[Judging]:
        return [
            Judging(self, self.plans.ready[number], touched, histories)
            for number, touched in self._touched.items()
            if touched.people or touched.told
        ]

    def _keep_within_reach(self) -> None:
        for number, touched in self._touched.items():
            reached = self.reached[number]
            touched.quick = touched.events.keys() - touched.people - touched.joins.keys() - touched.afresh
            touched.quick -= touched.told.keys()
            touched.people |= touched.events.keys() | touched.joins.keys() | touched.afresh
            touched.people -= {visitor for visitors in touched.joins.values() for visitor in visitors}
            if reached < ALL:
                touched.people = {each for each in touched.people if each <= reached}
                touched.afresh &= touched.people
                touched.told = {uid: told for uid, told in touched.told.items() if uid <= reached}

    def _histories(self, people: set[int]) -> dict[int, list[Happened]]:
        found: defaultdict[int, list[Happened]] = defaultdict(list)
        ready = self.plans.ready
        names = {name for n, touched in self._touched.items() if touched.afresh for name in ready[n].plan.watched}
        for profile, event in events_of(self._reader, people, names, self.plans.watch.around):
            found[profile].append(event)
        return found

    @property
    def keeps_out(self) -> bool:
        """Whether anybody is kept out (`process.suppressing`)."""
        return bool(self._memory.suppressed)

    def is_kept_out(self, uid: str) -> bool:
        """Tell whether a uid is kept out: what would be told of it would be refused."""
        return self.keeps_out and hashed(self._memory.secret, UID, uid) in self._memory.suppressed

    def person(self, number: int, keys: Collection[str]) -> Person | None:
        """Give somebody as they are after the batch, with these traits, None where nobody is there."""
        if self._people is not None:
            return self._people.get(number)
        found = self._memory.profiles.get(number)
        return None if found is None else person_of(found, keys)


def _told_after(before: Told | None, values: list[tuple[int, object]]) -> Told:
    """Give what the world knows once it was told these values, each with its time: the newest, and how many more."""
    t, value = sorted(values, key=_TIME)[-1]
    number = len(values) if before is None else before.number + len(values)
    return Told(value, number, t) if before is None or before.t <= t else Told(before.value, number, before.t)
