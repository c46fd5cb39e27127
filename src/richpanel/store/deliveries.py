"""Deliveries: taken over from the outbox, claimed in order, and what became of each (`semantics.md` 9).

A delivery waits while an earlier one of the same destination and lane that is not finished shares one of its two
numbers, `identity` and `alias`: one person's calls arrive in log order, and nobody else waits for them. Whoever serves
a destination is one process; it alone takes over, claims and records for it.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection

from richpanel.core.codes import Code
from richpanel.core.latencies import bucket_of
from richpanel.core.retrying import STATUSES
from richpanel.store import delivery_schema as schema
from richpanel.store import outbox
from richpanel.store.bulk import LISTED, fetch, insert, listed, on_postgres, run, update

QUEUED, RETRYING, DELIVERED, ACCEPTED, SUPERSEDED, FAILED, DEAD = range(len(STATUSES))
FINISHED: Final = DELIVERED
"""Statuses from here on are final: such a delivery holds up nobody."""
LIVE: Final = outbox.LIVE
BULK: Final = outbox.BULK
RESPONSE_BYTES: Final = 4_096
"""What is kept of an answer."""
_MINUTE_MS: Final = 60_000


class Delivery(NamedTuple):
    """A row of `deliveries`; times are ms UTC, `status` an index into `STATUSES`, `replay` empty without one.

    `dropped_by` is whoever gave it up: a login, or the name of a token.
    """

    id: int
    destination: int
    place: int
    n: int
    identity: int
    alias: int
    lane: int
    status: int
    attempts: int
    due_at: int
    created_at: int
    finished_at: int | None
    received_at: int
    replay: str
    code: str | None
    event: str | None
    dropped_by: str | None = None


class Attempt(NamedTuple):
    """One try: `at` ms UTC, the payload that was sent without key and signature, and what was answered, if anything."""

    at: int
    milliseconds: int
    status_code: int | None = None
    code: str | None = None
    request: bytes | None = None
    response: bytes | None = None


class Result(NamedTuple):
    """What became of a delivery: its status now, by a try or without one, and when it is due again if it waits.

    `at` is when that was settled, ms UTC.
    """

    delivery: Delivery
    status: int
    at: int
    attempt: Attempt | None = None
    code: str | None = None
    due_at: int | None = None


COLUMNS: Final = ", ".join(Delivery._fields)
_CLAIMED: Final = ", ".join(f"d.{name}" for name in Delivery._fields)
_EARLIER: Final = (
    "SELECT 1 FROM deliveries e WHERE e.status < 2 AND {} AND e.destination = d.destination AND e.lane = d.lane "
    "AND e.id < d.id"
)
_DUE: Final = (
    f"SELECT {_CLAIMED} FROM deliveries d WHERE d.destination = ? AND d.lane = ? AND d.status < 2 AND d.due_at <= ? "
    f"AND NOT (d.id IN {LISTED}) "
    f"AND NOT EXISTS ({_EARLIER.format('e.identity IN (d.identity, d.alias)')}) "
    f"AND NOT EXISTS ({_EARLIER.format('e.alias IN (d.identity, d.alias) AND e.alias > 0')}) "
    "ORDER BY d.due_at, d.place LIMIT ?"
)


def take_over(delivery: Connection, state: Connection, destination: int, *, now: int, limit: int = 5_000) -> int:
    """Take the next messages for a destination over from the outbox; give how many. The caller commits `delivery`.

    A message that was taken over before, as another row of the same place, is passed over. `now` is ms UTC.
    """
    rows = fetch(delivery, "SELECT place FROM cursors WHERE destination = ?", destination)
    after = rows[0][0] if rows else 0
    found, reached = outbox.waiting(state, destination, after, limit)
    insert(
        delivery,
        schema.deliveries,
        [
            (destination, o.place, o.n, o.identity, o.alias, o.lane, QUEUED, 0, now, now, o.received_at, "", o.event)
            for o in found
        ],
        columns=(
            *("destination", "place", "n", "identity", "alias", "lane", "status", "attempts", "due_at"),
            *("created_at", "received_at", "replay", "event"),
        ),
        ignore=True,
    )
    if reached > after:
        insert(delivery, schema.cursors, [(destination, reached)], replace=True)
    _count(delivery, Counter({(destination, minute_of(now), QUEUED, ""): len(found)}))
    return len(found)


def due(
    connection: Connection, destination: int, lane: int, *, now: int, limit: int, without: Collection[int] = ()
) -> list[Delivery]:
    """Give deliveries that may be sent now, the longest due first: of each person the first one alone.

    `without` has the ids of those that are being sent; their persons' later ones wait, for they are not finished.
    """
    rows = fetch(connection, _DUE, destination, lane, now, listed(without), limit)
    return [Delivery(*row) for row in rows]


def standing(connection: Connection, destination: int, after: int, limit: int) -> list[tuple[int, ...]]:
    """Give what is not finished, of ids above one: (id, identity, alias, lane, due_at), in the order of ids."""
    part = (
        "SELECT * FROM (SELECT id, identity, alias, lane, due_at FROM deliveries "
        "WHERE destination = ?1 AND status = {} AND id > ?2 ORDER BY id LIMIT ?3) AS part{}"
    )
    rows = fetch(
        connection,
        f"{part.format(QUEUED, 1)} UNION ALL {part.format(RETRYING, 2)} ORDER BY id LIMIT ?3",
        *(destination, after, limit),
    )
    return [tuple(row) for row in rows]


def load(connection: Connection, ids: Sequence[int]) -> dict[int, Delivery]:
    """Load deliveries by id; without those that are gone or finished."""
    rows = fetch(connection, f"SELECT {COLUMNS} FROM deliveries WHERE id IN {LISTED} AND status < 2", listed(ids))
    return {row[0]: Delivery(*row) for row in rows}


def record(connection: Connection, results: Sequence[Result]) -> None:
    """Record what became of deliveries, each with the try that made it so. The caller commits.

    Of one that is gone meanwhile, since somebody was erased, nothing is kept.
    """
    asked = listed(result.delivery.id for result in results)
    lock = " FOR UPDATE" if on_postgres(connection) else ""
    rows = fetch(connection, f"SELECT id FROM deliveries WHERE id IN {LISTED}{lock}", asked)
    there = {row[0] for row in rows}
    kept = [result for result in results if result.delivery.id in there]
    update(
        connection,
        schema.deliveries,
        [
            (
                result.status,
                result.code,
                result.delivery.attempts + (result.attempt is not None),
                result.delivery.due_at if result.due_at is None else result.due_at,
                result.at if result.status >= FINISHED else None,
                result.delivery.id,
            )
            for result in kept
        ],
        columns=("status", "code", "attempts", "due_at", "finished_at"),
        keys=("id",),
    )
    insert(
        connection,
        schema.attempts,
        [
            (result.delivery.id, result.delivery.attempts + 1, *_cut(result.attempt))
            for result in kept
            if result.attempt
        ],
        replace=True,
    )
    _count(connection, Counter(_figure(result) for result in kept))
    _time(connection, kept)


def renumber(connection: Connection, state: Connection, destination: int, *, now: int, at_once: int = 5_000) -> None:
    """Give what waits for a destination the numbers of a state that was made anew.

    What the outbox of that state does not have is final, with its code: another copy of the message counts, or it was
    decided about anew. Who was erased is gone from here by places (`forget`). The state must have reached what was
    taken over; `now` is ms UTC. The caller commits.
    """
    last = -1
    while True:
        found = fetch(
            connection,
            f"SELECT {COLUMNS} FROM deliveries WHERE destination = ? AND status < 2 AND id > ? ORDER BY id LIMIT ?",
            *(destination, last, at_once),
        )
        if not found:
            return
        rows = [Delivery(*row) for row in found]
        numbers = outbox.numbers(state, destination, {row.place for row in rows})
        changed = [
            (*numbers[row.place], row.id)
            for row in rows
            if row.place in numbers and numbers[row.place] != (row.n, row.identity, row.alias)
        ]
        update(connection, schema.deliveries, changed, columns=("n", "identity", "alias"), keys=("id",))
        gone = [row for row in rows if row.place not in numbers]
        record(connection, [Result(row, FAILED, now, code=Code.MESSAGE_GONE) for row in gone])
        last = rows[-1].id


def forget(connection: Connection, places: Iterable[int]) -> tuple[int, int]:
    """Forget the deliveries of messages, by their places in the log, with every try; give how many of each went.

    The caller commits.
    """
    deliveries = attempts = 0
    asked = list(places)
    for start in range(0, len(asked), 5_000):
        part = listed(asked[start : start + 5_000])
        rows = fetch(connection, f"SELECT id FROM deliveries WHERE place IN {LISTED}", part)
        attempts += remove(connection, [row[0] for row in rows])
        deliveries += len(rows)
    return deliveries, attempts


def remove(connection: Connection, ids: list[int]) -> int:
    """Remove deliveries, given by id; give how many tries went with them. The caller commits."""
    if not ids:
        return 0
    run(connection, f"DELETE FROM deliveries WHERE id IN {LISTED}", listed(ids))
    return run(connection, f"DELETE FROM attempts WHERE delivery IN {LISTED}", listed(ids))


def _cut(attempt: Attempt) -> Attempt:
    response = attempt.response
    return attempt if response is None else attempt._replace(response=response[:RESPONSE_BYTES])


def minute_of(at: int) -> int:
    """Give the beginning of the minute that an instant is in; both are ms UTC."""
    return at - at % _MINUTE_MS


def _figure(result: Result) -> tuple[int, int, int, str]:
    return (result.delivery.destination, minute_of(result.at), result.status, result.code or "")


def _count(connection: Connection, counts: Counter[tuple[int, int, int, str]]) -> None:
    insert(connection, schema.figures, sorted((*key, count) for key, count in counts.items() if count), plus="count")


def _time(connection: Connection, results: Iterable[Result]) -> None:
    """Note how long those took that arrived; a replay's begins with the replay."""
    took = Counter(
        (one.delivery.destination, minute_of(one.at), bucket_of(one.at - _begun(one.delivery)))
        for one in results
        if one.status in (DELIVERED, ACCEPTED)
    )
    insert(connection, schema.latencies, sorted((*key, count) for key, count in took.items()), plus="count")


def _begun(delivery: Delivery) -> int:
    return delivery.created_at if delivery.replay else delivery.received_at
