"""What was told of somebody, one by one: the Engage source's own identifies, which no history has, read again."""

from collections import defaultdict
from collections.abc import Collection
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection

from richpanel.core.announcing import announced
from richpanel.core.identity import UID
from richpanel.core.message import TYPES
from richpanel.core.money import encode_exact
from richpanel.core.routing import Decision
from richpanel.store import identities, message_rows, names
from richpanel.store.account import AccountSettings
from richpanel.store.bodies import Bodies, Slice, bodies_of
from richpanel.store.bulk import LISTED, fetch, listed
from richpanel.store.message_rows import COLUMNS, StoredMessage
from richpanel.store.messages import OUTCOMES

_OPENED = 2_000
"""How many of somebody's are opened: of all audiences and computed traits together, the newest."""
_IDENTIFY, _TOLD = TYPES.index("identify"), OUTCOMES.index("told")


class ToldMessage(NamedTuple):
    """A value that was told: from when on it held (ms UTC), and the message that said so, with its place in the log.

    `decisions` are those of the destinations it was for.
    """

    value: msgspec.Raw
    t: int
    message_id: str
    source: int
    place: int
    decisions: list[Decision]


def list_told(
    connection: Connection, log: Slice | Bodies, account: AccountSettings, uid: str, computation: str, *, limit: int
) -> list[ToldMessage]:
    """List what was told of a uid by an audience or computed trait (its id), newest first, as far as it is kept."""
    known = identities.find(connection, account.hash_key, UID, [uid]).get(uid)
    if known is None:
        return []
    rows = fetch(
        connection,
        f"SELECT {COLUMNS} FROM messages WHERE outcome <> 0 AND identity = ? AND outcome = ? AND type = ? "
        "ORDER BY n DESC LIMIT ?",
        *(known[0], _TOLD, _IDENTIFY, _OPENED),
    )
    messages = sorted((StoredMessage(*row) for row in rows), key=lambda row: row.t, reverse=True)
    texts = names.by_number(connection, {row.decisions for row in messages if row.decisions is not None})
    bodies = bodies_of(connection, log)
    bodies.ahead(messages)
    found: list[ToldMessage] = []
    for row in messages:
        body = message_rows.kept(bodies, row.place, row.size)
        if body is None or len(found) == limit:
            continue
        said = announced(body)
        if said.id == computation:
            value = msgspec.Raw(encode_exact(said.value))
            decisions = msgspec.json.decode(texts.get(row.decisions or 0, "[]"), type=list[Decision])
            id_ = message_rows.message_id(bodies, row)
            found.append(ToldMessage(value, row.t, id_, row.source, row.place, decisions))
    return found


def last_kept(connection: Connection, computation: int, uids: Collection[int], destination: str) -> dict[int, set[int]]:
    """Give messages that may have told last of these uids, and that a destination (its id) keeps: numbers, by uid.

    Told last is what has its time. What others told of the same uid at that millisecond is among them.
    """
    if not uids:
        return {}
    rows = fetch(
        connection,
        "SELECT o.uid, m.n, m.decisions FROM told o CROSS JOIN messages m ON m.identity = o.uid AND m.outcome <> 0 "
        f"WHERE o.computation = ? AND o.uid IN {LISTED} AND m.t = o.t AND m.outcome = ? AND m.type = ?",
        *(computation, listed(uids), _TOLD, _IDENTIFY),
    )
    texts = names.by_number(connection, {decisions for _, _, decisions in rows if decisions is not None})
    keeping = {
        number
        for number, text in texts.items()
        for made in msgspec.json.decode(text, type=list[Decision])
        if made.destination == destination and made.outcome == "kept"
    }
    found: defaultdict[int, set[int]] = defaultdict(set)
    for uid, number, decisions in rows:
        if decisions in keeping:
            found[uid].add(number)
    return dict(found)


def numbers_of(connection: Connection, hashes: Collection[int]) -> list[tuple[int, int]]:
    """Give the messages with these hashes of ids: (hash, number)."""
    rows = fetch(
        connection,
        f"SELECT i.hash, i.n FROM parts p CROSS JOIN message_ids i ON i.part = p.part WHERE i.hash IN {LISTED}",
        listed(hashes),
    )
    return [(row[0], row[1]) for row in rows]
