"""Replays: jobs that send again what is stored, each with how far it is (contract.md, "Bodies", replay).

A job goes chunk by chunk. What a chunk is stands here before anything of it is done, and how far the job is afterwards:
whoever is killed in between does the same chunk once more, and no step of it does anything twice.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from richpanel.core.regulation import Hashed
from richpanel.store.bulk import fetch, run
from richpanel.store.definitions import new_id

Status = Literal["running", "done", "cancelled", "failed"]
Outcome = Literal["failed", "discarded", "all"]
DEFAULT_RATE: Final = 500
MAX_RATE: Final = 10_000
"""Messages a second."""

_COLUMNS: Final = (
    "r.number, r.id, r.destination, r.delivery, r.source, r.person, r.from_at, r.to_at, r.outcome, r.until, r.rate, "
    "r.status, r.matched, r.replayed, r.low, r.cursor, r.message, r.chunk, r.pending, r.created_at, "
    "r.finished_at, r.problem"
)


class Place(NamedTuple):
    """How far a walk is: among the messages that are numbered from behind `low` on, behind a place in the log.

    `number` is that of the message at the place: where it has another one, the state was made anew since.
    """

    low: int = 0
    cursor: int = 0
    number: int = 0


class Chunk(msgspec.Struct, frozen=True):
    """Some messages of a job, in log order: where each stands, and by which hashes the log is to name them.

    Without hashes nothing is to be decided about them again. `reached` is how far the job is then.
    """

    places: Sequence[int]
    hashes: Sequence[int]
    reached: Place


class Scope(NamedTuple):
    """Which messages of a destination (its number) a job is for; times are receivedAt, ms UTC; `to_at` is not in it.

    `person` is the keyed hash of a uid, `until` the place in the log where it ends. With `delivery` it is for that one.
    """

    destination: int
    outcome: Outcome
    until: int
    source: int | None = None
    person: Hashed | None = None
    from_at: int | None = None
    to_at: int | None = None
    delivery: int | None = None


class ReplayRow(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it stands; times are ms UTC."""

    number: int
    id: str
    scope: Scope
    rate: int
    status: Status
    matched: int
    replayed: int
    reached: Place
    chunk: int
    pending: Chunk | None
    created_at: int
    finished_at: int | None
    problem: str | None


class RunningError(Exception):
    """A replay of this destination, or of this delivery, is running already: `replay` is its id."""

    def __init__(self, replay: str) -> None:
        super().__init__(f"replay {replay} is running")
        self.replay: Final = replay


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Chunk).decode


def _row(row: Any) -> ReplayRow:
    number, id_, destination, delivery, source, person, from_at, to_at, outcome, until, rate, *rest = row
    status, matched, replayed, low, cursor, message, chunk, pending, created_at, finished_at, problem = rest
    return ReplayRow(
        number=number,
        id=id_,
        scope=Scope(destination, outcome, until, source, person, from_at, to_at, delivery),
        rate=rate,
        status=status,
        matched=matched,
        replayed=replayed,
        reached=Place(low, cursor, message),
        chunk=chunk,
        pending=None if pending is None else _decode(pending),
        created_at=created_at,
        finished_at=finished_at,
        problem=problem,
    )


def add(connection: Connection, scope: Scope, *, rate: int, matched: int, now: int) -> ReplayRow:
    """Begin a job; `now` is ms UTC. The caller commits. Raises RunningError."""
    _refuse_second(connection, scope)
    id_ = new_id("rpl")
    try:
        with connection.begin_nested():
            run(
                connection,
                "INSERT INTO replays (id, destination, delivery, source, person, from_at, to_at, outcome, until, rate, "
                "status, matched, replayed, low, cursor, message, chunk, created_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'running', ?, 0, 0, 0, 0, 0, ?)",
                *(id_, scope.destination, scope.delivery, scope.source, scope.person, scope.from_at, scope.to_at),
                *(scope.outcome, scope.until, rate, matched, now),
            )
    except IntegrityError:  # Two of a cluster's nodes were asked at once.
        _refuse_second(connection, scope)
        raise
    return get(connection, id_)


def _refuse_second(connection: Connection, scope: Scope) -> None:
    """Raise RunningError where the same is going on."""
    asked, given = "delivery IS NULL", [scope.destination]
    if scope.delivery is not None:
        asked, given = "delivery = ?", [scope.destination, scope.delivery]
    rows = fetch(
        connection, f"SELECT id FROM replays WHERE status = 'running' AND destination = ? AND {asked} LIMIT 1", *given
    )
    if rows:
        raise RunningError(rows[0][0])


def find(connection: Connection, id: str) -> ReplayRow | None:
    """Find a job by its id."""
    rows = fetch(connection, f"SELECT {_COLUMNS} FROM replays r WHERE r.id = ?", id)
    return _row(rows[0]) if rows else None


def get(connection: Connection, id: str) -> ReplayRow:
    """Give a job that is there."""
    found = find(connection, id)
    if found is None:
        raise LookupError(f"there is no replay {id}")
    return found


def running(connection: Connection) -> list[ReplayRow]:
    """Give the jobs that run, the oldest first."""
    rows = fetch(connection, f"SELECT {_COLUMNS} FROM replays r WHERE r.status = 'running' ORDER BY r.number")
    return [_row(row) for row in rows]


def newest(connection: Connection, limit: int, before: int | None = None) -> list[ReplayRow]:
    """Give the newest jobs, of those with a number below `before`."""
    rows = fetch(
        connection,
        f"SELECT {_COLUMNS} FROM replays r WHERE r.number < ? ORDER BY r.number DESC LIMIT ?",
        *(1 << 31 if before is None else before, limit),
    )
    return [_row(row) for row in rows]


def cancel(connection: Connection, id: str, *, now: int) -> bool:
    """Stop a job after the chunk that is under way; tell whether it ran. The caller commits."""
    return _end(connection, id, "cancelled", now)


def finish(connection: Connection, id: str, *, now: int) -> bool:
    """Note that a job is done; False where it does not run any more. The caller commits."""
    return _end(connection, id, "done", now)


def give_up(connection: Connection, id: str, problem: str, *, now: int) -> bool:
    """Note that a job cannot go on; False where it does not run any more. The caller commits."""
    return _end(connection, id, "failed", now, problem)


def _end(connection: Connection, id: str, status: Status, now: int, problem: str | None = None) -> bool:
    statement = "UPDATE replays SET status = ?, finished_at = ?, problem = ? WHERE id = ? AND status = 'running'"
    return run(connection, statement, status, now, problem, id) > 0


def resume(connection: Connection, id: str) -> bool:
    """Let a job that was cancelled, or failed, go on where it was; False where it is neither. Raises RunningError."""
    found = get(connection, id)
    if found.status not in ("cancelled", "failed"):
        return False
    _refuse_second(connection, found.scope)
    statement = "UPDATE replays SET status = 'running', finished_at = NULL, problem = NULL WHERE id = ?"
    return run(connection, statement, id) > 0


def intend(connection: Connection, id: str, chunk: Chunk) -> bool:
    """Note what is about to be done; False where the job does not run any more. The caller commits."""
    return run(connection, "UPDATE replays SET pending = ? WHERE id = ? AND status = 'running'", _encode(chunk), id) > 0


def advance(connection: Connection, id: str, chunk: Chunk) -> None:
    """Note that a chunk is done; so it is, too, where the job was cancelled meanwhile. The caller commits."""
    run(
        connection,
        "UPDATE replays SET pending = NULL, low = ?, cursor = ?, message = ?, replayed = replayed + ?, "
        "chunk = chunk + 1, problem = NULL "
        "WHERE id = ? AND pending IS NOT NULL",
        *(*chunk.reached, len(chunk.places), id),
    )


def explain(connection: Connection, id: str, problem: str | None) -> None:
    """Say why a job does not get on just now. The caller commits."""
    run(connection, "UPDATE replays SET problem = ? WHERE id = ? AND status = 'running'", problem, id)
