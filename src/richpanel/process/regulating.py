"""Regulations: what a regulation does to the state, in the transaction of its place in the log (`semantics.md` 10)."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from richpanel.core.identity import UID
from richpanel.core.regulation import Regulation, digest_of, hashed, index_of
from richpanel.process import saved_views, suppressing
from richpanel.process.batch import Applied, apply
from richpanel.process.definitions import Definitions, Watch
from richpanel.process.erasure import Plan, forget, plan
from richpanel.process.incoming import Opened
from richpanel.process.memberships import Members
from richpanel.process.memory import Memory
from richpanel.process.refold import Reader
from richpanel.store import erasing, identities, ledger, refused_rows
from richpanel.store.bodies import Slice
from richpanel.store.ledger import Tombstone


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
    _keep(connection, definitions, watch, regulation, _Found(at, made, stones))
    memory.look_up(connection)
    applied = apply(connection, memory, definitions, opened, log, erased=made)
    _judge_anew(Reader(connection, definitions, log), memory, definitions, regulation, at)
    if made is not None:
        forget(connection, made)
        refused_rows.forget_let_go(connection, [place for place, _ in made.theirs.let_go])
        erasing.add(connection, made.bodies(), regulation.id)
    if row is None or row.status != "FINISHED" or (made is not None and (made.persons or made.rows)):
        erasing.add(connection, [(0, 0)], regulation.id)
    return applied


class _Found(NamedTuple):
    """What a regulation of the instant `at` (ms UTC) is about; without a plan it erases nothing."""

    at: int
    plan: Plan | None
    stones: Sequence[Tombstone]


def _keep(
    connection: Connection, definitions: Definitions, watch: Watch, regulation: Regulation, found: _Found
) -> None:
    """Write the ledger, and take the persons out of the saved views, which stand beside it."""
    at, made, stones = found
    values = set() if made is None else saved_views.values_of(connection, made)
    hashes = () if made is None else made.hashes.values()

    def keep(ledgers: Connection) -> None:
        tables = {} if made is None else dict(made.tables)
        mended = [] if made is None else saved_views.mend(ledgers, definitions, values, stones, at)
        if mended:
            tables[saved_views.SAVED_VIEWS] = digest_of(definitions.account.hash_key, mended)
        ledger.begin(ledgers, regulation, at, tombstones=stones, messages=hashes, erased=tables)

    watch.write(keep)


def _judge_anew(reader: Reader, memory: Memory, definitions: Definitions, regulation: Regulation, at: int) -> None:
    """Judge memberships of who is kept out from now on, or no longer: whether they are to be told is another now."""
    plans = definitions.ready
    if not plans or regulation.type == "DELETE":
        return
    wanted = {each.hashed for each in regulation.ids if each.kind == UID}
    found = identities.by_hash(reader.connection, map(index_of, wanted))
    uids = [number for number, kind, value, _ in found if hashed(memory.secret, kind, value) in wanted]
    members = Members(reader, memory, plans, at)
    members.judge((number, uid) for number in plans.ready for uid in uids)
    members.write()
