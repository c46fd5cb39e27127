"""First runs: what a plan keeps of everybody is made from all stored messages, set by set (0025).

One scan finds the events that the plan asks for (`store.gathering`), then a slice is a range of profiles: their events
in one query, whatever else is asked of them in another, and rows for those whom it concerns. A slice is as wide as it
may take long, for live messages wait for it.
"""

import time
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection

from richpanel.core.happened import Happened
from richpanel.core.membership import Person
from richpanel.core.windows import NEVER
from richpanel.process.computing import Plans, Ready
from richpanel.process.memberships import Members
from richpanel.process.refold import Reader
from richpanel.store import identities, memberships, profile_rows
from richpanel.store.gathering import Found, Gathering, last_message
from richpanel.store.happenings import Opener, people_between
from richpanel.store.memberships import ALL
from richpanel.store.viewing import KINDS, views

SECONDS: Final = 0.2
"""How long a slice is to take."""
NARROWEST: Final = 1
WIDEST: Final = 200_000
"""Numbers of profiles in a slice. It begins with one and doubles: the busiest twenty can have a quarter of all."""
MOST: Final = 5_000
"""Events in a slice, but for those of a single person: to open one takes some 30 us."""


class Runs:
    """What first runs go on with from one slice to the next; nothing that could not be read again.

    `shared`: others write the state, too. Then a scan begins where nobody else has anything under way (`turns.alone`).
    """

    def __init__(self, *, shared: bool = False) -> None:
        """Have gathered nothing."""
        self._shared = shared
        self._gathering: Gathering | None = None
        self._width = NARROWEST

    def forget(self) -> None:
        """Let go of what was gathered."""
        self._gathering, self._width = None, NARROWEST

    def is_new(self, names: Collection[str]) -> bool:
        """Tell whether the events of these names are still to be gathered."""
        return self._gathering is None or self._gathering.wanted != names

    def gathering(
        self, connection: Connection, plans: Plans, numbers: Collection[int], *, alone: bool
    ) -> Gathering | None:
        """Give the events that plans ask for, once they are gathered; None until then: some more are looked for."""
        names, settled = names_of(plans, numbers), alone or not self._shared
        if self._gathering is None or self._gathering.wanted != names:
            if not settled:
                return None
            self.forget()
            self._gathering = Gathering(names, last_message(connection) if names else 0)
            if newest_views([plans.ready[number] for number in numbers]) is not None:
                self._gathering.give_up()
        elif settled and not self._gathering.is_dense:
            self._gathering.go_on(last_message(connection))
        until = time.monotonic() + SECONDS
        while not self._gathering.scan(connection):
            if time.monotonic() > until:
                return None
        return self._gathering

    def slice(self, connection: Connection, low: int) -> int:
        """Give up to which profile the next slice goes, behind `low`: `ALL` where that is everybody."""
        high = low + self._width
        if self._gathering is not None:
            high = self._gathering.as_far(low, high, MOST)
        return high if high < identities.last_number(connection) else ALL

    def took(self, seconds: float) -> None:
        """Have the next slice be as wide as it may."""
        wanted = self._width * SECONDS / max(seconds, SECONDS / 2)  # Behind a range without people there may be many.
        self._width = max(NARROWEST, min(round(wanted), WIDEST))


def names_of(plans: Plans, numbers: Collection[int]) -> frozenset[str]:
    """Give the names of the events that plans ask for."""
    return frozenset(name for number in numbers for name in plans.ready[number].plan.watched)


def newest_views(ready: Sequence[Ready]) -> int | None:
    """Tell how many of the newest views of each name these plans look at; None where they look at more than that."""
    if any(name not in KINDS for each in ready for name in each.plan.watched):
        return None
    newest = max(each.plan.newest for each in ready)
    return newest if 0 < newest < NEVER else None


def make(
    reader: Reader,
    members: Members,
    gathering: Gathering,
    numbers: Sequence[int],
    between: tuple[int, int],
    *,
    again: bool = False,
) -> tuple[int, dict[int, list[int]]]:
    """Make the memberships of the profiles between two numbers, the first not among them, afresh, for these plans.

    Their events are gathered. Give how many people were looked at, and of whom another state or value is kept now.
    `again`: their rows are there, and what is kept of somebody whose events' bodies are gone knows more than is stored.
    """
    ready = [members.plans.ready[number] for number in numbers]
    seen, wanted, people, gone = look_at(reader, ready, gathering, between)
    if again:
        people = {number: person for number, person in people.items() if number not in gone}
    for each_ready in ready:
        concerned = wanted[each_ready.number]
        members.make([each_ready.number], people.keys() if concerned is None else concerned & people.keys())
    return len(people), members.write_gathered(seen, people)


class Seen(NamedTuple):
    """What is read of a range of people: their events, whom of them each plan concerns (None: all), and who they are.

    `gone` are those of whom an event that had to be opened has no body any more.
    """

    histories: dict[int, list[Happened]]
    wanted: dict[int, set[int] | None]
    people: dict[int, Person]
    gone: set[int]


def look_at(reader: Reader, ready: Sequence[Ready], gathering: Gathering, between: tuple[int, int]) -> Seen:
    """Read the events of the profiles between two numbers, the first not among them, and who they are, for plans."""
    connection, (low, high) = reader.connection, between
    opener = Opener(connection, reader.bodies, reader.sources, [each.plan for each in ready])
    newest = newest_views(ready)
    found = gathering.people(connection, low, high) if newest is None else []
    seen = _opened(opener, found) if newest is None else views(connection, gathering.wanted, low, high, newest)
    wanted = {each.number: _concerned(connection, each, seen, low, high) for each in ready}
    people = _people(connection, ready, wanted, low, high)
    return Seen(seen, wanted, people, {each.owner for each in found if each.row.n in opener.gone})


def _opened(opener: Opener, found: Sequence[Found]) -> dict[int, list[Happened]]:
    owners = {each.row.n: each.owner for each in found}
    histories: defaultdict[int, list[Happened]] = defaultdict(list)
    for row, event in opener.open([(each.row, each.name) for each in found]):
        histories[owners[row.n]].append(event)
    return histories


def _concerned(
    connection: Connection, ready: Ready, histories: dict[int, list[Happened]], low: int, high: int
) -> set[int] | None:
    """Give whom a plan can keep something of: those with events, or with rows already. None: everybody."""
    if ready.has_customers or ready.has_visitors or ready.plan.keys:
        return None
    watched = ready.plan.watched
    found = {owner for owner, events in histories.items() if any(event.name in watched for event in events)}
    return found | memberships.between(connection, ready.number, ready.computation, low, high)


def _people(
    connection: Connection, ready: Sequence[Ready], wanted: dict[int, set[int] | None], low: int, high: int
) -> dict[int, Person]:
    """Give who they are, with the traits that are asked for; those who are not there are left out."""
    keys = frozenset().union(*(each.plan.keys for each in ready))
    if keys:
        return dict(people_between(connection, low, high, keys))
    if None in wanted.values():
        customers = profile_rows.customers(connection, low, high)
    else:
        customers = profile_rows.are_customers(connection, set().union(*filter(None, wanted.values())))
    return {number: Person(customer=is_one) for number, is_one in customers.items()}
