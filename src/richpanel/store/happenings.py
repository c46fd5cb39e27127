"""Happenings: the kept events of a person that conditions ask for, read again from the stored messages.

They are as they were decided about: what a filter took from a message at the account is not seen here either. Of an
event whose body retention let go the name and the time are known.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec
from sqlalchemy import Connection

from richpanel.core.happened import VIEWS, Happened, event_name, happened
from richpanel.core.identity import MAX_UIDS
from richpanel.core.membership import Person, Plan
from richpanel.core.message import TYPES, decode_message
from richpanel.core.profile import Profile
from richpanel.core.record import BodyGone
from richpanel.core.traits import known
from richpanel.store import history, message_rows, names
from richpanel.store.bodies import Bodies, Slice, bodies_of
from richpanel.store.bulk import LISTED, fetch, listed
from richpanel.store.decisions import Cuts
from richpanel.store.message_rows import COLUMNS, StoredMessage
from richpanel.store.sources import SourceRow

_EVENTS = tuple(number for number, name in enumerate(TYPES) if name in ("track", *VIEWS))
_AT_ONCE = 1_000
_NOTHING = msgspec.Raw()


class Happenings:
    """Reads the events of people that have one of some names."""

    def __init__(
        self, connection: Connection, log: Slice | Bodies, sources: Mapping[int, SourceRow], plan: Plan
    ) -> None:
        """Read what a plan looks at; `sources` are all there ever were, by number."""
        self._connection = connection
        self._bodies = bodies_of(connection, log)
        self._cuts = Cuts(connection)
        self._sources = sources
        self._watched = frozenset(plan.watched)
        self._around = {name for slot in plan.slots if slot.looks_around for name in slot.names}
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
            self._bodies.ahead(rows)
            self._cuts.ahead(rows)
            for row in rows:
                event = self._open(row)
                if event is not None and event.name in self._watched:
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

    def _open(self, row: StoredMessage) -> Happened | None:
        try:
            message = decode_message(message_rows.body(self._bodies, row.place, row.size))
            id_ = message_rows.message_id(self._bodies, row)
            shared = message_rows.meta(self._bodies, row.place, row.lead).context if self._around else _NOTHING
        except BodyGone:
            return Happened((row.t, f"#{row.n}", ""), self._name(row))
        message.type = TYPES[row.type]  # One that came alone may be called by its path.
        cut = self._cuts.of(row)
        if cut is not None:
            cut.apply_to(message, shared)
            shared = _NOTHING
        return happened(message, (row.t, id_, self._sources[row.source].id), shared, around=bool(self._around))


def person_of(profile: Profile, keys: Collection[str]) -> Person:
    """Give what conditions ask of a person beside their events: the traits that have these keys, decoded."""
    traits = known(profile.traits, profile.carried_email, keys) if keys else {}
    return Person(traits, profile.customer is not None)
