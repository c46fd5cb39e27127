"""Rebuilding: a state made anew from the log, while the one in force serves (`semantics.md` 1 and 7).

The new state is never ahead of the one in force: up to there every message has its decision, and keeps it.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from sqlalchemy import Connection, Engine

from richpanel.log.contract import Entry, LogReader
from richpanel.process.batch import Applied
from richpanel.process.definitions import Watch
from richpanel.process.earlier import EarlierDecisions
from richpanel.process.worker import Worker
from richpanel.store import progress
from richpanel.store.bodies import Slice
from richpanel.store.compared_memberships import Memberships
from richpanel.store.compared_messages import compare_messages
from richpanel.store.compared_people import Links, Orders, Profiles, Sessions
from richpanel.store.comparison import Show, Tally, compare, compare_counts
from richpanel.store.database import reading
from richpanel.store.sources import SourceRow


class RebuildError(Exception):
    """The new state cannot become what the one in force is; the text says why."""


class Until:
    """A log that ends at `end`, for who reads it here."""

    def __init__(self, log: LogReader) -> None:
        self._log = log
        self.end = 0
        self.durable: Final = log.durable
        self.end_now: Final = log.end_now
        self.slice: Final = log.slice
        self.first: Final = log.first
        self.close: Final = log.close

    def read(self, position: int, max_bytes: int = 8 << 20) -> list[Entry]:
        """Return the records from `position` that end at or before `end` (`LogReader.read`)."""
        if position >= self.end:
            return []
        return [entry for entry in self._log.read(position, max_bytes) if entry.end <= self.end]


class Rebuild:
    """A new state on its way to where the one in force is."""

    def __init__(self, log: LogReader, new: Engine, old: Engine, definitions: Watch) -> None:
        self._log = Until(log)
        self._new = new
        self._old = old
        self._worker = Worker(self._log, new, definitions)
        self.position = position_of(new)

    def advance(self, until: int, on_batch: Callable[[int], bool]) -> bool:
        """Apply what the log holds before position `until`, at or below that of the state in force.

        `on_batch` hears the position after each batch and says whether to go on; gives False where it said no. Raises
        RebuildError, LogGone, LogDamaged, OperationalError.
        """
        if self.position >= until:
            return True
        self._log.end = until
        self._worker.earlier = EarlierDecisions(self._old, self._log.slice)
        while self.position < until:
            applied: Applied | None = self._worker.step()
            if applied is None:
                raise RebuildError(f"the log ends at {self._log.durable():,}, and the state is at {until:,}")
            self.position = applied.position
            if not on_batch(self.position):
                return False
        return True

    def settle(self, old: Connection, now: int) -> None:
        """Take over what the log does not tell from the state in force, and let time do what it does up to `now` (ms).

        `old` is a snapshot of it, at the same position.
        """
        self._worker.settle(old, now)

    def close(self) -> None:
        """Let the threads end and close the new state: what stood in its write-ahead log is in the file then."""
        self._worker.close()
        self._new.dispose()


def position_of(state: Engine) -> int:
    """Tell how far a state is."""
    with reading(state) as connection:
        return progress.read(connection).position


class Known(NamedTuple):
    """What a comparison needs beside both states: the account's hash key, its sources, the bodies in the log, and when
    it is, ms UTC.
    """

    secret: bytes
    sources: Mapping[int, SourceRow]
    bodies: Slice
    now: int


def compare_states(old: Connection, new: Connection, known: Known, show: Show) -> list[Tally]:
    """Compare two states that are at the same position, kind by kind."""
    nouns = (Profiles(known.secret), Sessions(known.secret), Links(known.secret), Orders())
    people = [compare(noun, old, new, show) for noun in (*nouns, Memberships(old, new, known.secret, known.now))]
    messages = compare_messages(old, new, known.bodies, show)
    names = {number: source.name for number, source in known.sources.items()}
    return [*people, *messages, compare_counts(old, new, names)]
