"""Memberships: each batch's events are added to what plans keep of people, and whoever that concerns is judged (0025).

What is kept is a union, as a profile is: the order of events does not matter, visitors who turn out to be a customer
are joined to what is kept of that one, and who loses an event is made afresh from the stored ones. A plan whose first
run has not reached a profile, by number, leaves it alone: the run reads all that there is of it.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from richpanel.core.announcing import Told, announced
from richpanel.core.happened import Happened, name_of
from richpanel.core.identity import UID
from richpanel.core.membership import Person, State
from richpanel.core.money import decode_exact
from richpanel.core.regulation import hashed
from richpanel.process.computing import Judged, Plans, Ready, pack, unpack
from richpanel.process.events import events_of, opened
from richpanel.process.folding import Folding
from richpanel.process.incoming import IDENTIFY, Incoming
from richpanel.process.memory import Memory
from richpanel.process.people import Moved
from richpanel.process.refold import Reader
from richpanel.store import identities, memberships
from richpanel.store.happenings import person_of
from richpanel.store.memberships import ALL, KNOWN, NOBODY, TO_TELL, Key, Row

_NO_EVENTS: Final[tuple[Happened, ...]] = ()


class Touched:
    """What a batch brings for one plan: whom it concerns, with which events, and who is joined to whom."""

    __slots__ = ("afresh", "events", "joins", "people", "quick", "told")

    def __init__(self) -> None:
        self.people: set[int] = set()
        self.events: defaultdict[int, list[Happened]] = defaultdict(list)
        self.joins: defaultdict[int, list[int]] = defaultdict(list)
        self.afresh: set[int] = set()
        self.told: dict[int, Told] = {}
        """Of whom the world was told something."""
        self.quick: set[int] = set()
        """Those who have events and are in the batch for nothing else."""


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
        for owner, group in groups.items():
            for message in group:
                name = name_of(message.message) if message.inside is not None else None
                concerned = watch.of_event(name)
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
        by_key: defaultdict[Key, list[tuple[int, object]]] = defaultdict(list)
        for message in messages:
            if message.kind != IDENTIFY:
                continue
            found = announced(message.body)
            computation = self.plans.computations.get(found.id)
            if computation is not None and found.is_change:
                by_key[(computation, message.identity)].append((message.t, found.value))
        changed: dict[Key, Told] = {}
        for computation in {key[0] for key in by_key}:
            uids = [uid for of, uid in by_key if of == computation]
            known = memberships.told(self.connection, computation, uids)
            for uid in uids:
                key, before = (computation, uid), known.get(uid)
                told = sorted(by_key[key], key=lambda each: each[0])
                number = len(told) + (before.number if before is not None else 0)
                t, value = told[-1]
                changed[key] = Told(value, number, t)
                if before is not None and before.t > t:
                    changed[key] = Told(before.value, number, before.t)
            for each in self.plans.of_computation.get(computation, ()):
                self._touched[each.number].told.update((uid, changed[(computation, uid)]) for uid in uids)
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

    def _judging(self, histories: Mapping[int, list[Happened]]) -> list["_Judging"]:
        return [
            _Judging(self, self.plans.ready[number], touched, histories)
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

    # What `_Judging` asks for.

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


class _Judging:
    """One plan's share of a batch."""

    def __init__(
        self, members: Members, ready: Ready, touched: Touched, histories: Mapping[int, list[Happened]]
    ) -> None:
        self._members = members
        self._ready = ready
        self._touched = touched
        self._histories = histories
        self._visitors = {visitor for visitors in touched.joins.values() for visitor in visitors}
        people = touched.people | self._visitors | touched.told.keys()
        self._before = memberships.load(members.connection, ready.number, people)
        self._told: Mapping[int, Told] = {}
        self._rows: dict[int, Row | None] = {}
        self._take_told()

    @property
    def number(self) -> int:
        """The plan's."""
        return self._ready.number

    def write(self) -> list[int]:
        """Judge everybody, and write the rows that are others now; give of whom another state or value is kept."""
        self._add_events()
        self._told = memberships.told(self._members.connection, self._ready.computation, self._touched.people)
        rows = self._rows | {visitor: None for visitor in self._visitors if visitor in self._before}
        untold: list[tuple[int, Row]] = []
        for profile in self._touched.people:
            before = self._before.get(profile)
            if before is None and self._is_idle(profile):
                continue
            row = self._row(profile, before)
            if row is not None and row.told == TO_TELL and (profile not in self._told or self._members.keeps_out):
                untold.append((profile, row))
            elif row != before:
                rows[profile] = row
        rows.update(self._with_uids(untold))
        memberships.save(self._members.connection, {(self._ready.number, each): row for each, row in rows.items()})
        return [each for each, row in rows.items() if self._says(row) != self._says(self._before.get(each))]

    def _says(self, row: Row | None) -> tuple[bytes, str]:
        return (self._ready.empty, self._ready.idle) if row is None else (row.state, row.value)

    def _is_due(self, before: Row) -> bool:
        return before.until is not None and before.until <= max(self._members.now, before.since)

    def _take_told(self) -> None:
        """Note what the world knows now of those of whom it was told and to whom nothing else happened.

        A million of them follow a first run. The others are judged.
        """
        people = self._touched.people
        for profile, told in self._touched.told.items():
            before = self._before.get(profile)
            if profile in people or before is None or self._is_due(before) or told.value != decode_exact(before.value):
                people.add(profile)
            elif before.state == self._ready.empty and before.value == self._ready.idle:
                self._rows[profile] = None
            elif before.told != KNOWN:
                self._rows[profile] = before._replace(told=KNOWN)

    def _add_events(self) -> None:
        """Add events to what is kept of those whose value stays; the others are judged for all that may follow."""
        changed = []
        for profile in self._touched.quick & self._touched.people & self._before.keys():
            before = self._before[profile]
            if self._is_due(before):
                continue
            state, plan, is_another = unpack(before.state), self._ready.plan, False
            for event in self._touched.events[profile]:
                is_another |= plan.add(state, event)
            if is_another:
                person = self._members.person(profile, plan.keys)
                judged = self._ready.judge(state, person, max(self._members.now, before.since))
                if self._ready.written(judged.raw) != before.value:
                    continue
                changed.append((pack(state), judged.until, self._ready.number, profile))
            self._touched.people.discard(profile)
        memberships.keep(self._members.connection, changed)

    def _with_uids(self, untold: Sequence[tuple[int, Row]]) -> Iterator[tuple[int, Row]]:
        """Give the rows of what is to be told that are others now; without a uid, or of who is kept out, it is not."""
        known = identities.by_number(self._members.connection, [each[0] for each in untold]) if untold else {}
        for profile, row in untold:
            kind, value, _ = known[profile]
            if kind != UID or self._members.is_kept_out(value):
                row = row._replace(told=NOBODY)
            if row != self._before.get(profile):
                yield profile, row

    def _is_idle(self, profile: int) -> bool:
        """Tell whether somebody without a row is certainly to have none: most of those who are new."""
        ready, touched = self._ready, self._touched
        if ready.has_customers or ready.has_visitors or ready.plan.keys or profile in self._told:
            return False
        return profile not in touched.events and profile not in touched.joins and profile not in touched.afresh

    def _row(self, profile: int, before: Row | None) -> Row | None:
        state = self._state(profile, before)
        person = self._members.person(profile, self._ready.plan.keys)
        value, since, judged = self._judge(state, person, before)
        told = self._told.get(profile)
        is_known = self._ready.is_known(told, judged.raw, since)
        packed = pack(state)
        if is_known and packed == self._ready.empty and judged.raw == self._ready.nothing:
            return None
        return Row(packed, value, since, judged.until, KNOWN if is_known else TO_TELL)

    def _state(self, profile: int, before: Row | None) -> State:
        plan = self._ready.plan
        if profile in self._touched.afresh:
            state = plan.empty()
            for event in self._histories.get(profile, _NO_EVENTS):
                plan.add(state, event)
            return state
        state = plan.empty() if before is None else unpack(before.state)
        for visitor in self._touched.joins.get(profile, ()):
            theirs = self._before.get(visitor)
            if theirs is not None:
                plan.join(state, unpack(theirs.state))
        for event in self._touched.events.get(profile, _NO_EVENTS):
            plan.add(state, event)
        return state

    def _judge(self, state: State, person: Person | None, before: Row | None) -> tuple[str, int, Judged]:
        """Give the value, from when on it is that, and when it changes: first what time alone did until now.

        Where clocks differ, time does not go back.
        """
        now = self._members.now if before is None else max(self._members.now, before.since)
        if before is not None and before.until is not None and before.until <= now and pack(state) == before.state:
            now = before.until  # Nothing happened but time, perhaps several times.
            judged = self._ready.judge(state, person, now)
            while judged.until is not None and judged.until <= self._members.now:
                now = judged.until
                judged = self._ready.judge(state, person, now)
        else:
            judged = self._ready.judge(state, person, now)
        value = self._ready.written(judged.raw)
        return value, before.since if before is not None and before.value == value else now, judged
