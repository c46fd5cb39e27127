"""Replays: decide about stored messages again, and fold those that the account did not keep and does now.

A message that the account keeps stays kept: what it did is not taken back by a replay. Whatever names a message twice,
a chunk that was written again after a crash for one, finds the second time that nothing is left to do. Persons who were
erased are safe from it: their messages went with them, and what is not there cannot be replayed.
"""

from collections import Counter
from collections.abc import Collection

import msgspec
from sqlalchemy import Connection

from richpanel.core.channel import CHANNEL_TYPE
from richpanel.core.replaying import Again
from richpanel.process import outgoing
from richpanel.process.batch import Applied, fold
from richpanel.process.deciding import KEPT, OUTCOMES, decide_again
from richpanel.process.definitions import Definitions
from richpanel.process.incoming import Incoming, Opened
from richpanel.process.intake import Taken
from richpanel.process.memory import Memory
from richpanel.process.people import number_ids
from richpanel.process.refold import Reader
from richpanel.process.removal import nothing_removed
from richpanel.process.repeats import Settled
from richpanel.store import message_rows as messages
from richpanel.store.bodies import Slice
from richpanel.store.message_rows import StoredMessage


def replay(
    connection: Connection, memory: Memory, definitions: Definitions, opened: Opened, log: Slice, *, named: Again
) -> Applied:
    """Apply the batch that a chunk of a replay is. The caller commits; after a failure `memory` must be thrown away.

    While a state is made anew nothing is left to decide: the newest decisions are taken up with the messages.
    """
    reader = Reader(connection, definitions, log)
    memory.identities.tombstones = definitions.tombstones
    kept: list[Incoming] = []
    connectors: dict[int, int] = {}
    if memory.earlier is None:
        rows = _rows(connection, memory, named.messages)
        found = reader.open(rows)
        connectors = decide_again(connection, memory, definitions, named, [(rows[m.n], m) for m in found])
        _rewrite(connection, rows, found)
        _put_out(connection, rows, found)
        kept = [message for message in found if message.n in connectors]
        number_ids(connection, memory, kept)
    taken = Taken(opened, Settled(kept, [], []), connectors, is_written=True)
    applied = fold(reader, memory, definitions, taken, nothing_removed())
    return msgspec.structs.replace(applied, messages=0)  # None of them is new.


def _rows(connection: Connection, memory: Memory, hashes: Collection[int]) -> dict[int, StoredMessage]:
    """Find the messages that a replay names, of those that are decided about."""
    found = memory.message_ids.find(connection, list(hashes))
    rows = messages.load(connection, {number for numbers in found.values() for number in numbers})
    return {row.n: row for row in rows.values() if row.type < CHANNEL_TYPE and row.decisions is not None}


def _rewrite(connection: Connection, rows: dict[int, StoredMessage], found: list[Incoming]) -> None:
    """Store the decisions, and count anew what became of the messages; those to be folded are counted there."""
    changed = [m for m in found if (m.outcome, m.decision) != (rows[m.n].outcome, rows[m.n].decisions)]
    messages.decide(connection, [(m.outcome, m.decision, m.n) for m in changed])
    counts: Counter[tuple[int, str]] = Counter()
    for message in changed:
        before = rows[message.n].outcome
        if before != message.outcome:
            counts[message.source.number, OUTCOMES[before]] -= 1
            if message.outcome != KEPT:
                counts[message.source.number, OUTCOMES[message.outcome]] += 1
    messages.count(connection, counts)


def _put_out(connection: Connection, rows: dict[int, StoredMessage], found: list[Incoming]) -> None:
    """Put what a destination outside gets now into the outbox, where it would be if nothing had been in its way.

    That is behind what is taken over: the replay itself makes a delivery of it (`store.replay_deliveries`).
    """
    for message in found:
        message.alias = rows[message.n].alias or 0
    outgoing.write(connection, found)
