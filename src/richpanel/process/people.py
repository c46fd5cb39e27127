"""People: number the ids that messages carry, link aliases, and find whose each message is (`semantics.md` 3)."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from richpanel.core.identity import (
    ANONYMOUS,
    MAX_UIDS,
    NOBODY,
    UID,
    Move,
    Runs,
    from_links,
    link,
    moves,
    owner,
    split_run,
)
from richpanel.core.manual import LINK
from richpanel.core.stamps import Stamp
from richpanel.process.incoming import Incoming
from richpanel.process.known import Known
from richpanel.process.memory import Memory
from richpanel.store import history, identities, manual_rows
from richpanel.store.bulk import fetch

StampOf = Callable[[int], Stamp]
"""Reads the stamp of a stored message by its number."""


class Moved(NamedTuple):
    """What the batch's links change for messages that are stored already.

    `joins`: visitor -> the uid whose they all are. `refolds`: profiles that lose or gain some of an alias's messages.
    `aliases`: those stored before whose runs are others now.
    """

    joins: dict[int, int]
    refolds: set[int]
    aliases: set[int]


def number_ids(connection: Connection, memory: Memory, messages: Sequence[Incoming]) -> None:
    """Give each message the numbers of its identity and of the alias beside it."""
    uids = memory.identities.know(connection, UID, {message.uid for message in messages if message.uid is not None})
    aliases = memory.identities.know(
        connection, ANONYMOUS, {message.anonymous for message in messages if message.anonymous is not None}
    )
    for message in messages:
        if message.uid is None:
            message.identity = 0 if message.anonymous is None else aliases[message.anonymous].number
        else:
            message.identity = uids[message.uid].number
            message.alias = 0 if message.anonymous is None else aliases[message.anonymous].number


def link_aliases(
    connection: Connection, memory: Memory, kept: list[Incoming], stamp_of: StampOf, refolds: Iterable[int] = ()
) -> Moved:
    """Follow the links that messages with both ids make; tell which stored messages they move.

    `refolds` are the profiles that are to be folded afresh already.
    """
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
    moved = Moved({}, set(refolds), set())
    by_hand = manual_rows.among(connection, [aliases[value].number for value in links]) if memory.any_manual else set()
    stored: list[tuple[int, Runs]] = []
    unlinked = [aliases[value] for value in links]
    memory.load_profiles(connection, [alias.number for alias in unlinked if not alias.fresh and not alias.runs])
    for value, messages in links.items():
        alias = aliases[value]
        made = sorted((message.stamp, message.identity) for message in messages)
        if alias.number in by_hand:
            made += parted(alias.runs)
            runs = afresh(connection, alias.number, {run.uid for run in alias.runs}, stamp_of, made)
        else:
            runs = _add_links(connection, alias, made, stamp_of)
        if runs != alias.runs:
            if not alias.fresh:
                _follow(connection, memory, alias, runs, moved)
                moved.aliases.add(alias.number)
                stored.append((alias.number, runs))
            alias.runs = runs
    memory.identities.write(connection)
    identities.set_runs(connection, stored)
    return moved


def _add_links(connection: Connection, alias: Known, made: list[tuple[Stamp, int]], stamp_of: StampOf) -> Runs:
    runs = alias.runs
    for stamp, uid in made:
        split = split_run(runs, stamp, uid)
        resumes = None
        if split is not None and not alias.fresh:
            resumes = next_link(connection, alias.number, split.uid, stamp, stamp_of)
        runs = link(runs, stamp, uid, resumes)
    return runs


def afresh(
    connection: Connection, alias: int, known: set[int], stamp_of: StampOf, made: Iterable[tuple[Stamp, int]] = ()
) -> Runs:
    """Give the runs of an alias from all its stored links, of calls and by hand, and those just `made`.

    `known` are uids that may have links: all that have a run. Others were cut by hand, and are found by that.
    """
    links = list(made)
    cuts: dict[int, Stamp] = {}
    uids = set(known)
    for row, counts in manual_rows.of_alias(connection, alias):
        uids.add(row.uid)
        if counts and row.kind == LINK:
            links.append((row.stamp, row.uid))
        elif counts:
            cuts[row.uid] = max(cuts.get(row.uid, row.stamp), row.stamp)
    links += [(stamp_of(number), uid) for uid, number in history.linking(connection, uids, alias)]
    return from_links(links, cuts)


def parted(runs: Runs) -> list[tuple[Stamp, int]]:
    """Give where an alias starts afresh, as links to nobody: no message tells of it."""
    return [(run.stamp, NOBODY) for run in runs if run.uid == NOBODY]


def next_link(connection: Connection, alias: int, uid: int, after: Stamp, stamp_of: StampOf) -> Stamp | None:
    """Find the first stored message after `after` that links the alias to this uid."""
    statement = (
        "FROM parts p CROSS JOIN history h ON h.part = p.part JOIN messages m ON m.n = h.n "
        "WHERE h.identity = ? AND m.alias = ? AND h.t"
    )

    def first_at(t: int) -> Stamp | None:
        stamps = [stamp_of(row[0]) for row in fetch(connection, f"SELECT h.n {statement} = ?", uid, alias, t)]
        return min((stamp for stamp in stamps if stamp > after), default=None)

    found = first_at(after[0])
    if found is not None:
        return found
    ((t,),) = fetch(connection, f"SELECT min(h.t) {statement} > ?", uid, alias, after[0])
    return None if t is None else first_at(t)


def _follow(connection: Connection, memory: Memory, alias: Known, runs: Runs, moved: Moved) -> None:
    """Find which stored messages of an alias change hands, and how they can follow."""
    changed = moves(alias.runs, runs, MAX_UIDS)
    if not alias.runs and alias.number not in moved.refolds:
        visitor = memory.profiles.get(alias.number)
        if visitor is None:
            return
        changed = [move for move in changed if move.from_t <= visitor.seen and visitor.created < move.to_t]
        if len(changed) == 1 and changed[0].new is not None and changed[0].from_t <= visitor.created:
            moved.joins[alias.number] = changed[0].new
            return
    moved.refolds.update(changing_hands(connection, alias.number, changed))


def changing_hands(connection: Connection, alias: int, changed: Iterable[Move]) -> set[int]:
    """Give the profiles between which stored messages of an alias move."""
    found = set()
    for move in changed:
        if history.any_between(connection, alias, move.from_t, move.to_t):
            found.add(alias if move.old is None else move.old)
            found.add(alias if move.new is None else move.new)
    return found


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
