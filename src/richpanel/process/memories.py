"""What a worker remembers of some lanes, for as long as nobody else has written there."""

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import Connection

from richpanel.process.definitions import Definitions
from richpanel.process.memory import Memory
from richpanel.store import locks


class _Remembered(NamedTuple):
    """A memory, and how often its lanes had been written when it was made up to date."""

    counts: dict[int, int]
    memory: Memory


class Memories:
    """A memory for each group of neighbouring lanes. Of what concerns others together nothing is remembered."""

    def __init__(self) -> None:
        self._definitions = 0
        self._known: dict[frozenset[int], _Remembered] = {}

    def of(self, connection: Connection, definitions: Definitions, lanes: Collection[int] | None) -> Memory:
        """Give what is known of lanes that this transaction holds; None means that it is alone.

        What others wrote is forgotten first, and so is everything where the definitions are others: ids of somebody who
        was erased are numbered anew.
        """
        if definitions.version != self._definitions:
            self._definitions = definitions.version
            self.forget()
        counts = locks.count_up(connection, lanes)
        secret = definitions.account.hash_key
        if lanes is None or not _are_neighbours(lanes):
            return Memory(connection, secret, shared=True)
        group = frozenset(lanes)
        known = self._known.get(group)
        if known is None:
            memory = Memory(connection, secret, shares=locks.LANES // len(group), shared=True)
        elif {lane: count + 1 for lane, count in known.counts.items()} != counts:
            memory = known.memory.renewed(connection)
        else:
            memory = known.memory
            memory.look_up(connection)
        self._known[group] = _Remembered(counts, memory)
        return memory

    def forget(self, lanes: Collection[int] | None = None) -> None:
        """Forget what is remembered of these lanes, or all: their transaction has failed."""
        if lanes is None:
            self._known.clear()
        else:
            self._known.pop(frozenset(lanes), None)


def _are_neighbours(lanes: Collection[int]) -> bool:
    """Tell whether these are a group as a batch is cut into: there are few of those, and they come again."""
    width = len(lanes)
    return width > 0 and locks.LANES % width == 0 and min(lanes) % width == 0 and max(lanes) - min(lanes) == width - 1
