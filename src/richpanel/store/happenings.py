"""Happenings: the kept events of a person that conditions ask for, read again from the stored messages.

They are as they were decided about: what a filter took from a message at the account is not seen here either. Of an
event whose body retention let go the name and the time are known.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import msgspec
from sqlalchemy import Connection

from richpanel.core.happened import VIEWS, Happened, event_name, happened
from richpanel.core.identity import MAX_UIDS
from richpanel.core.membership import Person, Plan, Slot
from richpanel.core.message import TYPES, decode_message
from richpanel.core.profile import Profile, glance
from richpanel.core.record import BodyGone
from richpanel.core.traits import FIRST_CLASS, known
from richpanel.store import history, message_rows, names, profile_rows
from richpanel.store.bodies import Bodies, Slice, bodies_of
from richpanel.store.bulk import LISTED, fetch, listed
from richpanel.store.decisions import Cuts
from richpanel.store.message_rows import COLUMNS, StoredMessage
from richpanel.store.sources import SourceRow

_EVENTS = tuple(number for number, name in enumerate(TYPES) if name in ("track", *VIEWS))
_AT_ONCE = 1_000
_NOTHING = msgspec.Raw()


class Opener:
    """Opens stored messages as events, as far as plans look into them."""

    def __init__(
        self,
        connection: Connection,
        log: Slice | Bodies,
        sources: Mapping[int, SourceRow],
        plans: Iterable[Plan],
        *,
        whole: bool = False,
    ) -> None:
        """Open what plans look at, or all of it; `sources` are all there ever were, by number."""
        self._bodies = bodies_of(connection, log)
        self._cuts = Cuts(connection)
        self._sources = sources
        slots = [slot for plan in plans for slot in plan.slots]
        self.watched = _names(slots)
        self._around = _names(slot for slot in slots if slot.looks_around)
        self._inside = _names(slot for slot in slots if whole or slot.looks_inside)
        self.gone: set[int] = set()
        """Messages that had to be opened, and whose bodies are no longer kept, by number."""

    def open(self, named: Sequence[tuple[StoredMessage, str]]) -> Iterator[tuple[StoredMessage, Happened]]:
        """Open messages, each given with the name that its row tells; those that turn out to have another are left out.

        Of events of which nothing matters but their time no body is read.
        """
        for start in range(0, len(named), _AT_ONCE):
            some = named[start : start + _AT_ONCE]
            self.ahead(row for row, name in some if name in self._inside)
            for row, name in some:
                event = self.event(row, name)
                if event is not None and event.name in self.watched:
                    yield row, event

    def ahead(self, rows: Iterable[StoredMessage]) -> None:
        """Load what is about to be opened, at once."""
        wanted = list(rows)
        self._bodies.ahead(wanted)
        self._cuts.ahead(wanted)

    def event(self, row: StoredMessage, name: str) -> Happened | None:
        """Open one."""
        if name not in self._inside:
            return Happened((row.t, f"#{row.n}", ""), name)
        around = name in self._around
        try:
            message = decode_message(message_rows.body(self._bodies, row.place, row.size))
            id_ = message.messageId
            if id_ is None or id_ == "":
                id_ = message_rows.message_id(self._bodies, row)
            shared = message_rows.meta(self._bodies, row.place, row.lead).context if around else _NOTHING
        except BodyGone:
            self.gone.add(row.n)
            return Happened((row.t, f"#{row.n}", ""), name)
        message.type = TYPES[row.type]  # One that came alone may be called by its path.
        cut = self._cuts.of(row)
        if cut is not None:
            cut.apply_to(message, shared)
            shared = _NOTHING
        return happened(message, (row.t, str(id_), self._sources[row.source].id), shared, around=around)


class Happenings:
    """Reads the events of people that have one of some names."""

    def __init__(
        self, connection: Connection, log: Slice | Bodies, sources: Mapping[int, SourceRow], plan: Plan
    ) -> None:
        """Read what a plan looks at; `sources` are all there ever were, by number."""
        self._connection = connection
        self._opener = Opener(connection, log, sources, [plan], whole=True)
        self._watched = self._opener.watched
        self._names: dict[int, str] = {}

    def of(self, profile: int) -> Iterator[Happened]:
        """Give a person's events, in no order."""
        if not self._watched:
            return
        spans = history.of_profile(self._connection, profile, MAX_UIDS)
        found = {n for span in spans for _, n, kind in history.numbers(self._connection, span) if kind in _EVENTS}
        numbers = sorted(found)
        for start in range(0, len(numbers), _AT_ONCE):
            rows = self._asked_for(numbers[start : start + _AT_ONCE])
            for _, event in self._opener.open([(row, self._name(row)) for row in rows]):
                yield event

    def _asked_for(self, numbers: Sequence[int]) -> list[StoredMessage]:
        """Load those of these messages that can be of a name that is looked at: nearly none is, mostly."""
        rows = fetch(self._connection, f"SELECT {COLUMNS} FROM messages WHERE n IN {LISTED}", listed(numbers))
        messages = [StoredMessage(*row) for row in rows]
        self._learn({row.event for row in messages if row.event is not None} - self._names.keys())
        return [row for row in messages if self._name(row) in self._watched]

    def _learn(self, numbers: Collection[int]) -> None:
        found = names.by_number(self._connection, numbers) if numbers else {}
        self._names.update((number, event_name(name)) for number, name in found.items())

    def _name(self, row: StoredMessage) -> str:
        view = VIEWS.get(TYPES[row.type])
        return view[0] if view is not None else self._names.get(row.event or 0, "")


def _names(slots: Iterable[Slot]) -> frozenset[str]:
    return frozenset(name for slot in slots for name in slot.names)


def people_between(connection: Connection, low: int, high: int, keys: Collection[str]) -> Iterator[tuple[int, Person]]:
    """Give all profiles with `low < number <= high`, each as `person_of` does."""
    looked_at = FIRST_CLASS.union(keys) if FIRST_CLASS.intersection(keys) else keys
    for number, state in profile_rows.states(connection, low, high):
        is_customer, traits, carried = glance(state, looked_at)
        yield number, Person(known(traits, carried, keys), is_customer)


def person_of(profile: Profile, keys: Collection[str]) -> Person:
    """Give what conditions ask of a person beside their events: the traits that have these keys, decoded."""
    traits = known(profile.traits, profile.carried_email, keys) if keys else {}
    return Person(traits, profile.customer is not None)
