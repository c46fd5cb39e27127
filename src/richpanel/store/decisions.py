"""Decisions as stored, as far as reading a message again needs them: what filters took from it at the account."""

from collections.abc import Iterable

import msgspec
from sqlalchemy import Connection

from richpanel.core.cut import Cut
from richpanel.store import names
from richpanel.store.message_rows import StoredMessage


class _Kept(msgspec.Struct):
    """A decision: where the account keeps the message, the connector tells."""

    connector: int | None = None
    cut: Cut | None = None


_decode = msgspec.json.Decoder(list[_Kept]).decode


def cut_at_account(decisions: str) -> Cut | None:
    """Give what is taken from a message at the account, by its decisions: the first destination that keeps it tells."""
    if '"cut"' not in decisions:
        return None
    return next((made.cut for made in _decode(decisions) if made.connector is not None), None)


class Cuts:
    """What was taken from stored messages when they were decided about; each set of decisions is read once."""

    def __init__(self, connection: Connection) -> None:
        """Know nothing yet."""
        self.connection = connection
        self._known: dict[int, Cut | None] = {}

    def ahead(self, rows: Iterable[StoredMessage]) -> None:
        """Read what these messages need, at once."""
        missing = {row.decisions for row in rows if row.decisions is not None} - self._known.keys()
        if missing:
            texts = names.by_number(self.connection, missing)
            self._known.update((number, cut_at_account(texts[number])) for number in missing)

    def of(self, row: StoredMessage) -> Cut | None:
        """Give what was taken from a message."""
        if row.decisions is None:
            return None
        if row.decisions not in self._known:
            self.ahead([row])
        return self._known[row.decisions]
