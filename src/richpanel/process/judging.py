"""Judging: what a batch brings for one plan is added to what the plan keeps of people, and each is judged (0025).

Most of a batch's people keep their value: of those only what is kept is written, and of whom the world was merely told
nothing is read.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, Protocol

from sqlalchemy import Connection

from richpanel.core.announcing import Told
from richpanel.core.happened import Happened
from richpanel.core.identity import UID
from richpanel.core.membership import Person, State
from richpanel.core.money import decode_exact
from richpanel.process.computing import Judged, Ready, pack, unpack
from richpanel.store import identities, memberships
from richpanel.store.memberships import KNOWN, NOBODY, TO_TELL, Row

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


class Surroundings(Protocol):
    """What is around: the transaction, when it is judged (ms UTC), who somebody is, and whom nobody may be told of."""

    connection: Connection
    now: int

    @property
    def keeps_out(self) -> bool:
        """Whether anybody is kept out (`process.suppressing`)."""

    def is_kept_out(self, uid: str) -> bool:
        """Tell whether a uid is kept out: what would be told of it would be refused."""

    def person(self, number: int, keys: Collection[str]) -> Person | None:
        """Give somebody as they are after the batch, with these traits, None where nobody is there."""


class Judging:
    """One plan's share of a batch."""

    def __init__(
        self, members: Surroundings, ready: Ready, touched: Touched, histories: Mapping[int, list[Happened]]
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
        self._known: list[int] = []
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
        memberships.know(self._members.connection, [(self._ready.number, profile) for profile in self._known])
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
                self._known.append(profile)

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
