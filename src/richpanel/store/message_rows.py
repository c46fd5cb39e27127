"""Messages as stored: one compact row each, pointing at the body in the log."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import Connection

from richpanel.core.record import BodyGone, Meta, is_erased
from richpanel.store import bodies as stored_bodies
from richpanel.store import outbox, schema
from richpanel.store.bodies import Bodies, Place, Slice
from richpanel.store.bulk import LISTED, delete, fetch, insert, listed, on_postgres, run, update
from richpanel.store.schema import part_of

MAX_DISCARDS: Final = 10_000
DISCARD_AGE_MS: Final = 30 * 24 * 3_600_000
"""How many discards of a source can be looked up, and for how long (`semantics.md` 2)."""

_decode_meta = msgspec.json.Decoder(Meta).decode


class StoredMessage(NamedTuple):
    """A row of `messages`."""

    n: int
    place: int
    size: int
    lead: int
    item: int
    source: int
    type: int
    t: int
    received: int
    identity: int
    alias: int | None
    event: int | None
    outcome: int
    decisions: int | None


class _Id(msgspec.Struct):
    messageId: str | int | None = None


_decode_id = msgspec.json.Decoder(_Id).decode
COLUMNS: Final = ", ".join(StoredMessage._fields)


def load(connection: Connection, numbers: Iterable[int]) -> dict[int, StoredMessage]:
    """Load messages by number."""
    rows = fetch(connection, f"SELECT {COLUMNS} FROM messages WHERE n IN {LISTED}", listed(numbers))
    return {row[0]: StoredMessage(*row) for row in rows}


def body(bodies: Slice, place: int, size: int) -> bytes:
    """Read a body. Raises BodyGone where retention has let it go, or it was erased.

    A row of the state points at an erased body only for a moment, or after a power cut took the state back.
    """
    found = bodies(place, size)
    if is_erased(found):
        raise BodyGone(f"what stood at {place} of the log was erased")
    return found


def kept(bodies: Slice, place: int, size: int) -> bytes | None:
    """Read a body; None where it is no longer kept."""
    try:
        return body(bodies, place, size)
    except BodyGone:
        return None


def meta(bodies: Bodies, place: int, lead: int) -> Meta:
    """Read what a message shares with the others of its record."""
    return _decode_meta(bodies.head(place - lead))


def message_id(bodies: Bodies, message: StoredMessage) -> str:
    """Read a message's id from its body, or from its record where the door gave it one. Raises BodyGone."""
    given = _decode_id(body(bodies, message.place, message.size)).messageId
    if given is not None and given != "":
        return str(given)
    return meta(bodies, message.place, message.lead).ids[message.item]


def known_id(bodies: Bodies, message: StoredMessage) -> str | None:
    """Read a message's id; None where it went with its body."""
    try:
        return message_id(bodies, message)
    except BodyGone:
        return None


def has_id(bodies: Bodies, message: StoredMessage, wanted: str) -> bool:
    """Tell whether a message found by the hash of an id has that id; where its body is gone, the hash alone tells."""
    return known_id(bodies, message) in (wanted, None)


def add(connection: Connection, rows: Sequence[tuple[int | None, ...]]) -> None:
    """Add messages, numbers growing: the fields of `StoredMessage` as plain tuples, since there are so many."""
    insert(connection, schema.messages, rows)


def decide(connection: Connection, rows: Sequence[tuple[int, int | None, int]]) -> None:
    """Store newer decisions: (outcome, decisions, number of message)."""
    update(connection, schema.messages, rows, columns=("outcome", "decisions"), keys=("n",))


def remove(connection: Connection, numbers: Iterable[int], *, keep_bodies: bool = False) -> dict[int, int]:
    """Remove messages with what their traces say; give how many repeats of them went, by source number.

    Their bodies go, too, where the state has them, unless something else will point at them.
    """
    gone = list(numbers)
    outbox.remove(connection, gone)
    if not keep_bodies:
        for name in ("messages", "duplicates"):
            _remove_bodies(connection, f"SELECT place, lead FROM {name} WHERE n IN {LISTED}", listed(gone))
    rows = fetch(
        connection,
        "SELECT m.source, count(*) FROM duplicates d JOIN messages m ON m.n = d.n "
        f"WHERE d.n IN {LISTED} GROUP BY m.source",
        listed(gone),
    )
    for table in (schema.duplicates, schema.changes, schema.messages):
        delete(connection, table, [(number,) for number in gone], keys=("n",))
    return {row[0]: row[1] for row in rows}


def _remove_bodies(connection: Connection, statement: str, *parameters: object) -> None:
    if on_postgres(connection):
        stored_bodies.remove(connection, [Place(*row) for row in fetch(connection, statement, *parameters)])


def hashes_of(connection: Connection, numbers: Iterable[int]) -> dict[int, int]:
    """Give the hashes of messages' ids, by number. A part is read whole, for its ids are sorted by their hashes.

    On PostgreSQL that would be everything: who has the bodies at hand makes the hashes anew.
    """
    by_part: dict[int, list[int]] = {}
    for number in numbers:
        by_part.setdefault(part_of(connection, number), []).append(number)
    found: dict[int, int] = {}
    for part, wanted in by_part.items():
        statement = f"SELECT n, hash FROM message_ids WHERE part = ? AND n IN {LISTED}"
        found.update((row[0], row[1]) for row in fetch(connection, statement, part, listed(wanted)))
    return found


def not_kept_of(connection: Connection, identity: int, from_t: int, to_t: int) -> list[int]:
    """Give the numbers of the messages of an identity that no history has, `from_t <= t < to_t`."""
    rows = fetch(
        connection,
        "SELECT n FROM messages WHERE outcome <> 0 AND identity = ? AND t >= ? AND t < ?",
        *(identity, from_t, to_t),
    )
    return [row[0] for row in rows]


def repeats_of(connection: Connection, number: int) -> list[tuple[int, int, int]]:
    """Give the repeats of a message: (row id, place, size)."""
    return [tuple(row) for row in fetch(connection, "SELECT id, place, size FROM duplicates WHERE n = ?", number)]


def move_repeats(connection: Connection, rows: Sequence[tuple[int, int, int]]) -> None:
    """Make repeats those of another message: (its number, conflict, row id)."""
    update(connection, schema.duplicates, rows, columns=("n", "conflict"), keys=("id",))


def add_repeats(connection: Connection, rows: Sequence[tuple[int, int, int, int, int, int]]) -> None:
    """Add repeats: (number of the message that counts, place, size, lead, receivedAt, conflict)."""
    insert(connection, schema.duplicates, rows, columns=("n", "place", "size", "lead", "received", "conflict"))


def add_changes(connection: Connection, rows: Sequence[tuple[int, str]]) -> None:
    """Keep what applying messages changed, for their traces."""
    insert(connection, schema.changes, rows, replace=True)


def add_discards(connection: Connection, rows: Sequence[tuple[object, ...]]) -> None:
    """Add discards: (hash, source, at, code, place, size, full size, lead)."""
    columns = ("hash", "source", "at", "code", "place", "size", "full_size", "lead")
    insert(connection, schema.discards, rows, columns=columns)


def trim_discards(connection: Connection, sources: Iterable[int], now: int) -> dict[int, int]:
    """Let go of a source's oldest discards beyond what is kept; give how many went, by source. `now` is ms UTC."""
    dropped = {}
    where = (
        "FROM discards WHERE source = ?1 AND (at < ?2 OR id <= coalesce("
        "(SELECT id FROM discards WHERE source = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?3), 0))"
    )
    for source in sources:
        meant = (source, now - DISCARD_AGE_MS, MAX_DISCARDS)
        if on_postgres(connection):
            _remove_bodies(connection, f"SELECT place, lead {where}", *meant)
        else:
            noted = f"INSERT INTO let_go (place, size, at) SELECT place, size, at {where} ON CONFLICT DO NOTHING"
            run(connection, noted, *meant)
        gone = run(connection, f"DELETE {where}", *meant)
        if gone > 0:
            dropped[source] = gone
    return dropped


def count(connection: Connection, counts: dict[tuple[int, str], int]) -> None:
    """Add to the counters of (source number, what became of its messages); what nothing became has none."""
    rows = sorted(
        (source, what, more) for (source, what), more in counts.items() if more
    )  # All lock them in one order.
    insert(connection, schema.counters, rows, plus="count")
    if any(more < 0 for more in counts.values()):  # A replaced message had another outcome.
        run(connection, "DELETE FROM counters WHERE count = 0")
