"""Telling: who entered or left, or has another value, is taken from the state, and becomes messages for the log.

Nothing is remembered: a change is to be told until its own message is folded, and that has always the same id. So
whoever tells waits, at first, until all is folded that may be of somebody who told before (`Teller.wait_for`); what is
appended and not folded yet is passed over.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, Engine

from richpanel.core import announcing
from richpanel.core.announcing import RICHPANEL, Computing, Told, following
from richpanel.core.identity import UID
from richpanel.core.money import decode_exact
from richpanel.store import identities, memberships, progress
from richpanel.store.account import account_name
from richpanel.store.computations import ENGAGE, ComputationRow, list_computations
from richpanel.store.database import reading
from richpanel.store.definitions import definitions_version
from richpanel.store.plans import PlanRow
from richpanel.store.sources import list_sources

AT_ONCE: Final = 500
"""Changes that go into one record."""
MOST_UNDER_WAY: Final = 20_000
"""So many changes may be in the log and not folded yet: the log has others to take."""
FIRSTS_UNDER_WAY: Final = 10_000
"""With so many first runs wait: to fold them takes a third of a second, and live messages stand behind them."""


class Change(NamedTuple):
    """A change of somebody's: of which computation, of which profile, both by number, and the how-manieth it is."""

    computation: int
    profile: int
    number: int


class Said(NamedTuple):
    """What goes into the log as one record: the messages, the source that they are from, and what they tell.

    `is_first` says that they are of a first run: they have a lane of their own.
    """

    source: str
    messages: list[bytes]
    changes: list[Change]
    is_first: bool


class _Setup(NamedTuple):
    version: int
    rows: dict[int, tuple[ComputationRow, PlanRow]]
    source: str | None
    space: str


class Teller:
    """Looks for what is to be told. Called on one thread at a time."""

    def __init__(
        self, state: Engine, account: Engine, at_once: int = AT_ONCE, firsts_under_way: int = FIRSTS_UNDER_WAY
    ) -> None:
        """Read the state and the definitions; nothing is written. The numbers: as the constants have them."""
        self._at_once = at_once
        self._firsts_under_way = firsts_under_way
        self._state = state
        self._account = account
        self._setup: _Setup | None = None
        self._after: dict[int, int] = {}
        self._under_way: dict[tuple[int, int], tuple[int, int]] = {}
        self._folded = 0
        self._from: int | None = None
        self._turn = 0
        self.is_full = False
        """Whether first runs wait for what is under way: for a moment."""

    def wait_for(self, position: int) -> None:
        """Begin afresh, once all is folded that stands in front of a position of the log."""
        self._from = position
        self._under_way.clear()
        self._after.clear()

    def appended(self, said: Said, end: int) -> None:
        """Note that something is in the log, in front of a position."""
        for change in said.changes:
            self._under_way[(change.computation, change.profile)] = (change.number, end)

    @property
    def version(self) -> int | None:
        """The version of the definitions by which the last look went."""
        return None if self._setup is None else self._setup.version

    def is_under_way(self, computation: int, uid: int, position: int) -> bool:
        """Tell whether a change of somebody's, by number, is in the log behind a position."""
        return self._under_way.get((computation, uid), (0, 0))[1] > position

    def look(self) -> Said | None:
        """Give what is to be told next; None where there is nothing just now."""
        self.is_full = False
        setup = self._current()
        if setup.source is None or not setup.rows:
            return None
        with reading(self._state) as connection:
            folded = progress.read(connection).position
            if self._from is not None and folded < self._from:
                return None
            self._from = None
            if folded != self._folded:
                self._under_way = {key: known for key, known in self._under_way.items() if known[1] > folded}
                self._folded = folded
            self.is_full = len(self._under_way) >= self._firsts_under_way
            if len(self._under_way) >= MOST_UNDER_WAY:
                return None
            numbers = sorted(setup.rows)
            for step in range(len(numbers)):  # Each in its turn: a first run holds up no other.
                number = numbers[(self._turn + step) % len(numbers)]
                said = self._of(connection, setup, number)
                if said is not None:
                    self._turn = (self._turn + step + 1) % len(numbers)
                    return said
        return None

    @property
    def is_in_between(self) -> bool:
        """Whether some of what there may be to tell was passed over, and the next look goes on behind it."""
        return any(self._after.values())

    def live(self) -> list[tuple[int, int]]:
        """Give the audiences that are live, each with its plan, by number."""
        return [(row.number, plan.number) for row, plan in self._current().rows.values() if row.kind == "audience"]

    def _current(self) -> _Setup:
        with reading(self._account) as connection:
            version = definitions_version(connection)
            if self._setup is None or self._setup.version != version:
                rows = {
                    row.live.number: (row, row.live)
                    for row in list_computations(connection)
                    if row.live is not None and row.paused_at is None
                }
                source = next((row.id for row in list_sources(connection) if row.type == ENGAGE and row.enabled), None)
                self._setup = _Setup(version, rows, source, f"spa_{account_name(connection)}")
        return self._setup

    def _of(self, connection: Connection, setup: _Setup, number: int) -> Said | None:
        """Look at some of the changes of a plan, behind those that were looked at last."""
        row, plan = setup.rows[number]
        after = self._after.get(number, 0)
        found = memberships.to_tell(connection, number, after, self._at_once)
        self._after[number] = found[-1][0] if len(found) == self._at_once else 0
        firsts = [each for each in found if plan.live_at is not None and each[2] <= plan.live_at]
        if firsts and self.is_full:
            self._after[number] = after
            first = {profile for profile, _, _ in firsts}
            found, firsts = [each for each in found if each[0] not in first], []
        chosen = firsts or found
        if firsts and len(firsts) < len(found):
            self._after[number] = after  # The others are next.
        chosen = [each for each in chosen if (row.number, each[0]) not in self._under_way]
        if not chosen and firsts:
            chosen = [each for each in found if (row.number, each[0]) not in self._under_way]
            firsts = []
        return self._said(connection, setup, (row, plan), chosen, bool(firsts)) if chosen else None

    def _said(
        self,
        connection: Connection,
        setup: _Setup,
        of: tuple[ComputationRow, PlanRow],
        found: Sequence[tuple[int, str, int]],
        is_first: bool,
    ) -> Said | None:
        row, plan = of
        profiles = [profile for profile, _, _ in found]
        known = identities.by_number(connection, profiles)
        told = memberships.told(connection, row.number, profiles)
        computing = Computing(row.kind, row.id, plan.version, row.key, setup.space)
        said = Said(setup.source or "", [], [], is_first)
        for profile, value, since in found:
            kind, uid, _ = known[profile]
            if kind != UID:
                continue
            next_ = _next(told.get(profile), decode_exact(value), since)
            if next_ is None:
                continue
            said.messages.append(announcing.identify(computing, uid, next_, _names(row)))
            if row.tracks:
                said.messages.append(announcing.track(computing, uid, next_, _names(row)))
            said.changes.append(Change(row.number, profile, next_.number))
        return said if said.messages else None


def _next(told: Told | None, value: object, since: int) -> Told | None:
    """Give what is to be told next, None where the world knows it."""
    return None if told is not None and told.value == value else following(told, value, since)


def _names(row: ComputationRow) -> Sequence[str]:
    return (RICHPANEL,) if row.destinations is None else row.destinations
