"""Regulations: what a regulation does to the state, in the transaction of its place in the log (`semantics.md` 10)."""

from sqlalchemy import Connection

from richpanel.core.regulation import Regulation
from richpanel.process import suppressing
from richpanel.process.batch import Applied, apply
from richpanel.process.definitions import Definitions, Watch
from richpanel.process.erasure import forget, plan
from richpanel.process.incoming import Opened
from richpanel.process.memory import Memory
from richpanel.process.refold import Reader
from richpanel.store import erasing, ledger, refused_rows
from richpanel.store.bodies import Slice


def regulate(
    connection: Connection,
    memory: Memory,
    definitions: Definitions,
    opened: Opened,
    log: Slice,
    *,
    regulation: Regulation,
    watch: Watch,
) -> Applied:
    """Apply the batch that a regulation is. The caller commits, and throws `memory` away: numbers are given again.

    The ledger is written first, so that no crash leaves a person erased whom nothing keeps out.
    """
    at = opened.received_at
    row = watch.look_up(lambda ledgers: ledger.find(ledgers, regulation.id))
    stones = watch.look_up(lambda ledgers: ledger.tombstones_of(ledgers, regulation.id))
    made = None
    if regulation.deletes:
        made = plan(Reader(connection, definitions, log), definitions, regulation, at, stones)
        stones = made.tombstones
    suppressing.follow(connection, memory.secret, regulation, at, stones)
    hashes = () if made is None else made.hashes.values()
    tables = {} if made is None else made.tables
    watch.write(
        lambda ledgers: ledger.begin(ledgers, regulation, at, tombstones=stones, messages=hashes, erased=tables)
    )
    applied = apply(connection, memory, definitions, opened, log, erased=made)
    if made is not None:
        forget(connection, made)
        refused_rows.forget_let_go(connection, [place for place, _ in made.theirs.let_go])
        erasing.add(connection, made.bodies(), regulation.id)
    if row is None or row.status != "FINISHED" or (made is not None and (made.persons or made.rows)):
        erasing.add(connection, [(0, 0)], regulation.id)
    return applied
