"""Rebuilding on a cluster: the state made anew from the bodies in PostgreSQL, while workers go on with the old one.

What the stream brought was decided about, applied, and kept (`store.bodies`); no record of the stream is needed. The
new state takes up all that is applied to the one in force: up to its low-water mark once; above it, where workers
finish records in any order and some are half done, again and again, passing over what it has.
"""

import gc
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final, TypeVar

from sqlalchemy import Connection, Engine

from richpanel.core.record import BodyGone
from richpanel.log.contract import HEADER_SIZE, Entry
from richpanel.process.batch import apply
from richpanel.process.definitions import Definitions, Watch
from richpanel.process.earlier import EarlierDecisions
from richpanel.process.incoming import Opened, open_batch
from richpanel.process.memory import Memory
from richpanel.process.rebuilding import RebuildError, position_of
from richpanel.process.refold import Reader
from richpanel.process.refusing import sift
from richpanel.process.running import Runs
from richpanel.process.settling import take_over_told
from richpanel.process.shared_batch import InHand
from richpanel.process.tending import tend
from richpanel.store import bodies, stored_records
from richpanel.store.bodies import StoredBodies
from richpanel.store.bulk import fetch
from richpanel.store.database import reading
from richpanel.store.stored_records import StoredRecord

_NEAR: Final = 5_000
"""How many messages at the most may be left to take up where workers are made to wait for it."""
_ROUNDS: Final = 20
_COLLECT_EVERY: Final = 256
T = TypeVar("T")
Show = Callable[[int], None]
"""Hears how many items were taken up."""


class Remake:
    """A new state on its way to where the one in force is; both are PostgreSQL's, and only this one writes the new one.

    `changed` is to be asked before a switch: a regulation that came meanwhile was not followed.
    """

    def __init__(self, old: Engine, new: Engine, definitions: Watch) -> None:
        """Begin with an empty state."""
        self._old = old
        self._new = new
        self._definitions = definitions
        self._erased = definitions.look_up(_erased)
        self._memory: Memory | None = None
        self._earlier: EarlierDecisions | None = None
        self._mark = 0
        self._top = 0
        self._batches = 0
        self.items = 0
        """How many were taken up: messages, repeats, discards."""
        self.owed: list[tuple[int, int]] = []
        """Bodies that are of somebody who was erased, and should not have been there."""

    def advance(self, show: Show) -> None:
        """Take up what is below the low-water mark of the state in force, until little is left above it."""
        for _ in range(_ROUNDS):
            mark = position_of(self._old)
            self._earlier = EarlierDecisions(self._old, nowhere)
            items = 0
            while records := self._read(mark):
                items += self._fold(records, show)
                self._mark = records[-1].end
            self._mark = max(self._mark, mark)
            if items < _NEAR:
                return

    def _read(self, until: int) -> list[StoredRecord]:
        with reading(self._old) as connection:
            return stored_records.read(connection, self._mark, until)

    def follow(self, connection: Connection, show: Show) -> None:
        """Take up all that a connection to the state in force sees: one snapshot, or what nobody writes meanwhile."""
        ((mark,),) = fetch(connection, "SELECT coalesce(max(position), 0) FROM progress")
        self._earlier = EarlierDecisions(self._old, nowhere)
        position = self._mark
        while records := stored_records.read(connection, position):
            self._fold(records, show)
            position = records[-1].end
        self._mark = max(self._mark, mark)

    def settle(self, old: Connection, now: int) -> None:
        """Take over what no record tells from the state in force, and let time do what it does up to `now`, ms UTC.

        Both must have taken up the same.
        """
        self._alone(partial(take_over_told, old))
        runs = Runs()
        while self._alone(partial(tend, now=now, unswept=[], runs=runs)).more:
            pass

    def _alone(self, change: Callable[[Reader, Memory, Definitions], T]) -> T:
        definitions = self._definitions.current()
        with self._new.begin() as connection:
            if self._memory is None:
                self._memory = Memory(connection, definitions.account.hash_key, shared=True)
            return change(Reader(connection, definitions, StoredBodies(connection)), self._memory, definitions)

    def is_erasing(self) -> bool:
        """Tell whether somebody was erased since it began: what is taken up is not what it should be then."""
        return self._definitions.look_up(_erased) != self._erased

    def _fold(self, records: Sequence[StoredRecord], show: Show) -> int:
        """Apply records, or of those that may be here already, what is not; tell how many items that was."""
        definitions = self._definitions.current()
        there = {place for each in records for place in each.places}
        entries = [Entry(each.start - HEADER_SIZE, each.end, each.payload) for each in records]
        opened = open_batch(entries, definitions)
        opened = _only(opened, there)  # Of what is not kept there are spaces: neither a message nor a discard.
        opened = sift(opened, definitions, InHand(entries), self._definitions.erased_among)
        gc.disable()  # As `process.worker` does.
        try:
            with self._new.begin() as connection:
                connection.exec_driver_sql("SET LOCAL synchronous_commit = off")  # Before the switch it counts nothing.
                known = [each for each in records if each.start < self._top]
                if known:
                    stored_records.put_heads(connection, known)
                    opened = _only(opened, there - bodies.there(connection, there))
                if self._memory is None:
                    self._memory = Memory(connection, definitions.account.hash_key, shared=True)
                self._memory.earlier = self._earlier
                apply(connection, self._memory, definitions, opened, StoredBodies(connection))
            self._memory.trim()
        finally:
            gc.enable()
        self._top = max(self._top, records[-1].end)
        self._batches += 1
        if self._batches % _COLLECT_EVERY == 0:
            gc.collect(1)
        self.owed += [(each.place, each.size) for each in opened.private]
        taken = len(opened.arrived) + len(opened.refused)
        self.items += taken
        show(taken)
        return taken

    def close(self) -> None:
        """Close the new state."""
        self._new.dispose()


def _only(opened: Opened, places: Iterable[int]) -> Opened:
    wanted = frozenset(places)
    return opened._replace(
        arrived=[each for each in opened.arrived if each.place in wanted],
        refused=[each for each in opened.refused if each.place in wanted],
    )


def nowhere(place: int, _size: int) -> bytes:
    """Stand for the log where bodies are in the state."""
    raise BodyGone(f"what stood at {place} of the log is no longer kept")


def _erased(ledgers: Connection) -> tuple[int, int]:
    """Give what grows whenever somebody is erased."""
    ((stones, messages),) = fetch(
        ledgers, "SELECT (SELECT count(*) FROM tombstones), (SELECT count(*) FROM erased_messages)"
    )
    return stones, messages


def refuse_while_erasing(definitions: Watch) -> None:
    """See to it that nobody is being erased just now. Raises RebuildError."""
    rows = definitions.look_up(
        lambda ledgers: fetch(
            ledgers,
            "SELECT id FROM regulations WHERE status IN ('INITIALIZED', 'RUNNING') AND type LIKE '%DELETE%' LIMIT 1",
        )
    )
    if rows:
        raise RebuildError(f"somebody is being erased (regulation {rows[0][0]}): run it again once that is done")
