"""Backfills: a destination that is connected later is told of everybody who is in, it alone (docs/decisions/0025).

There is one for each audience or computed trait and each destination that is told of it, from when on it is. Before
anybody was told it is over at once: the first run tells all. It goes by uid, as the state numbers them.
"""

from collections.abc import Collection
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from richpanel.core.regulation import Hashed
from richpanel.store.bulk import LISTED, fetch, listed, run
from richpanel.store.destinations import ACCOUNT

Pair = tuple[int, int]
"""An audience or computed trait, and a destination, by number."""
_COLUMNS: Final = (
    "b.number, b.computation, b.destination, d.id, b.everybody, b.reached, b.mark, b.done, b.total, b.finished_at"
)
_FROM: Final = "FROM backfills b JOIN destinations d ON d.number = b.destination"
_TOLD: Final = (
    "SELECT 1 FROM destinations d JOIN destination_sources l ON l.destination = d.number "
    "JOIN sources s ON s.number = l.source WHERE d.number = backfills.destination AND d.enabled "
    f"AND d.deleted_at IS NULL AND d.endpoint <> '{ACCOUNT}' AND s.type = 'engage'"
)


class BackfillRow(msgspec.Struct, frozen=True):
    """A backfill as it stands. `everybody`: who left is told of, too, for the destination was told before.

    It is behind the uid with the number `reached` and the keyed hash `mark`: where that is another one, the state was
    made anew. `done` of `total` were told of; `total` is None before it begins.
    """

    number: int
    computation: int
    destination: int
    destination_id: str
    everybody: bool
    reached: int
    mark: Hashed | None
    done: int
    total: int | None
    finished_at: int | None


def running(conn: Connection) -> list[BackfillRow]:
    """Give those that are not over, the oldest first."""
    query = f"SELECT {_COLUMNS} {_FROM} WHERE b.finished_at IS NULL AND b.ended_at IS NULL ORDER BY b.number"
    return [_row(row) for row in fetch(conn, query)]


def follow(conn: Connection, pairs: Collection[Pair], *, now: int) -> None:
    """Begin backfills of pairs that are new, and end those of pairs that are no more. `now` is ms UTC."""
    rows = fetch(conn, "SELECT computation, destination, ended_at FROM backfills ORDER BY number")
    there = {(computation, destination): ended_at for computation, destination, ended_at in rows}
    for pair in sorted(set(pairs)):
        if pair not in there or there[pair] is not None:
            run(
                conn,
                "INSERT INTO backfills (computation, destination, everybody, reached, done, created_at) "
                "VALUES (?, ?, ?, 0, 0, ?)",
                *(*pair, pair in there, now),
            )
    for pair, ended_at in there.items():
        if ended_at is None and pair not in pairs:
            statement = "UPDATE backfills SET ended_at = ?, mark = NULL WHERE computation = ? AND destination = ?"
            run(conn, f"{statement} AND ended_at IS NULL", now, *pair)


def numbers_before(conn: Connection, job: BackfillRow) -> list[int]:
    """Give the numbers of the backfills of the same pair that came before."""
    query = "SELECT number FROM backfills WHERE computation = ? AND destination = ? AND number < ? ORDER BY number"
    return [row[0] for row in fetch(conn, query, job.computation, job.destination, job.number)]


def leave(conn: Connection, *, now: int) -> None:
    """End backfills of destinations that are told of nothing any more, in the transaction that says so.

    Who looks for pairs later need not have seen that one was none for a moment. `now` is ms UTC.
    """
    run(conn, f"UPDATE backfills SET ended_at = ?, mark = NULL WHERE ended_at IS NULL AND NOT EXISTS ({_TOLD})", now)


def leave_others(conn: Connection, computation: int, destinations: Collection[str], *, now: int) -> None:
    """End backfills of a computation, but for those of these destinations (ids). `now` is ms UTC."""
    query = f"SELECT b.number, d.id {_FROM} WHERE b.computation = ? AND b.ended_at IS NULL"
    gone = [number for number, id_ in fetch(conn, query, computation) if id_ not in destinations]
    run(conn, f"UPDATE backfills SET ended_at = ?, mark = NULL WHERE number IN {LISTED}", now, listed(gone))


def begin(conn: Connection, number: int, total: int) -> None:
    """Note how many there are to tell of."""
    run(conn, "UPDATE backfills SET total = ? WHERE number = ?", total, number)


def advance(conn: Connection, number: int, *, reached: int, mark: Hashed | None, done: int) -> None:
    """Note how far one is: behind which uid, and of how many it told by now."""
    statement = "UPDATE backfills SET reached = ?, mark = ?, done = ? WHERE number = ?"
    run(conn, statement, reached, mark, done, number)


def finish(conn: Connection, number: int, *, now: int) -> None:
    """Note that everybody was told of, at `now`, ms UTC."""
    run(conn, "UPDATE backfills SET finished_at = ?, mark = NULL WHERE number = ?", now, number)


def _row(row: Any) -> BackfillRow:
    number, computation, destination, id_, everybody, *rest = row
    return BackfillRow(number, computation, destination, id_, bool(everybody), *rest)
