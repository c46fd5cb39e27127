"""Backfilling: who is in an audience is told to a destination that is connected later, and to it alone (0025).

What it tells is what the world was told, so it begins once all is folded that may have been decided about before the
destination was there. Whatever the destination was given by the message of the change itself it is not told again: the
decisions that are kept with messages say so, and what is in the log and not folded yet is for it, too. A message's id
is made of the backfill and the uid: what is written again after a kill is a duplicate.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from sqlalchemy import Connection, Engine

from richpanel.core import announcing
from richpanel.core.announcing import Computing, Told
from richpanel.core.identity import UID
from richpanel.core.ids import hash64
from richpanel.core.regulation import hashed
from richpanel.engage.telling import AT_ONCE, Said
from richpanel.store import backfills, identities, memberships, progress, suppressed, told_messages
from richpanel.store.account import account_name, read_account
from richpanel.store.backfills import BackfillRow, Pair
from richpanel.store.computations import ENGAGE, ComputationRow, list_computations
from richpanel.store.database import reading
from richpanel.store.definitions import definitions_version
from richpanel.store.destinations import ACCOUNT, list_destinations
from richpanel.store.sources import list_sources

MOST_UNDER_WAY: Final = 20
"""So many records may be in the log and not folded yet."""

UnderWay = Callable[[int, int, int], bool]
"""Tells whether a change is in the log behind a position: (computation, uid by number, position)."""


class Filled(NamedTuple):
    """What goes into the log next for a backfill, and how far that is then: behind a uid, with so many told of."""

    row: BackfillRow
    said: Said
    reached: int
    done: int
    is_last: bool


class _Setup(NamedTuple):
    version: int
    rows: dict[int, ComputationRow]
    source: str | None
    space: str
    secret: bytes


class Filler:
    """Looks for what backfills are to tell. Called on one thread at a time."""

    def __init__(
        self,
        state: Engine,
        account: Engine,
        end_now: Callable[[], int],
        under_way: UnderWay,
        at_once: int = AT_ONCE,
    ) -> None:
        """Read the state and the definitions, where progress is noted; `end_now` tells where the log ends.

        `under_way` knows what changes are told, and only those of definitions that were noticed before (`notice`).
        One record tells of `at_once` people at the most.
        """
        self._at_once = at_once
        self._state = state
        self._account = account
        self._end_now = end_now
        self._under_way = under_way
        self._setup: _Setup | None = None
        self._from: dict[int, int] = {}
        self._ends: deque[int] = deque()

    def forget(self) -> None:
        """Begin afresh: somebody else may have gone on meanwhile."""
        self._setup = None
        self._from.clear()
        self._ends.clear()

    def notice(self, now: int) -> int:
        """Begin backfills of destinations that are new, and end others; give the version of the definitions.

        To be called before anything is told: what is told by definitions that were not noticed yet may be for fewer.
        Where nobody was told yet there is nothing to fill: what follows is told to all. `now` is ms UTC.
        """
        setup = self._current(now)
        if setup.source is not None:
            self._begin(now)
        return setup.version

    def _begin(self, now: int) -> None:
        with reading(self._account) as connection:
            begun = [job for job in backfills.running(connection) if job.total is None and job.number not in self._from]
        if not begun:
            return
        end = self._end_now()
        with reading(self._state) as connection:
            is_whole = progress.read(connection).position >= end
            told = {job.computation: memberships.last_told(connection, job.computation) for job in begun}
        with self._account.begin() as connection:
            for job in begun:
                self._from[job.number] = end
                if is_whole and not told[job.computation]:
                    backfills.finish(connection, job.number, now=now)

    def look(self, now: int) -> Filled | None:
        """Give what is to be told next; None where there is nothing just now. `now` is ms UTC."""
        self.notice(now)
        setup = self._setup
        if setup is None or setup.source is None:
            return None
        with reading(self._account) as connection:
            jobs = [job for job in backfills.running(connection) if self._is_on(setup, job)]
        if not jobs:
            return None
        for job in jobs:  # Those that were begun before this process was.
            if job.number not in self._from:
                self._from[job.number] = self._end_now()
        with reading(self._state) as connection:
            folded = progress.read(connection).position
            while self._ends and self._ends[0] <= folded:
                self._ends.popleft()
            ripe = [job for job in jobs if self._from[job.number] <= folded]
            if not ripe or len(self._ends) >= MOST_UNDER_WAY:
                return None
            return self._some(connection, setup, ripe[0], folded)

    def appended(self, filled: Filled, end: int | None, now: int) -> None:
        """Note that something is in the log, in front of a position; None where there was nothing to say."""
        if end is not None:
            self._ends.append(end)
        row, setup = filled.row, self._setup
        with self._account.begin() as connection:
            mark = None if setup is None else self._mark_of(setup, filled.reached)
            backfills.advance(connection, row.number, reached=filled.reached, mark=mark, done=filled.done)
            if filled.is_last:
                backfills.finish(connection, row.number, now=now)

    def _current(self, now: int) -> _Setup:
        with reading(self._account) as connection:
            version = definitions_version(connection)
            if self._setup is not None and self._setup.version == version:
                return self._setup
            rows = {row.number: row for row in list_computations(connection) if row.newest.status != "draft"}
            source = next((row for row in list_sources(connection) if row.type == ENGAGE), None)
            pairs = set() if source is None else _pairs(connection, rows, source.id)
            speaks = source.id if source is not None and source.enabled else None
            secret = read_account(connection).hash_key
            found = _Setup(version, rows, speaks, f"spa_{account_name(connection)}", secret)
        with self._account.begin() as connection:
            backfills.follow(connection, pairs, now=now)
        self._setup = found
        return found

    @staticmethod
    def _is_on(setup: _Setup, job: BackfillRow) -> bool:
        row = setup.rows.get(job.computation)
        return row is not None and row.paused_at is None

    def _some(self, connection: Connection, setup: _Setup, job: BackfillRow, folded: int) -> Filled:
        row = setup.rows[job.computation]
        whole = job.everybody or row.kind == "trait"
        done, reached = job.done, job.reached
        if job.total is None:
            total = memberships.count_told(connection, row.number, None if whole else "true")
            with self._account.begin() as account:
                backfills.begin(account, job.number, total)
        if reached and self._mark_of(setup, reached) != job.mark:
            done = reached = 0  # The state was made anew: what is said again is a duplicate.
        told = memberships.told_behind(connection, row.number, reached, self._at_once)
        wanted = {uid: each for uid, each in told.items() if whole or each.value is True}
        last = max(told, default=reached)
        known = self._given(connection, setup, row, job, wanted)
        known |= {uid for uid in wanted if self._under_way(row.number, uid, folded)}
        left = {uid: each for uid, each in wanted.items() if uid not in known}
        said = Said(setup.source or "", self._messages(connection, setup, row, job, left), [], is_first=True)
        return Filled(job, said, last, done + len(wanted), len(told) < self._at_once)

    def _messages(
        self, connection: Connection, setup: _Setup, row: ComputationRow, job: BackfillRow, told: dict[int, Told]
    ) -> list[bytes]:
        of = Computing(row.kind, row.id, row.newest.version, row.key, setup.space)
        out = suppressed.load(connection)
        made = []
        for number, (kind, uid, _) in sorted(identities.by_number(connection, told).items()):
            if kind == UID and not (out and hashed(setup.secret, UID, uid) in out):
                made.append(announcing.backfill(of, uid, told[number], job.destination_id, job.number))
        return made

    def _given(
        self, connection: Connection, setup: _Setup, row: ComputationRow, job: BackfillRow, told: Mapping[int, Told]
    ) -> set[int]:
        """Give the uids of whom the destination was given what was told last: by that message, or a backfill before."""
        found = told_messages.last_kept(connection, row.number, told, job.destination_id)
        if not found:
            return set()
        with reading(self._account) as account:
            before = backfills.numbers_before(account, job)
        of = [Computing(row.kind, row.id, each + 1, row.key, setup.space) for each in range(row.newest.version)]
        ids: dict[int, int] = {}
        for number, (_, uid, _) in identities.by_number(connection, found).items():
            changes = [announcing.message_id(each, uid, told[number].number) for each in of]
            filled = [announcing.backfill_id(of[0], uid, each) for each in before]
            ids.update((hash64(setup.secret, setup.source or "", each), number) for each in (*changes, *filled))
        there = told_messages.numbers_of(connection, ids)
        return {ids[hashed] for hashed, number in there if number in found[ids[hashed]]}

    def _mark_of(self, setup: _Setup, uid: int) -> str | None:
        """Give the keyed hash of a uid, by number."""
        with reading(self._state) as connection:
            found = identities.by_number(connection, [uid]).get(uid)
        return None if found is None else hashed(setup.secret, found[0], found[1])


def _pairs(connection: Connection, rows: dict[int, ComputationRow], source: str) -> set[Pair]:
    """Give which destinations outside are told of what."""
    connected = [
        each
        for each in list_destinations(connection)
        if each.enabled and each.endpoint != ACCOUNT and source in each.sources
    ]
    return {
        (row.number, each.number)
        for row in rows.values()
        for each in connected
        if row.destinations is None or each.id in row.destinations
    }
