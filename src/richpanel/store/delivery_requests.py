"""What people ask of deliveries: to drop one, or to try one now.

Whoever serves a destination is the only one to write what becomes of its deliveries (`store.deliveries`). So pages and
API note with the definitions what is asked, and the delivering role does it and takes the note away. A note that is
found twice, after a crash between the two, changes nothing the second time.
"""

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from sqlalchemy import Connection

from richpanel.core.codes import Code
from richpanel.store import definitions
from richpanel.store.bulk import LISTED, delete, fetch, insert, listed, many, on_postgres, run
from richpanel.store.deliveries import (
    COLUMNS,
    DEAD,
    FAILED,
    QUEUED,
    RETRYING,
    Delivery,
    Result,
    minute_of,
    record,
)

Action = Literal["drop", "retry"]
ALLOWED: Final[dict[Action, frozenset[int]]] = {
    "drop": frozenset({QUEUED, RETRYING, DEAD}),
    "retry": frozenset({RETRYING}),
}
"""The statuses of deliveries of which something may be asked."""
_AT_ONCE: Final = 1_000


class Asked(NamedTuple):
    """What is asked of a delivery of a destination (its number), when, ms UTC, and by whom: a login or token's name."""

    delivery: int
    destination: int
    action: Action
    at: int
    by: str | None = None


def ask(account: Connection, asked: Asked) -> None:
    """Note what is asked, in place of what was asked of the same delivery before. The caller commits."""
    columns = ("delivery", "destination", "action", "at", "asked_by")
    insert(account, definitions.delivery_requests, [asked], columns=columns, replace=True)


def waiting(account: Connection) -> list[Asked]:
    """Give what is asked and not done yet, the oldest first, some at a time."""
    rows = fetch(
        account,
        "SELECT delivery, destination, action, at, asked_by FROM delivery_requests ORDER BY at, delivery LIMIT ?",
        _AT_ONCE,
    )
    return [Asked(*row) for row in rows]


def asked_of(account: Connection, delivery: int) -> Action | None:
    """Tell what is asked of a delivery and not done yet."""
    rows = fetch(account, "SELECT action FROM delivery_requests WHERE delivery = ?", delivery)
    return rows[0][0] if rows else None


def done(account: Connection, asked: Iterable[Asked]) -> None:
    """Take notes away; one that was replaced meanwhile stays. The caller commits."""
    delete(
        account,
        definitions.delivery_requests,
        [(each.delivery, each.at) for each in asked],
        keys=("delivery", "at"),
    )


def grant(delivery: Connection, asked: Iterable[Asked], now: int) -> None:
    """Do what is asked of deliveries, none of which may be under way; what cannot be done any more is passed over.

    A dropped one is `failed` with the code `dropped`; it was dead or waited, and counts once. `now` is ms UTC. The
    caller commits.
    """
    notes = {each.delivery: each for each in asked}
    actions = {number: each.action for number, each in notes.items()}
    if not actions:
        return
    lock = " FOR UPDATE" if on_postgres(delivery) else ""
    rows = fetch(delivery, f"SELECT {COLUMNS} FROM deliveries WHERE id IN {LISTED} ORDER BY id{lock}", listed(actions))
    found = [Delivery(*row) for row in rows]
    meant = [each for each in found if each.status in ALLOWED[actions[each.id]]]
    dropped = [each for each in meant if actions[each.id] == "drop"]
    record(delivery, [Result(each, FAILED, now, code=Code.DROPPED) for each in dropped])
    many(
        delivery,
        "UPDATE deliveries SET dropped_by = ?1 WHERE id = ?2",
        [(notes[each.id].by, each.id) for each in dropped if notes[each.id].by],
    )
    for each in dropped:
        if each.status == DEAD:
            _uncount(delivery, each)
        else:
            _hasten(delivery, each, "place > ?4 AND attempts = 0", now)
    for each in meant:
        if actions[each.id] == "retry":
            _hasten(delivery, each, "place <= ?4", now)


def _uncount(connection: Connection, dead: Delivery) -> None:
    """Take a dead letter out of the figures that it is in: it counts as dropped now."""
    run(
        connection,
        "UPDATE figures SET count = count - 1 "
        "WHERE destination = ? AND minute = ? AND status = ? AND code = ? AND count > 0",
        *(dead.destination, minute_of(dead.finished_at or 0), DEAD, dead.code or ""),
    )


def _hasten(connection: Connection, one: Delivery, which: str, now: int) -> None:
    """Let those of the same person that wait be due now: the ones that it held up, or itself and what is before it."""
    for column, also in (("identity", ""), ("alias", "AND alias > 0 ")):
        many(
            connection,
            f"UPDATE deliveries SET due_at = ?1 WHERE status < 2 AND {column} IN (?2, ?3) {also}AND {which} "
            "AND destination = ?5 AND lane = ?6 AND due_at > ?1",
            [(now, one.identity, one.alias or one.identity, one.place, one.destination, one.lane)],
        )
