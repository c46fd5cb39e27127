"""Suppression: calls of somebody who is kept out, as far as the door has not refused them (`semantics.md` 10)."""

from collections.abc import Iterable

from sqlalchemy import Connection

from richpanel.core.codes import Code
from richpanel.core.identity import ANONYMOUS, UID
from richpanel.core.ids import clean_id
from richpanel.core.regulation import Hashed, Regulation, hashed, index_of
from richpanel.process.incoming import Incoming, Opened, Private
from richpanel.process.memory import Memory
from richpanel.store import identities, suppressed
from richpanel.store.ledger import Tombstone
from richpanel.store.suppressed import Kept


def keep_out(connection: Connection, memory: Memory, opened: Opened) -> Opened:
    """Take out of a batch what is of uids that are kept out, and of aliases whose latest link is to one of them."""
    if not memory.suppressed:
        return opened
    hashes: dict[tuple[int, str], Hashed] = {}

    def known(kind: int, value: str) -> Kept | None:
        key = (kind, value)
        if key not in hashes:
            hashes[key] = hashed(memory.secret, kind, value)
        return memory.suppressed.get(hashes[key])

    private: list[Private] = []
    arrived: list[Incoming] = []
    for message in opened.arrived:
        uid = _uid_of(message)
        kind, value = (ANONYMOUS, message.anonymous) if uid is None else (UID, uid)
        if message.manual is None and value is not None and known(kind, value) is not None:
            private.append(Private(message.source.id, message.received, Code.SUPPRESSED, message.place, message.size))
            continue
        arrived.append(message)
        if uid is not None and message.anonymous is not None:
            alias = known(ANONYMOUS, message.anonymous)
            if alias is not None and message.t >= alias.since:  # Somebody else has logged in there.
                suppressed.let_aliases_in(connection, [alias.hashed])
                del memory.suppressed[alias.hashed]
    return opened._replace(arrived=arrived, private=[*opened.private, *private])


def _uid_of(message: Incoming) -> str | None:
    return message.uid if message.activity is None else clean_id(message.activity.sender.uid)


def follow(connection: Connection, secret: bytes, regulation: Regulation, at: int, stones: Iterable[Tombstone]) -> None:
    """Keep the uids of a regulation out from now on, or no longer. `stones` are its tombstones, where it erases."""
    uids = [each.hashed for each in regulation.ids if each.kind == UID]
    if regulation.type == "UNSUPPRESS":
        suppressed.let_in(connection, uids)
    if not regulation.suppresses:
        return
    rows = {Kept(uid, UID, uid, at) for uid in uids}
    wanted = set(uids)
    for number, kind, value, _ in identities.by_hash(connection, map(index_of, uids)):
        uid = hashed(secret, kind, value)
        if kind == UID and uid in wanted:
            for _, alias_kind, alias, runs in identities.aliases(connection, number):
                if runs[-1].uid == number:
                    rows.add(Kept(hashed(secret, alias_kind, alias), alias_kind, uid, runs[-1].stamp[0]))
    # Of whom nothing is left, the tombstones tell which aliases were theirs to the end.
    theirs = (stone for stone in stones if stone.kind == ANONYMOUS and stone.parts and stone.person in wanted)
    known = {row.hashed for row in rows}
    rows.update(Kept(s.hashed, s.kind, s.person, at) for s in theirs if s.hashed not in known)
    suppressed.add(connection, rows)
