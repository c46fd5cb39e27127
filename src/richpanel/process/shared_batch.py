"""A batch of a shared worker: records are opened, cut into parts by lanes, and each part is applied by itself.

A part is a transaction that holds its lanes. The records are done with when the last part is: until then nothing is
acknowledged, and whoever is handed them again finds by the places of the items which of them are applied.
"""

import gc
import random
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError

from richpanel.log.contract import HEADER_SIZE, Entry
from richpanel.log.stream import following
from richpanel.process.batch import Applied, apply
from richpanel.process.definitions import Definitions, Watch
from richpanel.process.incoming import Incoming, Opened, open_batch
from richpanel.process.lanes import EVERYBODY, Lanes, Part, TooNarrowError, cut, set_aside
from richpanel.process.memories import Memories
from richpanel.process.memory import Memory
from richpanel.process.refusing import by_source_and_hour, sift
from richpanel.process.regulating import regulate
from richpanel.store import applied as ranges
from richpanel.store import bodies, locks
from richpanel.store.bodies import Place, StoredBodies
from richpanel.store.ledger import count_refusals

_TRIES: Final = 6
"""How often a part is applied again for others who came first; half as often with more lanes, then alone."""
_ROUNDS: Final = 8
"""How often what is set aside is cut again."""
_DEADLOCK: Final = "40P01"
"""PostgreSQL's name of it."""
_Outcome = tuple[Applied, list[Incoming]]
"""What a part was, and its messages that are set aside for others' sake (`lanes.set_aside`)."""


class OvertakenError(Exception):
    """What the records were opened with is another now: somebody was erased meanwhile, for one."""


class SharedBatches:
    """Applies batches of records to a state that others write, too."""

    def __init__(self, state: Engine, definitions: Watch) -> None:
        self._state = state
        self._definitions = definitions
        self._memories = Memories()
        self._writes = 0
        """How often lanes have been written, as far as this one knows."""

    def forget(self) -> None:
        """Remember nothing of the state."""
        self._memories.forget()

    def apply(self, entries: Sequence[Entry], *, orderly: bool, seen: bool) -> tuple[int, Applied | None]:
        """Apply the first of these records; tell how many: all, or those up to a regulation, or 0: others come first.

        `orderly` records go alone. `seen`: some of what they hold may be applied already. Raises OvertakenError: now
        some of it is.
        """
        definitions = self._definitions.current()
        opened = sift(open_batch(entries, definitions), definitions, InHand(entries), self._definitions.erased_among)
        records = [(entry.start, entry.end) for entry in entries if entry.end <= opened.end]
        with self._state.connect() as connection:
            if opened.regulation is not None and len(ranges.in_turn(connection, records, following)) < len(records):
                return 0, None
            if seen:
                opened = _without_applied(connection, opened)
            self._writes = locks.writes(connection)
            parts = [Part(opened, EVERYBODY)] if orderly else cut(connection, definitions, opened)
        start = random.randrange(len(parts))  # noqa: S311  # Others begin elsewhere: no secret.
        left, rounds = deque(parts[start:] + parts[:start]), 0
        done: list[Applied] = []
        while left:
            part = left.popleft()
            applied, aside = self._apply(definitions, part, None if left else _Last(records, done))
            done.append(applied)
            if aside:
                rounds += 1
                left.extend(
                    self._cut_again(definitions, opened._replace(arrived=aside, refused=[], private=[]), rounds)
                )
        return len(records), _told(done)

    def _cut_again(self, definitions: Definitions, aside: Opened, rounds: int) -> list[Part]:
        """Cut what was set aside, by what is known now; what has been so again and again goes alone."""
        if rounds > _ROUNDS:
            return [Part(aside, EVERYBODY)]
        with self._state.connect() as connection:
            return cut(connection, definitions, aside)

    def _apply(self, definitions: Definitions, part: Part, last: "_Last | None" = None) -> _Outcome:
        """Apply a part, and again for as long as others come first."""
        for left in reversed(range(_TRIES)):
            try:
                return self._try(definitions, part, last)
            except TooNarrowError as error:
                part.lanes = error.lanes if left >= _TRIES // 2 else EVERYBODY
            except DBAPIError as error:  # Somebody else was given the same record, or made the same thing, meanwhile.
                if not left or not _met_others(error):
                    raise
                with self._state.connect() as connection:
                    part.opened = _without_applied(connection, part.opened)
        return self._try(definitions, part, last)

    def _try(self, definitions: Definitions, part: Part, last: "_Last | None") -> _Outcome:
        aside: list[Incoming] = []
        gc.disable()  # A batch makes a million objects and no cycles worth looking for meanwhile.
        try:
            with self._state.begin() as connection:
                if part.is_alone:
                    locks.alone(connection)
                else:
                    locks.hold(connection, part.lanes or ())
                if self._definitions.current().version != part.opened.version:
                    raise OvertakenError
                others = locks.writes(connection) != self._writes
                memory = self._memories.of(connection, definitions, part.lanes)
                opened = part.opened
                if others and not part.is_alone:
                    opened, aside = set_aside(connection, definitions, part, memory)
                applied = self._fold(
                    connection, memory, definitions, opened, EVERYBODY if part.is_alone else part.lanes
                )
                if last is not None and not aside:
                    applied.position = last.note(connection, applied)
        except BaseException:
            self._memories.forget(part.lanes)
            raise
        finally:
            gc.enable()
        if part.opened.regulation is not None:
            self._memories.forget()
        memory.trim()
        self._writes += locks.LANES if part.lanes is EVERYBODY else len(part.lanes)
        if applied.private:
            self._definitions.write(lambda ledgers: count_refusals(ledgers, by_source_and_hour(applied.private)))
        return applied, aside

    def _fold(
        self, connection: Connection, memory: Memory, definitions: Definitions, opened: Opened, held: set[int] | None
    ) -> Applied:
        stored = StoredBodies(connection)
        if opened.regulation is not None:
            watch = self._definitions
            return regulate(connection, memory, definitions, opened, stored, regulation=opened.regulation, watch=watch)
        lanes = None if held is EVERYBODY else Lanes(memory.secret, held)
        return apply(connection, memory, definitions, opened, stored, lanes=lanes)


class _Last(NamedTuple):
    """What the last part of a batch does beside: note that the records are applied, and what all parts brought."""

    records: Sequence[tuple[int, int]]
    done: Sequence[Applied]

    def note(self, connection: Connection, applied: Applied) -> int:
        """Note it; give the low-water mark.

        What was refused for privacy is not kept, nor what its record's head, which another part wrote, says of it.
        """
        private = {each.place for part in (*self.done, applied) for each in part.private}
        if private:
            begun = [start + HEADER_SIZE for start, _ in self.records]
            bodies.remove(connection, [Place(each, each - begun[bisect_right(begun, each) - 1]) for each in private])
        messages = sum(each.messages for each in self.done) + applied.messages
        received_at = max(each.received_at for each in (*self.done, applied))
        return ranges.note(connection, self.records, following, (messages, received_at))


def _met_others(error: DBAPIError) -> bool:
    """Tell whether two came to make the same thing: the second one was told, or both waited and one was sent away."""
    return isinstance(error, IntegrityError) or getattr(error.orig, "sqlstate", None) == _DEADLOCK


def _told(done: Sequence[Applied]) -> Applied:
    """Sum up what the parts were; the position is the last one's."""
    return Applied(
        done[-1].position,
        sum(each.messages for each in done),
        sum(each.repeats for each in done),
        sum(each.discards for each in done),
        max(each.received_at for each in done),
        [private for each in done for private in each.private],
        owes=any(each.owes for each in done),
    )


def _without_applied(connection: Connection, opened: Opened) -> Opened:
    """Leave out what is applied already: its bodies are kept."""
    places = [message.place for message in opened.arrived] + [discard.place for discard in opened.refused]
    there = bodies.there(connection, places)
    return opened._replace(
        arrived=[each for each in opened.arrived if each.place not in there],
        refused=[each for each in opened.refused if each.place not in there],
    )


class InHand:
    """The bytes of records that are at hand, by their places in the log."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries

    def __call__(self, place: int, size: int) -> bytes:
        """Give the bytes at a place."""
        entry = next(each for each in self._entries if each.start <= place < each.end)
        offset = place - entry.start - HEADER_SIZE
        return entry.payload[offset : offset + size]
