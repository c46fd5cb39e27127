"""People: number the ids that messages carry, link aliases, and find whose each message is (`semantics.md` 3)."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from richpanel.core.identity import ANONYMOUS, MAX_UIDS, UID, Run, Runs, link, moves, owner, split_run
from richpanel.core.stamps import Stamp
from richpanel.process.incoming import Incoming
from richpanel.process.memory import Known, Memory
from richpanel.store import history, identities
from richpanel.store.bulk import fetch

StampOf = Callable[[int], Stamp]
"""Reads the stamp of a stored message by its number."""


class Moved(NamedTuple):
    """What the batch's links change for messages that are stored already.

    `joins`: visitor -> the uid whose they all are. `refolds`: profiles that lose or gain some of an alias's messages.
    """

    joins: dict[int, int]
    refolds: set[int]


def number_ids(connection: Connection, memory: Memory, messages: Sequence[Incoming]) -> None:
    """Give each message the numbers of its identity and of the alias beside it."""
    uids = memory.know(connection, UID, {message.uid for message in messages if message.uid is not None})
    aliases = memory.know(
        connection, ANONYMOUS, {message.anonymous for message in messages if message.anonymous is not None}
    )
    for message in messages:
        if message.uid is None:
            message.identity = 0 if message.anonymous is None else aliases[message.anonymous].number
        else:
            message.identity = uids[message.uid].number
            message.alias = 0 if message.anonymous is None else aliases[message.anonymous].number


def link_aliases(connection: Connection, memory: Memory, kept: list[Incoming], stamp_of: StampOf) -> Moved:
    """Follow the links that messages with both ids make; tell which stored messages they move."""
    aliases = memory.identities[ANONYMOUS]
    links: dict[str, list[Incoming]] = {}
    for message in kept:
        if message.uid is None or message.anonymous is None:
            continue
        runs = aliases[message.anonymous].runs
        if not runs or runs[-1].uid != message.identity or runs[-1].stamp > message.stamp:
            links[message.anonymous] = []
    for message in kept if links else ():
        if message.uid is not None and message.anonymous in links:
            links[message.anonymous].append(message)
    moved = Moved({}, set())
    stored: list[tuple[int, Runs]] = []
    unlinked = [aliases[value] for value in links]
    memory.load_profiles(connection, [alias.number for alias in unlinked if not alias.fresh and not alias.runs])
    for value, messages in links.items():
        alias = aliases[value]
        runs = alias.runs
        for message in sorted(messages, key=lambda found: found.stamp):
            runs = _add_link(connection, alias, runs, message, stamp_of)
        if runs != alias.runs:
            if not alias.fresh:
                _follow(connection, memory, alias, runs, moved)
            alias.runs = runs
            stored.append((alias.number, runs))
    memory.write_identities(connection)
    identities.set_runs(connection, stored)
    return moved


def _add_link(connection: Connection, alias: Known, runs: Runs, message: Incoming, stamp_of: StampOf) -> Runs:
    split = split_run(runs, message.stamp, message.identity)
    resumes = None
    if split is not None and not alias.fresh:
        resumes = _next_link(connection, alias.number, split, message.stamp, stamp_of)
    return link(runs, message.stamp, message.identity, resumes)


def _next_link(connection: Connection, alias: int, run: Run, after: Stamp, stamp_of: StampOf) -> Stamp | None:
    """Find the first stored message after `after` that links the alias to the run's own uid again."""
    rows = fetch(
        connection,
        "SELECT h.t, h.n FROM parts p CROSS JOIN history h ON h.part = p.part JOIN messages m ON m.n = h.n "
        "WHERE h.identity = ? AND h.t >= ? AND m.alias = ? ORDER BY h.t LIMIT 100",
        run.uid,
        after[0],
        alias,
    )
    stamps = sorted(stamp_of(number) for _, number in rows)
    return next((stamp for stamp in stamps if stamp > after), None)


def _follow(connection: Connection, memory: Memory, alias: Known, runs: Runs, moved: Moved) -> None:
    """Find which stored messages of an alias change hands, and how they can follow."""
    changed = moves(alias.runs, runs, MAX_UIDS)
    if not alias.runs:
        visitor = memory.profiles.get(alias.number)
        if visitor is None:
            return
        changed = [move for move in changed if move.from_t <= visitor.seen and visitor.created < move.to_t]
        if len(changed) == 1 and changed[0].new is not None and changed[0].from_t <= visitor.created:
            moved.joins[alias.number] = changed[0].new
            return
    for move in changed:
        if history.any_between(connection, alias.number, move.from_t, move.to_t):
            moved.refolds.add(alias.number if move.old is None else move.old)
            moved.refolds.add(alias.number if move.new is None else move.new)


def find_owners(memory: Memory, kept: Iterable[Incoming]) -> None:
    """Give each message the number of the profile it belongs to, by the links known now."""
    aliases = memory.identities[ANONYMOUS]
    for message in kept:
        if message.uid is not None or message.anonymous is None:
            message.owner = message.identity
            continue
        runs = aliases[message.anonymous].runs
        uid = owner(runs, message.t) if runs else None
        message.owner = message.identity if uid is None else uid
