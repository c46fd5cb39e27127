"""A batch of a shared worker: records are opened and taken in beside the others, and folded in turn.

It is one transaction. Nothing is acknowledged before it is committed, and whoever is handed a record again finds by the
places of its items that they are applied.
"""

import gc
from bisect import bisect_right
from collections.abc import Sequence
from functools import partial
from typing import Final

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError

from richpanel.core.channel import CHANNEL_TYPE
from richpanel.log.contract import HEADER_SIZE, Entry
from richpanel.log.stream import following
from richpanel.process import tending
from richpanel.process.batch import Applied, apply, fold
from richpanel.process.checking import Checks
from richpanel.process.definitions import Definitions, Watch
from richpanel.process.incoming import Opened, open_batch
from richpanel.process.intake import Taken, introduce, still_holds, take_in, write_rows
from richpanel.process.memory import Memory
from richpanel.process.refold import Reader
from richpanel.process.refusing import by_source_and_hour, sift
from richpanel.process.regulating import regulate
from richpanel.process.remembered import Remembered
from richpanel.process.removal import nothing_removed
from richpanel.process.repeats import settle
from richpanel.process.replaying import replay
from richpanel.process.running import Runs
from richpanel.store import applied as ranges
from richpanel.store import bodies, suppressed, turns
from richpanel.store.bodies import Place, StoredBodies
from richpanel.store.ledger import count_refusals

_AHEAD: Final = 3
_TRIES: Final = 6
"""How often a batch is taken in ahead, and tried in all, where others come first, before it is applied alone."""
_WAITED: Final = frozenset({"40P01", "55P03"})
"""PostgreSQL's names of two that wait for each other, and of who has waited for too long (`turns.be_quick`)."""


class OvertakenError(Exception):
    """What the records were opened with is another now: somebody was erased meanwhile, for one."""


class _NotAheadError(Exception):
    """What a batch is can only be told in turn: of two messages with one id the stored one does not count any more."""


class SharedBatches:
    """Applies batches of records to a state that others write, too."""

    def __init__(self, state: Engine, definitions: Watch, check_at: int | None = None) -> None:
        self._state = state
        self._definitions = definitions
        self._remembered = Remembered()
        self._runs = Runs(shared=True)
        self._checks = Checks(check_at, shared=True)

    def forget(self) -> None:
        """Remember nothing of the state."""
        self._remembered.forget()

    def apply(self, entries: Sequence[Entry], *, orderly: bool, seen: bool) -> tuple[int, Applied | None]:
        """Apply the first of these records; tell how many: all, or those up to a regulation, or 0: others come first.

        `orderly` records go alone. `seen`: some of what they hold may be applied already. Raises OvertakenError: then
        nothing of it is.
        """
        definitions = self._definitions.current()
        opened = sift(open_batch(entries, definitions), definitions, InHand(entries), self._definitions.erased_among)
        records = [(entry.start, entry.end) for entry in entries if entry.end <= opened.end]
        if opened.regulation is not None:
            with self._state.connect() as connection:
                if len(ranges.in_turn(connection, records, following)) < len(records):
                    return 0, None
        batch = _Batch(opened, definitions, records, alone=orderly or opened.regulation is not None, seen=seen)
        while True:
            try:
                return len(records), self._try(batch)
            except _NotAheadError:
                batch.ahead = False
            except DBAPIError as error:  # Somebody else was given the same record, or made the same thing, meanwhile.
                if batch.alone or not _met_others(error):
                    raise
                batch.step_back()

    def tend(self, now: int, until: int | None, unswept: list[int]) -> bool:
        """Tend memberships in turn (`process.tending`); tell whether there may be more to do at once.

        Where a batch and its neighbour wait for each other, PostgreSQL may send away whoever waits between them for a
        turn: nothing is done then, and it is tried again.
        """
        definitions = self._definitions.current()
        with self._state.connect() as connection:
            if not tending.is_wanted(connection, definitions, until, unswept, self._checks):
                return False
            tending.begin(self._definitions, connection, definitions)
            alone = tending.begins_run(connection, definitions, self._runs) or self._checks.begins(definitions)
        gc.disable()  # As for a batch.
        try:
            with self._state.begin() as connection:
                turn = turns.alone(connection) if alone else turns.begin_and_take(connection)
                if self._definitions.current().version != definitions.version:
                    return True  # With what is defined now.
                memory = self._remembered.of_aliases(connection, definitions, turn, set())
                reader = Reader(connection, definitions, StoredBodies(connection))
                going = partial(tending.tend, runs=self._runs, check=self._checks, alone=alone)
                tended = going(reader, memory, definitions, until, unswept)
        except BaseException as error:
            self.forget()
            self._runs.forget()
            self._checks.forget()
            if isinstance(error, DBAPIError) and _met_others(error):
                return True
            raise
        finally:
            gc.enable()
        memory.trim()
        tending.report(self._definitions, definitions, tended, now)
        return tended.more

    def _try(self, batch: "_Batch") -> Applied:
        gc.disable()  # A batch makes a million objects and no cycles worth looking for meanwhile.
        try:
            with self._state.begin() as connection:
                memory, applied = self._in_turn(connection, batch)
        except BaseException:
            self.forget()
            raise
        finally:
            gc.enable()
        memory.trim()
        if batch.opened.regulation is not None:
            self.forget()
        if applied.private:
            self._definitions.write(lambda ledgers: count_refusals(ledgers, by_source_and_hour(applied.private)))
        return applied

    def _in_turn(self, connection: Connection, batch: "_Batch") -> tuple[Memory, Applied]:
        """Write what is nobody's yet, take one's turn, and fold."""
        taken = None
        if batch.alone:
            turn = turns.alone(connection)
        else:
            turns.begin(connection)
            taken = self._take_in(connection, batch) if batch.ahead else None
            turn = turns.take(connection)
        self._make_sure(batch)
        stored = StoredBodies(connection)
        if taken is None:
            memory = self._remembered.everything(connection, batch.definitions, turn)
            applied = self._apply(connection, memory, batch, stored)
        else:
            if self._remembered.missed(turn) and not still_holds(connection, taken):
                raise _NotAheadError
            aliases = {each.anonymous for each in taken.settled.messages if each.anonymous is not None}
            memory = self._remembered.of_aliases(connection, batch.definitions, turn, aliases)
            reader = Reader(connection, batch.definitions, stored)
            applied = fold(reader, memory, batch.definitions, taken, nothing_removed())
        applied.position = _note(connection, batch.records, applied)
        return memory, applied

    def _apply(self, connection: Connection, memory: Memory, batch: "_Batch", stored: StoredBodies) -> Applied:
        opened, definitions = batch.left(connection), batch.definitions
        if opened.again is not None:
            return replay(connection, memory, definitions, opened, stored, named=opened.again)
        if opened.regulation is None:
            return apply(connection, memory, definitions, opened, stored)
        watch = self._definitions
        return regulate(connection, memory, definitions, opened, stored, regulation=opened.regulation, watch=watch)

    def _make_sure(self, batch: "_Batch") -> None:
        if self._definitions.current().version != batch.opened.version:
            raise OvertakenError

    def _take_in(self, connection: Connection, batch: "_Batch") -> Taken | None:
        """Take in what a batch holds while others have their turn; None where what it is can only be told in turn.

        New ids are introduced by a transaction of their own, so that nobody who brings the same ones waits for this.
        """
        opened, definitions = batch.left(connection), batch.definitions
        in_turn = opened.again is not None or any(message.kind >= CHANNEL_TYPE for message in opened.arrived)
        if in_turn or suppressed.load(connection):
            return None
        self._make_sure(batch)
        memory = self._remembered.numbers(connection, definitions)
        memory.identities.tombstones = definitions.tombstones
        settled = settle(connection, memory, opened.arrived, StoredBodies(connection))
        if settled.replaced:
            raise _NotAheadError
        with self._state.begin() as introducing:
            turns.be_quick(introducing)
            introduce(introducing, memory, settled)
        taken = take_in(connection, memory, definitions, opened, settled)
        write_rows(connection, memory, taken)
        return taken._replace(is_written=True)


class _Batch:
    """Records that were opened, and how they are tried: taken in ahead at first, alone in the end."""

    def __init__(
        self,
        opened: Opened,
        definitions: Definitions,
        records: Sequence[tuple[int, int]],
        *,
        alone: bool,
        seen: bool,
    ) -> None:
        self.opened = opened
        self.definitions = definitions
        self.records = records
        self.alone = alone
        self.ahead = True
        self._seen = seen
        self._tries = 0

    def step_back(self) -> None:
        """Make way for others who came first."""
        self._seen = True
        self._tries += 1
        self.ahead = self.ahead and self._tries < _AHEAD
        self.alone = self._tries >= _TRIES

    def left(self, connection: Connection) -> Opened:
        """Leave out what is applied already: its bodies are kept."""
        if not self._seen:
            return self.opened
        opened = self.opened
        places = [message.place for message in opened.arrived] + [discard.place for discard in opened.refused]
        there = bodies.there(connection, places)
        return opened._replace(
            arrived=[each for each in opened.arrived if each.place not in there],
            refused=[each for each in opened.refused if each.place not in there],
        )


def _note(connection: Connection, records: Sequence[tuple[int, int]], applied: Applied) -> int:
    """Note that records are applied; give the low-water mark.

    What was refused for privacy is not kept, nor what its record's head says of it.
    """
    private = {each.place for each in applied.private}
    if private:
        begun = [start + HEADER_SIZE for start, _ in records]
        bodies.remove(connection, [Place(each, each - begun[bisect_right(begun, each) - 1]) for each in private])
    return ranges.note(connection, records, following, (applied.messages, applied.received_at))


def _met_others(error: DBAPIError) -> bool:
    """Tell whether two came to make the same thing: the second one was told, or both waited and one was sent away."""
    return isinstance(error, IntegrityError) or getattr(error.orig, "sqlstate", None) in _WAITED


class InHand:
    """The bytes of records that are at hand, by their places in the log."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries

    def __call__(self, place: int, size: int) -> bytes:
        """Give the bytes at a place."""
        entry = next(each for each in self._entries if each.start <= place < each.end)
        offset = place - entry.start - HEADER_SIZE
        return entry.payload[offset : offset + size]
