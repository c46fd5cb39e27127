"""Gathering: the events of some names over all people, by one scan of the messages instead of person by person (0025).

The scan goes by number, in steps, and keeps no more of a message than whose history it is in and its number. Whose it
is, whether it is kept and what it says is looked up when people are read, range by range: links, erasures and decisions
may have changed it meanwhile. Messages that came since are looked for each time. Where most messages have one of the
names, keeping them all would be too much, and to read them from the histories costs little more.
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from richpanel.core.happened import VIEWS, event_name
from richpanel.core.identity import MAX_UIDS, UID, Runs, owner, unpack
from richpanel.core.message import TYPES
from richpanel.store import names
from richpanel.store.bulk import LISTED, fetch, listed
from richpanel.store.message_rows import COLUMNS, StoredMessage

STEP: Final = 200_000
"""Messages, by number, that are scanned at a time: some 50 ms."""
NAMES: Final = 20_000
MOST: Final = 2_000_000
"""Events that are kept at the most: 32 MB."""
KEPT: Final = 0
_TRACK: Final = TYPES.index("track")
_VIEWED: Final = {TYPES.index(kind): name for kind, (name, _) in VIEWS.items()}

Numbers: TypeAlias = NDArray[np.int64]


class Found(NamedTuple):
    """A kept event: whose it is, its name, and its row."""

    owner: int
    name: str
    row: StoredMessage


class Gathering:
    """The events of some names, of all people."""

    def __init__(self, wanted: Collection[str], upto: int) -> None:
        """Want names as `event_name` gives them; `upto` is a number up to which no more messages come."""
        self.wanted = frozenset(wanted)
        self.is_dense = False
        """Whether there are so many that they are read from the histories."""
        self.share = 0.0
        """How much of all is scanned."""
        self._upto = upto
        self._scanned = 0
        self._kinds = sorted(kind for kind, name in _VIEWED.items() if name in self.wanted)
        self._known: dict[int, str] = {}
        self._last_name: int | None = 0
        self._parts: list[tuple[Numbers, Numbers]] = []
        self._identities: Numbers = np.empty(0, np.int64)
        self._numbers: Numbers = np.empty(0, np.int64)
        self._tail: dict[int, list[int]] = {}

    def is_ready(self) -> bool:
        """Tell whether all is scanned, and people can be read."""
        return not self.wanted or self.is_dense or (self._last_name is None and self._scanned >= self._upto)

    def go_on(self, upto: int) -> None:
        """Scan on where much has come since; `upto` as before."""
        if upto - self._upto > STEP and not self.is_dense:
            self._upto = upto

    def scan(self, connection: Connection) -> bool:
        """Scan some more; tell whether that was all."""
        if self.is_ready():
            return True
        if self._last_name is not None:
            self._learn(connection)
        else:
            self._scan(connection)
        if self.is_ready():
            self._sort()
        return self.is_ready()

    def give_up(self) -> None:
        """Scan no more: read people from the histories."""
        self.is_dense = True
        self._parts = []

    def people(self, connection: Connection, low: int, high: int) -> list[Found]:
        """Give the events of all profiles with `low < number <= high`, in no order."""
        if not self.wanted:
            return []
        owned = fetch(connection, "SELECT uid, alias FROM ownership WHERE uid > ? AND uid <= ?", low, high)
        aliases = {alias for _, alias in owned if not low < alias <= high}
        if self.is_dense:
            kinds = [_TRACK, *self._kinds] if len(self.wanted) > len(self._kinds) else self._kinds
            rows = _from_histories(connection, kinds, aliases, (low, high))
            self._know(connection, {row.event for row in rows if row.type == _TRACK and row.event is not None})
        else:
            self._look_behind(connection)
            rows = _by_number(connection, self._asked_for(low, high, aliases))
        return _owned(connection, [(row, name) for row in rows if (name := self._name(row))], low, high)

    def as_far(self, low: int, high: int, most: int) -> int:
        """Give the greatest number up to `high` behind `low` up to which there are no more events than `most`.

        The busiest people have most of them; the next one is always within.
        """
        start, end = np.searchsorted(self._identities, (low, high), side="right").tolist()
        return high if end - start <= most else max(int(self._identities[start + most]) - 1, low + 1)

    def _learn(self, connection: Connection) -> None:
        """Read some more of the names that messages have: a message has the number of its name."""
        known = fetch(
            connection,
            "SELECT id, substr(value, 1, ?) FROM names WHERE id > ? ORDER BY id LIMIT ?",
            *(names.MAX_NAME, self._last_name, NAMES),
        )
        self._take_names(known)
        self._last_name = known[-1][0] if len(known) == NAMES else None

    def _take_names(self, found: Iterable[Any]) -> None:
        for number, value in found:
            name = event_name(value)
            self._known[number] = name if name in self.wanted else ""
        if self._last_name is not None:  # Of those read once for all, the others need not be remembered.
            self._known = {number: name for number, name in self._known.items() if name}

    def _scan(self, connection: Connection) -> None:
        end = min(self._scanned + STEP, self._upto)
        found = fetch(
            connection,
            "SELECT identity, n FROM messages WHERE n > ? AND n <= ? "
            f"AND (type = {_TRACK} AND event IN {LISTED} OR type IN {LISTED})",
            *(self._scanned, end, listed(self._known or [0]), listed(self._kinds or [-1])),
        )
        if found:
            pairs = np.fromiter(chain.from_iterable(found), np.int64, 2 * len(found))
            self._parts.append((pairs[0::2], pairs[1::2]))
        self._scanned, self.share = end, end / self._upto
        self.is_dense = len(self._numbers) + sum(len(part) for part, _ in self._parts) > MOST

    def _sort(self) -> None:
        parts, self._parts = self._parts, []
        if self.is_dense or not parts:
            return
        parts.append((self._identities, self._numbers))
        identities = np.concatenate([part for part, _ in parts])
        order = np.argsort(identities, kind="stable")
        self._identities = identities[order]
        self._numbers = np.concatenate([part for _, part in parts])[order]

    def _look_behind(self, connection: Connection) -> None:
        """Look for the messages that came since."""
        rows = fetch(
            connection,
            f"SELECT identity, n, type, event FROM messages WHERE n > ? AND (type = {_TRACK} OR type IN {LISTED})",
            *(self._upto, listed(self._kinds or [-1])),
        )
        self._know(connection, {event for _, _, kind, event in rows if kind == _TRACK and event is not None})
        self._tail = {}
        for identity, number, kind, event in rows:
            if kind != _TRACK or self._known.get(event):
                self._tail.setdefault(identity, []).append(number)

    def _know(self, connection: Connection, numbers: set[int]) -> None:
        missing = numbers - self._known.keys()
        if missing:
            self._take_names(names.by_number(connection, missing).items())

    def _asked_for(self, low: int, high: int, aliases: set[int]) -> list[int]:
        """Give the events of a range of identities, the first not among them, and of some aliases, by number."""
        start, end = np.searchsorted(self._identities, (low, high), side="right")
        found: list[int] = self._numbers[start:end].tolist()
        if aliases and len(self._identities):
            asked = np.array(sorted(aliases), np.int64)
            starts = np.searchsorted(self._identities, asked, side="left")
            ends = np.searchsorted(self._identities, asked, side="right")
            for index in np.flatnonzero(ends > starts).tolist():
                found += self._numbers[starts[index] : ends[index]].tolist()
        for identity, numbers in self._tail.items():
            if low < identity <= high or identity in aliases:
                found += numbers
        return found

    def _name(self, row: StoredMessage) -> str:
        name = self._known.get(row.event or 0, "") if row.type == _TRACK else _VIEWED.get(row.type, "")
        return name if name in self.wanted else ""


def _owned(connection: Connection, rows: Sequence[tuple[StoredMessage, str]], low: int, high: int) -> list[Found]:
    """Give those of these messages, each with its name, that are of profiles with `low < number <= high`."""
    runs = runs_of(connection, {row.identity for row, _ in rows})
    found = []
    for row, name in rows:
        if row.identity in runs:
            theirs = runs[row.identity]
            who = (theirs and owner(theirs, row.t, MAX_UIDS)) or row.identity
            if low < who <= high:
                found.append(Found(who, name, row))
    return found


def _by_number(connection: Connection, numbers: Collection[int]) -> list[StoredMessage]:
    """Give those of these messages that are kept."""
    statement = f"SELECT {COLUMNS} FROM messages WHERE outcome = {KEPT} AND n IN {LISTED}"
    return [StoredMessage(*row) for row in fetch(connection, statement, listed(sorted(numbers)))]


def _from_histories(
    connection: Connection, kinds: Collection[int], aliases: Collection[int], between: tuple[int, int]
) -> list[StoredMessage]:
    """Give the kept messages of these types of a range of identities, the first not among them, and of some aliases."""
    columns = ", ".join(f"m.{column}" for column in StoredMessage._fields)
    joined = (
        f"SELECT {columns} FROM parts p CROSS JOIN history h ON h.part = p.part JOIN messages m ON m.n = h.n "
        f"WHERE h.type IN {LISTED} AND h.identity"
    )
    rows = list(fetch(connection, f"{joined} > ? AND h.identity <= ?", listed(kinds), *between))
    if aliases:
        rows += fetch(connection, f"{joined} IN {LISTED}", listed(kinds), listed(sorted(aliases)))
    return [StoredMessage(*row) for row in rows]


def runs_of(connection: Connection, identities: Collection[int]) -> dict[int, Runs]:
    """Give the runs of aliases, and none of uids, of those of these identities that are there."""
    rows = fetch(connection, f"SELECT id, kind, runs FROM identities WHERE id IN {LISTED}", listed(sorted(identities)))
    return {number: () if kind == UID else unpack(runs) for number, kind, runs in rows}


def last_message(connection: Connection) -> int:
    """Give the number of the newest message."""
    return int(fetch(connection, "SELECT coalesce(max(n), 0) FROM messages")[0][0])
