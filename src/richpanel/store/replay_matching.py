"""Which messages a replay is for: counted before it begins, and walked in log order while it goes.

What the account, or a filter, did not keep is told by the messages' decisions; what a destination outside refused, or
was not reached with, by its deliveries. Nobody who is kept out is among them: an erased one's messages are gone anyhow.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Connection, Engine

from richpanel.core.identity import UID
from richpanel.core.message import DELIVERED_TYPES, TYPES
from richpanel.core.regulation import index_of
from richpanel.core.routing import Decision
from richpanel.store import history, names, suppressed
from richpanel.store.bulk import LISTED, fetch, listed
from richpanel.store.database import reading
from richpanel.store.deliveries import DEAD, FAILED
from richpanel.store.destinations import ACCOUNT, DestinationRow
from richpanel.store.history import FOREVER
from richpanel.store.message_rows import COLUMNS, StoredMessage
from richpanel.store.replays import Place, Scope

MAX_UIDS: Final = 20
_WIDTH: Final = 20_000
"""How many messages are looked at in one go."""
_AT_ONCE: Final = 2_000
_DELIVERED: Final = tuple(TYPES.index(name) for name in TYPES if name in DELIVERED_TYPES)
_FAILED: Final = (
    "SELECT d.place, d.status, d.code FROM deliveries d WHERE d.destination = ? AND d.place > ? AND d.place < ? "
    f"AND d.status IN ({FAILED}, {DEAD}) AND coalesce(d.code, '') <> 'dropped' AND NOT EXISTS (SELECT 1 FROM "
    "deliveries l WHERE l.place = d.place AND l.destination = d.destination AND l.id > d.id) ORDER BY d.place LIMIT ?"
)
_decode = msgspec.json.Decoder(list[Decision]).decode


class Target(NamedTuple):
    """The destination: its number and id, whether it is outside, and the numbers of its sources."""

    number: int
    id: str
    is_outside: bool
    sources: Sequence[int]


class Match(msgspec.Struct, frozen=True, rename="camel"):
    """How many messages of a type match, of which the destination has made the same: its outcome, and the code.

    The outcome is `undecided` where it has not been asked, since it was not there yet or was off.
    """

    type: str
    outcome: str
    code: str | None
    count: int


def target_of(row: DestinationRow) -> Target:
    """Tell what a replay needs to know of a destination."""
    return Target(row.number, row.id, row.endpoint != ACCOUNT, row.source_numbers)


def preview(state: Connection, delivery: Engine, target: Target, scope: Scope) -> list[Match]:
    """Count the messages that a replay is for, the most frequent first."""
    counts: dict[tuple[int, str, str | None], int] = {}
    if _by_delivery(target, scope):
        for _, type_, status, code in _refused(state, delivery, target, scope, 0):
            key = (type_, "dead" if status == DEAD else "failed", code)
            counts[key] = counts.get(key, 0) + 1
    else:
        where, parameters = _where(state, target, scope)
        rows = fetch(
            state,
            f"SELECT m.type, m.decisions, count(*) FROM messages m WHERE {where} GROUP BY m.type, m.decisions",
            *parameters,
        )
        told = _Told(state, target, scope)
        told.ahead([row[1] for row in rows])
        for type_, decisions, count in rows:
            made = told.made(decisions)
            if told.matches(decisions):
                code = None if made is None or made.code is None else made.code.value
                key = (type_, "undecided" if made is None else made.outcome, code)
                counts[key] = counts.get(key, 0) + count
    found = [Match(TYPES[type_], outcome, code, count) for (type_, outcome, code), count in counts.items()]
    return sorted(found, key=lambda each: (-each.count, each.type, each.outcome, each.code or ""))


START: Final = Place()


class Found(NamedTuple):
    """Messages that match, some of them, in log order; and where to go on, None where nothing follows."""

    messages: list[StoredMessage]
    low: int
    next: Place | None


def walk(state: Connection, delivery: Engine, target: Target, scope: Scope, at: Place) -> Found:
    """Give the next messages that a replay is for.

    They are looked through by their numbers, which is log order, but for what one of several workers took up late.
    """
    if _by_delivery(target, scope):
        return _walk_deliveries(state, delivery, target, scope, at)
    if at.number and not has_number(state, at.number, at.cursor):
        at = START  # What it has done it does not do twice.
    high = at.low + _WIDTH
    where, parameters = _where(state, target, scope)
    columns = ", ".join(f"m.{name}" for name in COLUMNS.split(", "))
    rows = fetch(
        state,
        f"SELECT {columns} FROM messages m WHERE m.n > ? AND m.n <= ? AND m.place > ? AND {where} ORDER BY m.place",
        *(at.low, high, at.cursor, *parameters),
    )
    follows = fetch(state, "SELECT 1 FROM messages WHERE n > ? LIMIT 1", high)
    found = [StoredMessage(*row) for row in rows]
    told = _Told(state, target, scope)
    told.ahead([row.decisions for row in found])
    matching = [row for row in found if told.matches(row.decisions)]
    return Found(matching, at.low, Place(high) if follows else None)


def has_number(state: Connection, number: int, place: int) -> bool:
    """Tell whether the message at a place of the log has this number: in a state made anew it may have another one."""
    return [tuple(row) for row in fetch(state, "SELECT place FROM messages WHERE n = ?", number)] == [(place,)]


def _by_delivery(target: Target, scope: Scope) -> bool:
    return target.is_outside and scope.outcome == "failed"


class _Told:
    """What decisions, by their number, say of the destination."""

    def __init__(self, state: Connection, target: Target, scope: Scope) -> None:
        self._state = state
        self._target = target
        self._outcome = scope.outcome
        self._made: dict[int | None, Decision | None] = {None: None}

    def ahead(self, numbers: Sequence[int | None]) -> None:
        """Read decisions."""
        texts = names.by_number(self._state, {number for number in numbers if number is not None})
        for number, text in texts.items():
            mine = [made for made in _decode(text) if made.destination == self._target.id]
            self._made[number] = mine[-1] if mine else None

    def made(self, number: int | None) -> Decision | None:
        """Give the destination's decision, if it made one."""
        return self._made.get(number)

    def matches(self, number: int | None) -> bool:
        """Tell whether what was decided so is to be replayed. What the account keeps it has."""
        made = self.made(number)
        if self._outcome == "all":
            return self._target.is_outside or made is None or made.outcome != "kept"
        return made is not None and made.outcome == ("failed" if self._outcome == "failed" else "filtered")


def _where(state: Connection, target: Target, scope: Scope) -> tuple[str, list[Any]]:
    """Give the conditions on `messages m` that do not depend on decisions."""
    sources = target.sources if scope.source is None else [scope.source]
    conditions = [
        f"m.type IN ({', '.join(map(str, _DELIVERED))})",
        "m.decisions IS NOT NULL",
        "m.place < ?",
        f"m.source IN {LISTED}",
    ]
    parameters: list[Any] = [scope.until, listed(sources)]
    for condition, value in (("m.received >= ?", scope.from_at), ("m.received < ?", scope.to_at)):
        if value is not None:
            conditions.append(condition)
            parameters.append(value)
    if scope.person is not None:
        condition, more = _of_person(state, scope.person)
        conditions.append(condition)
        parameters += more
    if out := _kept_out(state):
        conditions.append(f"NOT (m.identity IN {LISTED})")
        parameters.append(listed(out))
    return " AND ".join(conditions), parameters


def _of_person(state: Connection, person: str) -> tuple[str, list[Any]]:
    """Give the condition for what is a person's: calls with the uid, and anonymous ones that are theirs."""
    rows = fetch(state, "SELECT id FROM identities WHERE hash = ? AND kind = ?", index_of(person), UID)
    if not rows:
        return "1 = 0", []
    spans = history.of_profile(state, rows[0][0], MAX_UIDS)
    whole = [span.identity for span in spans if span.from_t <= 0 and span.to_t >= FOREVER]
    parts = [span for span in spans if span.identity not in set(whole)]
    condition = " OR ".join([f"m.identity IN {LISTED}", *["(m.identity = ? AND m.t >= ? AND m.t < ?)"] * len(parts)])
    return f"({condition})", [listed(whole), *(value for span in parts for value in span)]


def _kept_out(state: Connection) -> list[int]:
    """Give the identities of those who are kept out: uids, and aliases that are for their sake."""
    hashes = [index_of(each) for each in suppressed.load(state)]
    if not hashes:
        return []
    return [row[0] for row in fetch(state, f"SELECT id FROM identities WHERE hash IN {LISTED}", listed(hashes))]


def type_at(state: Connection, destination: int, place: int) -> str | None:
    """Give the type of the message that a destination got from a place; None if it is gone, or its person kept out."""
    rows = fetch(
        state,
        "SELECT m.type, m.identity FROM outbox o CROSS JOIN messages m ON m.n = o.n "
        "WHERE o.destination = ? AND o.place = ?",
        *(destination, place),
    )
    return None if not rows or rows[0][1] in _kept_out(state) else TYPES[rows[0][0]]


def _refused(
    state: Connection, delivery: Engine, target: Target, scope: Scope, cursor: int
) -> Iterator[tuple[StoredMessage, int, int, str | None]]:
    """Give the messages whose last delivery failed or is dead, in log order, with type, status and code."""
    where, parameters = _where(state, target, scope)
    columns = ", ".join(f"m.{name}" for name in COLUMNS.split(", "))
    while True:
        with reading(delivery) as connection:
            rows = fetch(connection, _FAILED, target.number, cursor, scope.until, _AT_ONCE)
        found = {
            row[1]: StoredMessage(*row)
            for row in fetch(
                state,
                f"SELECT {columns} FROM outbox o CROSS JOIN messages m ON m.n = o.n "
                f"WHERE o.destination = ? AND o.place IN {LISTED} AND {where}",
                *(target.number, listed(row[0] for row in rows), *parameters),
            )
        }
        for place, status, code in rows:
            if place in found:
                yield found[place], found[place].type, status, code
        if len(rows) < _AT_ONCE:
            return
        cursor = rows[-1][0]


def _walk_deliveries(state: Connection, delivery: Engine, target: Target, scope: Scope, at: Place) -> Found:
    found: list[StoredMessage] = []
    for message, *_ in _refused(state, delivery, target, scope, at.cursor):
        found.append(message)
        if len(found) == _AT_ONCE:
            return Found(found, 0, Place(0, message.place))
    return Found(found, 0, None)
