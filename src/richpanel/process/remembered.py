"""What a shared worker remembers of the state from turn to turn: what others may have changed meanwhile is let go."""

from sqlalchemy import Connection

from richpanel.process.definitions import Definitions
from richpanel.process.memory import Memory


class Remembered:
    """A memory, as of a turn (`store.turns`)."""

    def __init__(self) -> None:
        self._memory: Memory | None = None
        self._version = 0
        self._turn = 0

    def forget(self) -> None:
        """Remember nothing."""
        self._memory = None

    def numbers(self, connection: Connection, definitions: Definitions) -> Memory:
        """Give what is remembered before it is one's turn: numbers hold, all else may be another already.

        Nothing is where the definitions are others: ids of somebody who was erased are numbered anew.
        """
        if self._memory is None or definitions.version != self._version:
            self._memory = Memory(connection, definitions.account.hash_key, shared=True)
            self._version, self._turn = definitions.version, -1
        return self._memory

    def missed(self, turn: int) -> bool:
        """Tell whether somebody else may have had a turn since the last one."""
        return turn != self._turn + 1

    def everything(self, connection: Connection, definitions: Definitions, turn: int) -> Memory:
        """Give what is remembered, as of this turn."""
        memory = self.numbers(connection, definitions)
        if self.missed(turn) or memory.identities.age:
            memory = self._memory = memory.renewed(connection)
        else:
            memory.look_up(connection)
        self._turn = turn
        return memory

    def of_aliases(self, connection: Connection, definitions: Definitions, turn: int, aliases: set[str]) -> Memory:
        """Give what is remembered, as of this turn, where of aliases only these matter, which are known."""
        memory = self.numbers(connection, definitions)
        if self.missed(turn):
            memory.outdate()
        memory.look_up(connection)
        memory.identities.refresh(connection, aliases)
        self._turn = turn
        return memory
