"""Removal: take stored messages out of the state, so that what is left is the fold of the rest (`semantics.md` 1).

The fold is a union, and a union cannot forget (decision 0001). So this takes away what stands of the messages
themselves, shortens the links that they made, and names what must be folded afresh: the batch does that with what its
own links move, in the same transaction.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from typing import NamedTuple

from richpanel.core.channel import CHANNEL_TYPE
from richpanel.core.identity import ANONYMOUS, MAX_UIDS, moves, owner, unlink
from richpanel.core.ids import hash64
from richpanel.core.stamps import Stamp
from richpanel.process.deciding import KEPT, OUTCOMES
from richpanel.process.incoming import Incoming
from richpanel.process.manual import relink
from richpanel.process.memory import Memory
from richpanel.process.people import changing_hands, next_link
from richpanel.process.pieces import give_up
from richpanel.process.refold import Reader
from richpanel.store import addresses, channels, history, identities, manual_rows
from richpanel.store import message_rows as messages
from richpanel.store import order_rows as orders
from richpanel.store.message_rows import StoredMessage
from richpanel.store.order_rows import OrderKey


class Removed(NamedTuple):
    """What must follow: profiles and orders to fold afresh; addresses and aliases that may mean somebody else now."""

    profiles: set[int]
    orders: set[OrderKey]
    addresses: set[int]
    aliases: set[int]


def nothing_removed() -> Removed:
    """Give what follows from taking nothing away."""
    return Removed(set(), set(), set(), set())


def remove(
    reader: Reader, memory: Memory, numbers: Collection[int], removed: Removed, *, keep_bodies: bool = False
) -> None:
    """Take messages away, by number, and note in `removed` what must follow.

    Their repeats go with them, and so do their bodies unless something else will point at those.
    Ids, addresses and names stay numbered, and may belong to nobody then.
    """
    if not numbers:
        return
    rows = messages.load(reader.connection, numbers)
    opened = {message.n: message for message in reader.open(list(rows))}
    by_hand = [row.n for row in rows.values() if row.type > CHANNEL_TYPE]
    kept = [row for row in rows.values() if row.outcome == KEPT and row.type <= CHANNEL_TYPE]
    relinked = manual_rows.touched(reader.connection, by_hand) if by_hand else set()
    known = {row.uid for alias in relinked for row, _ in manual_rows.of_alias(reader.connection, alias)}
    _find_owners(reader, kept, removed)
    _find_orders(reader, {opened[row.n].stamp for row in kept}, removed)
    _take_away(reader, memory, rows, opened)
    counts: Counter[tuple[int, str]] = Counter()
    for source, repeats in messages.remove(reader.connection, rows, keep_bodies=keep_bodies).items():
        counts[source, "duplicate"] -= repeats
    for row in rows.values():
        counts[row.source, OUTCOMES[row.outcome]] -= 1
    messages.count(reader.connection, counts)
    links: defaultdict[int, list[StoredMessage]] = defaultdict(list)
    for row in kept:
        removed.addresses.update(addresses.remove(reader.connection, row.identity, opened[row.n].stamp))
        if row.alias is not None:
            links[row.alias].append(row)
    removed.aliases.update(links)
    if memory.any_manual:
        manual_rows.remove(reader.connection, by_hand)
        relinked |= manual_rows.among(reader.connection, links)
        profiles, aliases = relink(reader, memory, relinked, known)
        removed.profiles.update(profiles)
        removed.aliases.update(aliases)
    for alias, linking in links.items():
        if alias in relinked:
            continue
        made = [(opened[row.n].stamp, row.identity) for row in linking]
        removed.profiles.update(_unlink(reader, memory, alias, made))


def _find_owners(reader: Reader, kept: list[StoredMessage], removed: Removed) -> None:
    """Find whose the messages were."""
    known = identities.by_number(reader.connection, {row.identity for row in kept})
    for row in kept:
        kind, _, runs = known[row.identity]
        uid = None
        if kind == ANONYMOUS:
            removed.aliases.add(row.identity)
            uid = owner(runs, row.t)
        removed.profiles.add(row.identity if uid is None else uid)


def _find_orders(reader: Reader, stamps: set[Stamp], removed: Removed) -> None:
    """Find the orders that have events of these stamps, among those in which the messages' owners took part."""
    for key, order in orders.of_profiles(reader.connection, removed.profiles).items():
        if any(entry.stamp in stamps for entry in order.state.entries):
            removed.orders.add(key)


def _take_away(reader: Reader, memory: Memory, rows: dict[int, StoredMessage], opened: dict[int, Incoming]) -> None:
    """Delete what points at the messages."""
    connection = reader.connection
    kept = [row for row in rows.values() if row.outcome == KEPT and row.type <= CHANNEL_TYPE]
    history.remove(connection, [(row.identity, row.t, row.n) for row in kept])
    give_up(connection, memory, kept)
    channels.remove(connection, [row.n for row in kept if row.type == CHANNEL_TYPE])
    hashes = [(hash64(memory.secret, one.source.id, one.message_id), one.n) for one in opened.values()]
    memory.message_ids.remove(connection, hashes)


def _unlink(reader: Reader, memory: Memory, alias: int, links: Iterable[tuple[Stamp, int]]) -> set[int]:
    """Take links away, given as stamp and uid, from an alias; give the profiles between which its messages move."""
    connection = reader.connection
    _, value, before = identities.by_number(connection, [alias])[alias]
    runs = before
    for stamp, uid in sorted(links):
        if any(run.stamp == stamp for run in runs):
            runs = unlink(runs, stamp, next_link(connection, alias, uid, stamp, reader.stamp))
    if runs == before:
        return set()
    identities.relink(connection, alias, runs)
    memory.identities.relink(value, runs)
    return changing_hands(connection, alias, moves(before, runs, MAX_UIDS))
