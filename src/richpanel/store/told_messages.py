"""What was told of somebody, one by one: the Engage source's own identifies, which no history has, read again."""

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
from richpanel.store.bulk import fetch
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
