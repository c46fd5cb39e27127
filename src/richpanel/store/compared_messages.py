"""Messages and histories of two states, side by side in the order of the log (`store.comparison`).

A message is known by its place in the log, which both states point at. Both number messages in log order, so two
streams are enough: what waits for its counterpart is what differs, and what a batch had in another order. Where several
write a state, on PostgreSQL, both are read in the order of places instead.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import Connection, CursorResult

from richpanel.store import message_rows
from richpanel.store.bodies import Slice, bodies_of
from richpanel.store.bulk import fetch, on_postgres
from richpanel.store.comparison import CHUNK, NOBODY, Show, Tally, counted, keys_of, person
from richpanel.store.identities import Key
from richpanel.store.schema import part_size

WINDOW_BYTES: Final = 64 << 20
"""How far apart in the log counterparts may come: more than a batch spans."""
_EVERYTHING: Final = 1 << 62
_STREAMED: Final = {"stream_results": True, "max_row_buffer": CHUNK}
_FIELDS: Final = (
    *("source", "type", "t", "receivedAt", "size", "lead", "item", "outcome"),
    *("event", "decisions", "identity", "anonymousId"),
)
_MESSAGES: Final = (
    "SELECT m.n, m.place, h.type, m.source, m.type, m.t, m.received, m.size, m.lead, m.item, m.outcome, "
    "e.value, d.value, i.kind, i.value, a.value FROM messages m LEFT JOIN names e ON e.id = m.event "
    "LEFT JOIN names d ON d.id = m.decisions LEFT JOIN identities i ON i.id = m.identity "
    "LEFT JOIN identities a ON a.id = m.alias LEFT JOIN history h "
    "ON h.part = m.n / ? AND h.identity = m.identity AND h.t = m.t AND h.n = m.n "
)
_BY_NUMBER: Final = f"{_MESSAGES} WHERE m.n > ? ORDER BY m.n LIMIT ?"
_BY_PLACE: Final = f"{_MESSAGES} ORDER BY m.place".replace("h.part = m.n / ?", "h.part = 0")


class Row:
    """A message of one side: `listed` is the type under which its history has it, None where that has it not."""

    __slots__ = ("listed", "n", "place", "value", "who")

    def __init__(self, row: Sequence[Any]) -> None:
        self.n, self.place, self.listed, *value, kind, identity, alias = row
        self.who: Key = NOBODY if kind is None else (kind, identity)
        self.value = (*value, self.who, alias)


class _Side:
    """One state's messages, read piece by piece; `left` are those whose counterpart has not come yet, by place."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.left: dict[int, Row] = {}
        self.reached = 0
        self.histories = 0
        self._after = 0
        self._rows: CursorResult[Any] | None = None
        if on_postgres(connection):
            self._rows = connection.exec_driver_sql(_BY_PLACE, execution_options=_STREAMED)

    def read(self) -> list[Row]:
        rows = [Row(row) for row in self._next()]
        if rows:
            self._after = rows[-1].n
            self.reached = max(self.reached, rows[-1].place)
        else:
            self.reached = _EVERYTHING
        self.histories += sum(row.listed is not None for row in rows)
        return rows

    def _next(self) -> Sequence[Any]:
        if self._rows is not None:
            return self._rows.fetchmany(CHUNK)
        return fetch(self.connection, _BY_NUMBER, part_size(self.connection), self._after, CHUNK)


class _Comparison:
    def __init__(self, old: Connection, new: Connection, log: Slice) -> None:
        self.messages = Tally("messages")
        self.history = Tally("history")
        self.old, self.new = _Side(old), _Side(new)
        self._log = log

    def run(self, show: Show) -> None:
        total = counted(self.old.connection, "messages")
        while min(self.old.reached, self.new.reached) < _EVERYTHING:
            behind, ahead = (self.old, self.new) if self.old.reached <= self.new.reached else (self.new, self.old)
            for row in behind.read():
                counterpart = ahead.left.pop(row.place, None)
                if counterpart is None:
                    behind.left[row.place] = row
                elif behind is self.old:
                    self._compare(row, counterpart)
                else:
                    self._compare(counterpart, row)
            self._let_go(min(self.old.reached, self.new.reached) - WINDOW_BYTES)
            show("messages", self.messages.equal + self.messages.different, total)
        self._let_go(_EVERYTHING)
        self._unlisted(self.old, "onlyOld")
        self._unlisted(self.new, "onlyNew")

    def _compare(self, old: Row, new: Row) -> None:
        if old.value == new.value:
            self.messages.equal += 1
        else:
            fields = [name for name, was, now in zip(_FIELDS, old.value, new.value, strict=True) if was != now]
            self.messages.note("different", self._name(self.old, old), ", ".join(fields))
        self._compare_histories(old, new)

    def _compare_histories(self, old: Row, new: Row) -> None:
        """Where both are in a history it is that of their identity, at their time."""
        was, now = (old.listed, *old.value[2:3], old.who), (new.listed, *new.value[2:3], new.who)
        if old.listed is None and new.listed is None:
            return
        if was == now:
            self.history.equal += 1
        elif new.listed is None:
            self.history.note("onlyOld", self._name(self.old, old))
        elif old.listed is None:
            self.history.note("onlyNew", self._name(self.new, new))
        else:
            self.history.note("different", self._name(self.old, old), f"in that of {person(new.who)}")

    def _let_go(self, before: int) -> None:
        """Give up on counterparts that should have come long ago."""
        for side, difference in ((self.old, "onlyOld"), (self.new, "onlyNew")):
            if len(side.left) <= CHUNK and before < _EVERYTHING:
                continue
            for place in [place for place in side.left if place < before]:
                row = side.left.pop(place)
                self.messages.note(difference, self._name(side, row))  # type: ignore[arg-type]  # of the two above
                if row.listed is not None:
                    self.history.note(difference, self._name(side, row))  # type: ignore[arg-type]

    def _unlisted(self, side: _Side, difference: Any) -> None:
        """Find entries of histories that are at no message of theirs."""
        if counted(side.connection, "history") == side.histories:
            return
        rows = fetch(
            side.connection,
            "SELECT h.identity, h.t, h.n FROM history h LEFT JOIN messages m "
            "ON m.n = h.n AND m.identity = h.identity AND m.t = h.t AND h.part = h.n / ? WHERE m.n IS NULL LIMIT ?",
            part_size(side.connection),
            CHUNK,
        )
        who = keys_of(side.connection, [row[0] for row in rows])
        for identity, t, n in rows:
            self.history.note(difference, f"{person(who.get(identity, NOBODY))}: message number {n}", f"at {t}")

    def _name(self, side: _Side, row: Row) -> str:
        """Say which message it is; its id stands in the log, unless it was erased."""
        if len(self.messages.examples) + len(self.history.examples) >= 40:
            return ""
        stored = message_rows.load(side.connection, [row.n])[row.n]
        bodies = bodies_of(side.connection, self._log)
        return f"{person(row.who)}: {message_rows.known_id(bodies, stored) or f'message number {row.n}'}"


def compare_messages(
    old: Connection, new: Connection, log: Slice, show: Callable[[str, int, int], None]
) -> tuple[Tally, Tally]:
    """Compare the messages, and the histories that they are in."""
    comparison = _Comparison(old, new, log)
    comparison.run(show)
    return comparison.messages, comparison.history
