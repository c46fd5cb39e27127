"""Judging people by what is not computed yet: how many meet a condition or have a value, by their stored messages.

One scan finds the events that are asked for (`store.gathering`), then people are looked at in ranges of numbers, in an
order that is none, for as long as there is time: with all of them the count is exact, with some it is what they stand
for. Where the scan alone would take too long the ranges are read from the histories.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from math import gcd
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from richpanel.core.computed import Raw, is_empty
from richpanel.core.membership import AudiencePlan, Person, Plan, State, TraitPlan
from richpanel.store import profile_rows
from richpanel.store.bulk import fetch
from richpanel.store.happenings import Opener, people_between

_RANGES: Final = 256
"""Into how many ranges people are cut."""
_AT_ONCE: Final = 5_000
"""Events that are opened at a time."""
_NARROW: Final = 50
"""Profiles, by number, that are read from the histories at a time."""
_SCANNING: Final = 0.5
_LEAST: Final = 0.1
"""The share of the time that a scan may take, and that it has in any case."""
_STRIDE: Final = 0x9E3779B97F4A7C15
"""Where the next range is, in the ring of them: the golden ratio scatters them, and is coprime to most numbers."""

HasTime = Callable[[float], bool]
"""Tells whether less than a share of the time is gone."""


class Judged(NamedTuple):
    """How many meet a condition, of those who were looked at, of all; some of them, by number of profile."""

    met: int
    looked: int
    people: int
    sample: list[int]

    @property
    def reckoned(self) -> int:
        """How many of all that is, if the others are like them."""
        return round(self.met * self.people / self.looked) if self.looked else 0

    @property
    def exact(self) -> bool:
        """Whether everybody was looked at."""
        return self.looked >= self.people


class _Question(NamedTuple):
    """What is asked of each: `answer` gives a value for those who meet it, else None."""

    plan: Plan
    answer: Callable[[State, Person], Any]
    now: int
    customers_only: bool
    sample: int


def judge_all(
    connection: Connection,
    plan: AudiencePlan,
    opener: Opener,
    *,
    customers_only: bool,
    now: int,
    sample: int,
    has_time: HasTime,
) -> Judged:
    """Judge people at `now`, ms UTC, by all their events up to then, until there is no time left."""

    def answer(state: State, person: Person) -> bool | None:
        return plan.judge(state, person, now).member or None

    return _Look(connection, opener, _Question(plan, answer, now, customers_only, sample)).at_all(has_time)[0]


def value_all(
    connection: Connection, plan: TraitPlan, opener: Opener, *, now: int, sample: int, has_time: HasTime
) -> tuple[Judged, dict[int, Raw]]:
    """Compute a trait of customers until there is no time left: who has a value is met; with those of the sample."""

    def answer(state: State, _: Person) -> Raw:
        raw, _until = plan.value(state, now)
        return None if is_empty(raw) else raw

    return _Look(connection, opener, _Question(plan, answer, now, True, sample)).at_all(has_time)


class _Look:
    """One look at people."""

    def __init__(self, connection: Connection, opener: Opener, question: _Question) -> None:
        # Where it is used: it sorts with numpy, 11 MB that pages do not need.
        from richpanel.store.gathering import Gathering, last_message

        self._connection = connection
        self._opener = opener
        self._asked = question
        self._gathering = Gathering(question.plan.watched, last_message(connection))
        self._idle = [question.answer(question.plan.empty(), Person({}, is_one)) for is_one in (False, True)]
        self._met, self._found = 0, dict[int, Any]()

    def at_all(self, has_time: HasTime) -> tuple[Judged, dict[int, Any]]:
        """Look at people until there is no time left."""
        gathering, people = self._gathering, self._count(None)
        while not gathering.scan(self._connection):
            if not has_time(max(_SCANNING * gathering.share, _LEAST)):  # At this pace it would take too long.
                gathering.give_up()
        looked: list[tuple[int, int]] = []
        for low, high in _ranges(self._connection, _NARROW if gathering.is_dense else None):
            at = low
            while at < high:
                if looked and not has_time(1):
                    return self._told(sum(map(self._count, looked)), people)
                end = gathering.as_far(at, high, _AT_ONCE)
                self._look(at, end)
                looked.append((at, end))
                at = end
        return self._told(people, people)

    def _told(self, looked: int, people: int) -> tuple[Judged, dict[int, Any]]:
        return Judged(self._met, looked, people, sorted(self._found)), self._found

    def _count(self, between: tuple[int, int] | None) -> int:
        wanted = ["id > ? AND id <= ?"] if between is not None else []
        if self._asked.customers_only:
            wanted.append("customer = 1" if between is None else "+customer = 1")  # Not by the index of all of them.
        where = f"WHERE {' AND '.join(wanted)}" if wanted else ""
        return int(fetch(self._connection, f"SELECT count(*) FROM profiles {where}", *(between or ()))[0][0])

    def _look(self, low: int, high: int) -> None:
        asked, states = self._asked, self._states(low, high)
        keys = asked.plan.keys
        everybody = bool(keys) or any(each is not None for each in self._idle)
        if keys:
            people = dict(people_between(self._connection, low, high, keys))
        else:
            among = profile_rows.customers(self._connection, low, high) if everybody else None
            found = profile_rows.are_customers(self._connection, states) if among is None else among
            people = {number: Person(customer=is_one) for number, is_one in found.items()}
        for number, person in people.items():
            if asked.customers_only and not person.customer:
                continue
            state = states.get(number)
            if state is None and not keys:
                value = self._idle[person.customer]
            else:
                value = asked.answer(asked.plan.empty() if state is None else state, person)
            if value is not None:
                self._met += 1
                if len(self._found) < asked.sample:
                    self._found[number] = value

    def _states(self, low: int, high: int) -> dict[int, State]:
        """Give what a plan keeps of those who have events, of those up to now."""
        plan, found = self._asked.plan, self._gathering.people(self._connection, low, high)
        owners = {each.row.n: each.owner for each in found}
        states: defaultdict[int, State] = defaultdict(plan.empty)
        for row, event in self._opener.open([(each.row, each.name) for each in found if each.row.t <= self._asked.now]):
            plan.add(states[owners[row.n]], event)
        return states


def _ranges(connection: Connection, width: int | None) -> Iterator[tuple[int, int]]:
    """Give ranges of numbers that all profiles are in, each behind its first number, scattered; the oldest last."""
    low, high = fetch(connection, "SELECT coalesce(min(id), 0), coalesce(max(id), -1) FROM profiles")[0]
    width = width or max(_NARROW, -(-(high - low + 1) // _RANGES))
    for number in _scattered(-(-(high - low + 1) // width)):
        start = low - 1 + number * width
        yield start, min(start + width, high)


def _scattered(count: int) -> Iterator[int]:
    """Give the numbers below `count`, each once, so that the first few are spread over all."""
    stride = _STRIDE % count if count > 1 else 1
    while count > 1 and (gcd(stride, count) != 1):
        stride += 1
    for number in range(1, count + 1):
        yield number * stride % count
