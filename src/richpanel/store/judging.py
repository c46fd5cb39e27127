"""Judging people by a condition that is not computed yet: how many meet it, and who, by their stored messages.

People are looked at block by block in an order that is none, for as long as there is time: with all of them the count
is exact, with some it is what they stand for.
"""

from collections.abc import Callable, Iterator
from math import gcd
from typing import Final, NamedTuple

from sqlalchemy import Connection

from richpanel.core.computed import Raw, is_empty
from richpanel.core.membership import AudiencePlan, Person, State, TraitPlan, Verdict
from richpanel.store import profile_rows
from richpanel.store.bulk import fetch
from richpanel.store.happenings import Happenings, person_of

_BLOCK: Final = 50
"""People with numbers that follow each other, who are looked at together."""
_STRIDE: Final = 0x9E3779B97F4A7C15
"""Where the next block is, in the ring of them: the golden ratio scatters them, and is coprime to most numbers."""


class Judged(NamedTuple):
    """How many meet a condition, of those who were looked at, of all; the first of them, by number of profile."""

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


def judge(plan: AudiencePlan, happenings: Happenings, profile: int, person: Person, now: int) -> Verdict:
    """Judge somebody at `now`, ms UTC, by all their events up to then."""
    state: State = plan.empty()
    for each in happenings.of(profile):
        if each.t <= now:
            plan.add(state, each)
    return plan.judge(state, person, now)


def judge_all(
    connection: Connection,
    plan: AudiencePlan,
    happenings: Happenings,
    *,
    customers_only: bool,
    now: int,
    sample: int,
    has_time: Callable[[], bool],
) -> Judged:
    """Judge people until there is no time left, a block at least."""
    people = _count(connection, customers_only)
    met, looked, found = 0, 0, list[int]()
    for numbers in _blocks(connection):
        for number, profile in profile_rows.load(connection, numbers).items():
            if customers_only and profile.customer is None:
                continue
            looked += 1
            if judge(plan, happenings, number, person_of(profile, plan.keys), now).member:
                met += 1
                if len(found) < sample:
                    found.append(number)
        if not has_time():
            break
    return Judged(met, looked, people, sorted(found))


def value_all(
    connection: Connection,
    plan: TraitPlan,
    happenings: Happenings,
    *,
    now: int,
    sample: int,
    has_time: Callable[[], bool],
) -> tuple[Judged, dict[int, Raw]]:
    """Compute a trait of customers until there is no time left: who has a value is met; with those of the sample."""
    people = _count(connection, customers_only=True)
    met, looked, values = 0, 0, dict[int, Raw]()
    for numbers in _blocks(connection):
        for number, profile in profile_rows.load(connection, numbers).items():
            if profile.customer is None:
                continue
            looked += 1
            state: State = plan.empty()
            for each in happenings.of(number):
                if each.t <= now:
                    plan.add(state, each)
            raw, _ = plan.value(state, now)
            if not is_empty(raw):
                met += 1
                if len(values) < sample:
                    values[number] = raw
        if not has_time():
            break
    return Judged(met, looked, people, sorted(values)), values


def _count(connection: Connection, customers_only: bool) -> int:
    where = "WHERE customer = 1" if customers_only else ""
    return int(fetch(connection, f"SELECT count(*) FROM profiles {where}")[0][0])


def _blocks(connection: Connection) -> Iterator[list[int]]:
    """Give the numbers of all profiles, block by block, scattered."""
    low, high = fetch(connection, "SELECT coalesce(min(id), 0), coalesce(max(id), -1) FROM profiles")[0]
    blocks = (high - low) // _BLOCK + 1
    for number in _scattered(blocks):
        start = low + number * _BLOCK
        rows = fetch(connection, "SELECT id FROM profiles WHERE id >= ? AND id < ?", start, start + _BLOCK)
        if rows:
            yield [row[0] for row in rows]


def _scattered(count: int) -> Iterator[int]:
    """Give the numbers below `count`, each once, so that the first few are spread over all."""
    stride = _STRIDE % count if count > 1 else 1
    while count > 1 and (gcd(stride, count) != 1):
        stride += 1
    for number in range(count):
        yield number * stride % count
