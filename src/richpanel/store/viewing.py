"""Viewing: when people viewed pages or screens, read from their histories for first runs over nothing but that (0025).

Half of all messages are page calls. Their time and type stand in the history, in a person's order: where a plan looks
at no more than the newest few times, no row of a message is read and no event is made of the others.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Final

from sqlalchemy import Connection

from richpanel.core.happened import VIEWS, Happened
from richpanel.core.identity import MAX_UIDS, owner
from richpanel.core.message import TYPES
from richpanel.store.bulk import LISTED, fetch, listed
from richpanel.store.gathering import runs_of

KINDS: Final[Mapping[str, int]] = {name: TYPES.index(kind) for kind, (name, _) in VIEWS.items()}
"""The types of these events' messages, by their name."""
_VIEWS: Final = "FROM parts p CROSS JOIN history h ON h.part = p.part WHERE"


def views(
    connection: Connection, names: Collection[str], low: int, high: int, newest: int
) -> dict[int, list[Happened]]:
    """Give the newest so many views of each name of the profiles with `low < number <= high`, with their times alone.

    Those of an alias whose views are several people's are given to each.
    """
    found: defaultdict[int, list[Happened]] = defaultdict(list)
    for name in names:
        for person, times in _times(connection, KINDS[name], low, high).items():
            times.sort()
            found[person] += [Happened((t, "", ""), name) for t in times[-newest:]]
    return found


def _times(connection: Connection, kind: int, low: int, high: int) -> dict[int, list[int]]:
    owned = fetch(connection, "SELECT uid, alias FROM ownership WHERE uid > ? AND uid <= ?", low, high)
    aliases = {alias for _, alias in owned if not low < alias <= high}
    seen: defaultdict[int, list[int]] = defaultdict(list)
    range_ = f"SELECT h.identity, h.t {_VIEWS} h.type = ? AND h.identity > ? AND h.identity <= ?"
    for identity, t in fetch(connection, range_, kind, low, high):
        seen[identity].append(t)
    if aliases:
        listed_ = f"SELECT h.identity, h.t {_VIEWS} h.type = ? AND h.identity IN {LISTED}"
        for identity, t in fetch(connection, listed_, kind, listed(sorted(aliases))):
            seen[identity].append(t)
    found: defaultdict[int, list[int]] = defaultdict(list)
    for identity, theirs in runs_of(connection, seen).items():
        if not theirs:
            if low < identity <= high:
                found[identity] += seen[identity]
            continue
        for t in seen[identity]:
            who = owner(theirs, t, MAX_UIDS) or identity
            if low < who <= high:
                found[who].append(t)
    return found
