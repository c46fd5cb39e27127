"""Earlier decisions: what the state in force says of messages, for a state that is made anew (`semantics.md` 7)."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Engine

from richpanel.process.incoming import Incoming
from richpanel.store import message_rows as stored
from richpanel.store import names
from richpanel.store.bodies import Bodies, Slice, bodies_of
from richpanel.store.database import reading
from richpanel.store.message_rows import StoredMessage
from richpanel.store.parts import open_ids


class Earlier(NamedTuple):
    """A stored decision: as JSON, one entry per destination, and the outcome at the account."""

    text: str
    outcome: int


class EarlierDecisions:
    """Looks the decisions of a batch up. It knows the messages that the state holds when this is made."""

    def __init__(self, state: Engine, log: Slice) -> None:
        self._state = state
        self._log = log
        with reading(state) as connection:
            self._ids = open_ids(connection)

    def of(self, messages: Sequence[Incoming]) -> dict[int, Earlier]:
        """Give the decisions about those of these messages that have one, by the number that they have now."""
        with reading(self._state) as connection:
            found = self._ids.find(connection, [message.hash for message in messages])
            rows = stored.load(connection, [number for numbers in found.values() for number in numbers])
            texts = names.by_number(connection, {row.decisions for row in rows.values() if row.decisions is not None})
            decided: dict[int, Earlier] = {}
            bodies = bodies_of(connection, self._log)
            for message in messages:
                for number in found.get(message.hash, ()):
                    row = rows.get(number)
                    if row is not None and row.decisions is not None and _is_of(bodies, row, message):
                        decided[message.n] = Earlier(texts[row.decisions], row.outcome)
        return decided


def _is_of(bodies: Bodies, row: StoredMessage, message: Incoming) -> bool:
    """Tell whether a row is of this message: the same bytes, or another arrival of the same id."""
    if row.place == message.place:
        return True
    return row.source == message.source.number and stored.message_id(bodies, row) == message.message_id
