"""The ledger of regulations: what was forgotten, so that it stays so when the state or the log are older than that.

It stands with the definitions, apart from the state: a rebuild, an import and a restored backup are held to it. It has
keyed hashes alone (`core.regulation`).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import Connection, Row

from richpanel.core.codes import Code
from richpanel.core.regulation import (
    Erased,
    Hashed,
    Interval,
    Receipt,
    Regulation,
    Wal,
    decode_regulation,
    digest_of,
    encode_regulation,
    seal,
)
from richpanel.store import definitions
from richpanel.store.bulk import LISTED, fetch, insert, listed, many, run
from richpanel.store.definitions import changed

Status = Literal["INITIALIZED", "RUNNING", "FINISHED", "FAILED"]
HOUR_MS: Final = 3_600_000
ERASING: Final = "RUNNING"

_COLUMNS: Final = "number, id, status, created_at, finished_at, record, problem, receipt"
_LOST: Final = "status = 'INITIALIZED' AND created_at < ?1"
_encode = msgspec.json.Encoder().encode
_decode_receipt = msgspec.json.Decoder(Receipt).decode
_decode_erased = msgspec.json.Decoder(dict[str, Erased]).decode


class Tombstone(NamedTuple):
    """An id, and when it was theirs; with `parts` it starts afresh at the end of that. `person`: the id they go by."""

    kind: int
    hashed: Hashed
    from_t: int
    to_t: int
    parts: bool
    person: Hashed


class RegulationRow(msgspec.Struct, frozen=True, kw_only=True):
    """A regulation as the ledger knows it; times are ms UTC. `problem` says why it does not get on."""

    number: int
    id: str
    status: Status
    created_at: int
    finished_at: int | None
    regulation: Regulation
    problem: str | None
    receipt: Receipt | None


def _row(row: Row[Any]) -> RegulationRow:
    return RegulationRow(
        number=row.number,
        id=row.id,
        status=row.status,
        created_at=row.created_at,
        finished_at=row.finished_at,
        regulation=decode_regulation(row.record),
        problem=row.problem,
        receipt=None if row.receipt is None else _decode_receipt(row.receipt),
    )


def note(connection: Connection, regulation: Regulation, created_at: int) -> bool:
    """Note a regulation that is on its way into the log; False where it is known already."""
    made = run(
        connection,
        "INSERT INTO regulations (id, type, status, created_at, record) VALUES (?, ?, 'INITIALIZED', ?, ?) "
        "ON CONFLICT (id) DO NOTHING",
        *(regulation.id, regulation.type, created_at, encode_regulation(regulation)),
    )
    return made > 0


def withdraw(connection: Connection, regulation_id: str) -> None:
    """Forget a regulation that did not get into the log."""
    many(connection, "DELETE FROM regulations WHERE id = ? AND status = 'INITIALIZED'", [(regulation_id,)])


def not_done(connection: Connection) -> list[str]:
    """Give the regulations that are not done: on their way into the log or to the state, or applied and still owing."""
    rows = fetch(connection, "SELECT id FROM regulations WHERE status IN ('INITIALIZED', 'RUNNING')")
    return [row[0] for row in rows]


def is_erasing(connection: Connection) -> bool:
    """Tell whether somebody is being erased, or is to be."""
    asked = "SELECT 1 FROM regulations WHERE status IN ('INITIALIZED', 'RUNNING') AND type LIKE '%DELETE%' LIMIT 1"
    return bool(fetch(connection, asked))


def lost(connection: Connection, before: int) -> bool:
    """Tell whether regulations noted before an instant (ms UTC) are still not processed."""
    return bool(fetch(connection, f"SELECT 1 FROM regulations WHERE {_LOST} LIMIT 1", before))


def give_up(connection: Connection, before: int) -> None:
    """Say so of them, where all that the log has is processed. One that comes nevertheless goes its way."""
    problem = "it did not get into the log: ask for it again"
    many(connection, f"UPDATE regulations SET status = 'FAILED', problem = ?2 WHERE {_LOST}", [(before, problem)])


def begin(
    connection: Connection,
    regulation: Regulation,
    created_at: int,
    *,
    tombstones: Sequence[Tombstone],
    messages: Iterable[int],
    erased: Mapping[str, Erased],
) -> None:
    """Keep what a regulation is about to erase, before it does. A second time adds what was not known at the first."""
    note(connection, regulation, created_at)
    run(
        connection,
        "UPDATE regulations SET status = 'RUNNING', created_at = ?, problem = NULL, erased = ? "
        "WHERE id = ? AND status <> 'FINISHED'",
        *(created_at, _encode(dict(erased)).decode(), regulation.id),
    )
    ((number,),) = fetch(connection, "SELECT number FROM regulations WHERE id = ?", regulation.id)
    add_tombstones(connection, number, tombstones)
    insert(connection, definitions.erased_messages, [(each,) for each in messages], ignore=True)
    changed(connection)


def also_erased(connection: Connection, erased: Mapping[str, Mapping[str, Erased]]) -> None:
    """Add to what regulations erase, by their ids; what is told of a table already stays as it is."""
    for id_, more in erased.items():
        rows = fetch(connection, "SELECT erased FROM regulations WHERE id = ? AND status <> 'FINISHED'", id_)
        for (text,) in rows:
            told = dict(more) | _decode_erased(text or "{}")
            run(connection, "UPDATE regulations SET erased = ? WHERE id = ?", _encode(told).decode(), id_)


def add_tombstones(connection: Connection, number: int, tombstones: Iterable[Tombstone]) -> None:
    """Keep tombstones of a regulation."""
    columns = ("kind", "hash", "from_t", "to_t", "parts", "person", "regulation")
    insert(connection, definitions.tombstones, [(*each, number) for each in tombstones], columns=columns, ignore=True)


def explain(connection: Connection, ids: Iterable[str], problem: str | None) -> None:
    """Say why regulations do not get on; None once they do."""
    many(connection, "UPDATE regulations SET problem = ? WHERE id = ?", [(problem, each) for each in ids])


def finish(connection: Connection, secret: bytes, regulation_id: str, now: int, wal: Wal | UnsetType = UNSET) -> None:
    """Write the receipt of a regulation all of which is done, and chain it to the one before."""
    rows = fetch(
        connection,
        "SELECT number, record, erased FROM regulations WHERE id = ? AND status <> 'FINISHED'",
        regulation_id,
    )
    for row in rows:
        regulation = decode_regulation(row.record)
        written = chain(connection)
        previous = written[-1].hash if written else ""
        stones = [f"{s.kind}:{s.hashed}:{s.from_t}:{s.to_t}" for s in tombstones_of(connection, regulation_id)]
        tables = _decode_erased(row.erased or "{}")
        receipt = Receipt(regulation_id, regulation.type, now, tables, digest_of(secret, stones), previous, wal=wal)
        run(
            connection,
            "UPDATE regulations SET status = 'FINISHED', finished_at = ?, problem = NULL, erased = NULL, place = ?, "
            "receipt = ? WHERE number = ?",
            *(now, len(written) + 1, _encode(seal(secret, receipt)).decode(), row.number),
        )


def adopt(connection: Connection, other: Connection) -> list[str]:
    """Take over what another ledger of this account knows; give the ids of the regulations that are new here.

    The other one is the younger of the two: this one's receipts are the beginning of its chain.
    """
    known = {row[0] for row in fetch(connection, "SELECT id FROM regulations WHERE status = 'FINISHED'")}
    columns = "id, type, status, created_at, finished_at, record, erased, problem, place, receipt"
    rows = fetch(other, f"SELECT {columns} FROM regulations ORDER BY number")
    fresh = [tuple(row) for row in rows if row[0] not in known]
    many(connection, "DELETE FROM regulations WHERE id = ?", [(row[0],) for row in fresh])
    many(connection, f"INSERT INTO regulations ({columns}) VALUES ({', '.join('?' * 10)})", fresh)
    numbers = {row[0]: row[1] for row in fetch(connection, "SELECT id, number FROM regulations")}
    for each in dict.fromkeys(row[0] for row in rows):
        add_tombstones(connection, numbers[each], tombstones_of(other, each))
    hashes = fetch(other, "SELECT hash FROM erased_messages")
    insert(connection, definitions.erased_messages, [tuple(row) for row in hashes], ignore=True)
    counted = fetch(other, "SELECT source, hour, code, count FROM refusals")
    many(
        connection,
        "INSERT INTO refusals (source, hour, code, count) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (source, hour, code) DO UPDATE SET count = excluded.count "
        "WHERE excluded.count > refusals.count",
        [tuple(row) for row in counted],
    )
    changed(connection)
    return [row[0] for row in fresh]


def find(connection: Connection, regulation_id: str) -> RegulationRow | None:
    """Find a regulation."""
    rows = fetch(connection, f"SELECT {_COLUMNS} FROM regulations WHERE id = ?", regulation_id)
    return _row(rows[0]) if rows else None


def get(connection: Connection, regulation_id: str) -> RegulationRow:
    """Give a regulation that was noted. Raises LookupError."""
    row = find(connection, regulation_id)
    if row is None:
        raise LookupError(f"there is no regulation {regulation_id}")
    return row


def newest(connection: Connection, limit: int, before: int | None = None) -> list[RegulationRow]:
    """List regulations, the newest first; `before` is the number of the last one given."""
    statement = f"SELECT {_COLUMNS} FROM regulations WHERE number < ? ORDER BY number DESC LIMIT ?"
    return [_row(row) for row in fetch(connection, statement, before or 1 << 62, limit)]


def oldest_first(connection: Connection) -> list[RegulationRow]:
    """List all regulations in the order in which they were asked for."""
    return [_row(row) for row in fetch(connection, f"SELECT {_COLUMNS} FROM regulations ORDER BY number")]


def chain(connection: Connection) -> list[Receipt]:
    """Give all receipts in the order of their chain."""
    rows = fetch(connection, "SELECT receipt FROM regulations WHERE place IS NOT NULL ORDER BY place")
    return [_decode_receipt(row[0]) for row in rows]


def tombstones_of(connection: Connection, regulation_id: str) -> list[Tombstone]:
    """Give the tombstones of a regulation."""
    rows = fetch(
        connection,
        "SELECT t.kind, t.hash, t.from_t, t.to_t, t.parts, t.person FROM tombstones t JOIN regulations r "
        "ON r.number = t.regulation WHERE r.id = ? ORDER BY t.kind, t.hash, t.from_t, t.to_t",
        regulation_id,
    )
    return [Tombstone(kind, hashed, start, end, bool(parts), who) for kind, hashed, start, end, parts, who in rows]


def all_tombstones(connection: Connection) -> tuple[dict[Hashed, list[Interval]], dict[Hashed, list[int]]]:
    """Give when each erased id was theirs, and when those start afresh that do."""
    covered: defaultdict[Hashed, list[Interval]] = defaultdict(list)
    parted: defaultdict[Hashed, set[int]] = defaultdict(set)
    for hashed, from_t, to_t, parts in fetch(connection, "SELECT hash, from_t, to_t, parts FROM tombstones"):
        covered[hashed].append((from_t, to_t))
        if parts:
            parted[hashed].add(to_t)
    return dict(covered), {hashed: sorted(times) for hashed, times in parted.items()}


def erased_among(connection: Connection, hashes: Sequence[int]) -> set[int]:
    """Tell which hashes are of messages that were erased."""
    rows = fetch(connection, f"SELECT hash FROM erased_messages WHERE hash IN {LISTED}", listed(hashes))
    return {row[0] for row in rows}


def all_erased_messages(connection: Connection) -> set[int]:
    """Give the hashes of all messages that were erased."""
    return {row[0] for row in fetch(connection, "SELECT hash FROM erased_messages")}


def count_refusals(connection: Connection, counts: Mapping[tuple[str, int, Code], int]) -> None:
    """Count messages refused for privacy: (source's id, beginning of the hour, code) -> how many."""
    many(
        connection,
        "INSERT INTO refusals (source, hour, code, count) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (source, hour, code) DO UPDATE SET count = refusals.count + excluded.count",
        [(source, hour, code.value, count) for (source, hour, code), count in counts.items()],
    )


class Refusals(NamedTuple):
    """How many messages of a source were refused for privacy in an hour that begins at `hour`, ms UTC."""

    source: str
    hour: int
    code: str
    number: int


def refusals(connection: Connection, limit: int) -> list[Refusals]:
    """List what was refused, the newest hour first."""
    rows = fetch(
        connection, "SELECT source, hour, code, count FROM refusals ORDER BY hour DESC, source, code LIMIT ?", limit
    )
    return [Refusals(*row) for row in rows]


def refused_since(connection: Connection, since: int) -> dict[str, int]:
    """Count what was refused from the hour on that an instant (ms UTC) is in, by source id."""
    rows = fetch(
        connection, "SELECT source, sum(count) FROM refusals WHERE hour > ? GROUP BY source", since - 3_600_000
    )
    return {source: int(count) for source, count in rows}
