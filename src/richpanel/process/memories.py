"""What a worker remembers of each lane, for as long as nobody else has written there."""

from typing import Final

from sqlalchemy import Connection

from richpanel.process.definitions import Definitions
from richpanel.process.memory import Memory
from richpanel.store import locks

_SHARES: Final = locks.LANES


class Memories:
    """A memory for each lane. Of what concerns several lanes nothing is remembered."""

    def __init__(self) -> None:
        self._definitions = 0
        self._known: dict[int, tuple[int, Memory]] = {}

    def of(self, connection: Connection, definitions: Definitions, lanes: set[int] | None) -> Memory:
        """Give what is known of lanes that this transaction holds; None means that it is alone.

        What others wrote is forgotten first, and so is everything where the definitions are others: ids of somebody who
        was erased are numbered anew.
        """
        if definitions.version != self._definitions:
            self._definitions = definitions.version
            self.forget()
        versions = locks.count_up(connection, lanes)
        secret = definitions.account.hash_key
        if lanes is None or len(lanes) != 1:
            return Memory(connection, secret, shared=True)
        (lane,) = lanes
        version, memory = self._known.get(lane, (0, None))
        if memory is None:
            memory = Memory(connection, secret, shares=_SHARES, shared=True)
        elif version + 1 != versions[lane]:
            memory = memory.renewed(connection)
        else:
            memory.look_up(connection)
        self._known[lane] = (versions[lane], memory)
        return memory

    def forget(self, lanes: set[int] | None = None) -> None:
        """Forget these lanes, or all: their transaction has failed."""
        if lanes is None:
            self._known.clear()
        else:
            for lane in lanes:
                self._known.pop(lane, None)
