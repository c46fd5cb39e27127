"""Refolding: fold a profile afresh from its stored messages, where some of them were taken away (`semantics.md` 1).

A late message needs none of this: the fold is a union (`core.profile`). A late link between two uids does, and channel
activity whose sender becomes known.
"""

from collections import defaultdict

from sqlalchemy import Connection

from richpanel.core.identity import MAX_UIDS
from richpanel.core.profile import Profile
from richpanel.core.stamps import Stamp
from richpanel.process.definitions import Definitions
from richpanel.process.folding import Folding
from richpanel.process.incoming import Incoming, open_item
from richpanel.process.orders import Orders, of_message
from richpanel.store import history
from richpanel.store import message_rows as messages
from richpanel.store import order_rows as orders
from richpanel.store.message_rows import Bodies, StoredMessage
from richpanel.store.order_rows import OrderKey

_CHUNK = 5_000


class Reader:
    """Opens stored messages again, as they were when they arrived."""

    def __init__(self, connection: Connection, definitions: Definitions, bodies: Bodies) -> None:
        self._connection = connection
        self._blocked = definitions.account.blocked_ids
        self._bodies = bodies
        self._sources = {source.number: source for source in definitions.sources.values()}

    def open(self, numbers: list[int]) -> list[Incoming]:
        """Open messages by number."""
        return [self._open(row) for row in messages.load(self._connection, numbers).values()]

    def stamp(self, number: int) -> Stamp:
        """Give the stamp of a stored message."""
        return self.open([number])[0].stamp

    def _open(self, row: StoredMessage) -> Incoming:
        meta = messages.meta(self._bodies, row.place, row.lead)
        body = self._bodies(row.place, row.size)
        found = open_item(meta, self._sources[row.source], (row.place, row.lead, row.item), body, self._blocked)
        found.n = row.n
        found.identity = row.identity
        return found


def refold(reader: Reader, folding: Folding, profiles: set[int], taken: Orders, *, since: int) -> dict[int, Profile]:
    """Fold these profiles afresh from what is stored before message `since`; give what they were.

    The orders that their events are of follow. This batch's own messages come next, so that traces tell what they do.
    """
    if not profiles:
        return {}
    before: dict[int, Profile] = {}
    owners: dict[tuple[OrderKey, Stamp], int] = {}
    known = orders.of_profiles(folding.connection, profiles)
    by_order: defaultdict[str, list[OrderKey]] = defaultdict(list)
    for key in known:
        by_order[key[1]].append(key)
    folding.load(profiles)
    for profile in profiles:
        if profile in folding.memory.profiles:
            before[profile] = folding.memory.profiles[profile]
        folding.drop(profile)
        numbers = [
            number
            for span in history.of_profile(folding.connection, profile, MAX_UIDS)
            for _, number, _ in history.numbers(folding.connection, span)
            if number < since
        ]
        for start in range(0, len(numbers), _CHUNK):
            opened = reader.open(numbers[start : start + _CHUNK])
            folding.fold(profile, opened, trace=False)
            for message in opened:
                event = of_message(message)
                for key in by_order[event[0]] if event is not None and event[0] in by_order else ():
                    owners[(key, message.stamp)] = profile
    taken.reassign(owners, profiles)
    return before
