"""Looking for people who were erased: whether the state has anything of them (`richpanel erase --verify`)."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sqlalchemy import Connection

from richpanel.core.identity import UID
from richpanel.core.regulation import Hashed, Interval, hashed, index_of
from richpanel.store import history, identities
from richpanel.store import message_rows as messages
from richpanel.store.bulk import LISTED, fetch, listed
from richpanel.store.history import Span

_CHUNK: Final = 5_000
Covered = Mapping[Hashed, Sequence[Interval]]
"""When each erased id was theirs."""


def rows_of(connection: Connection, secret: bytes, covered: Covered) -> dict[str, int]:
    """Count what the state has of erased ids at a time when they were theirs, by what it is."""
    found: Counter[str] = Counter()
    wanted = sorted(covered)
    for start in range(0, len(wanted), _CHUNK):
        chunk = wanted[start : start + _CHUNK]
        for number, kind, value, _ in identities.by_hash(connection, map(index_of, chunk)):
            for from_t, to_t in covered.get(hashed(secret, kind, value), ()):
                span = Span(number, from_t, to_t)
                found["messages"] += len(history.numbers(connection, span))
                found["messages"] += len(messages.not_kept_of(connection, number, from_t, to_t))
                if kind == UID:
                    found["addresses"] += _count(connection, "addresses WHERE uid = ? AND t >= ? AND t < ?", span)
                    found["pieces"] += _count(connection, "pieces WHERE identity = ? AND high >= ? AND low < ?", span)
    return {kind: count for kind, count in found.items() if count}


def _count(connection: Connection, where: str, span: Span) -> int:
    return int(fetch(connection, f"SELECT count(*) FROM {where}", *span)[0][0])


def messages_among(connection: Connection, hashes: Iterable[int]) -> int:
    """Count the messages that have one of these hashes of (source, messageId)."""
    wanted, count = sorted(hashes), 0
    for start in range(0, len(wanted), _CHUNK):
        chunk = listed(wanted[start : start + _CHUNK])
        statement = f"SELECT count(*) FROM parts p CROSS JOIN message_ids m ON m.part = p.part WHERE m.hash IN {LISTED}"
        count += fetch(connection, statement, chunk)[0][0]
    return count
