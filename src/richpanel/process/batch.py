"""A batch: records of the log become state, in one transaction with the log position. Read `apply` top to bottom."""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence

import msgspec
from sqlalchemy import Connection

from richpanel.core.channel import CHANNEL_TYPE
from richpanel.process import leaving, manual, outgoing, pieces
from richpanel.process.channels import Addresses, Resolver, owner_of
from richpanel.process.deciding import KEPT, OUTCOMES, TOLD
from richpanel.process.definitions import Definitions
from richpanel.process.erasure import Plan, take_out
from richpanel.process.folding import Folding
from richpanel.process.incoming import Incoming, Opened, Private, Refused
from richpanel.process.intake import Taken, take_in, write_rows
from richpanel.process.memberships import Members
from richpanel.process.memory import Memory
from richpanel.process.orders import Orders, of_message
from richpanel.process.people import Moved, find_owners, link_aliases
from richpanel.process.refold import Reader, refold, refold_orders
from richpanel.process.removal import Removed, nothing_removed, remove
from richpanel.process.repeats import Settled, settle
from richpanel.process.suppressing import keep_out
from richpanel.store import addresses, channels, erasing, history, identities, traffic
from richpanel.store import message_rows as messages
from richpanel.store.bodies import Slice

_encode = msgspec.json.Encoder().encode


class Applied(msgspec.Struct):
    """What a batch was: its messages and discards, and the position up to which the log is applied now.

    `private` is what was refused for privacy. Where it `owes`, the files are to be scrubbed (`process.scrubbing`).
    """

    position: int
    messages: int
    repeats: int
    discards: int
    received_at: int
    private: Sequence[Private] = ()
    owes: bool = False


def apply(
    connection: Connection,
    memory: Memory,
    definitions: Definitions,
    opened: Opened,
    log: Slice,
    *,
    without: Collection[int] = (),
    erased: Plan | None = None,
) -> Applied:
    """Apply records to the state. The caller commits; after a failure `memory` must be thrown away.

    `without` names stored messages that are taken away before, so that the state is as if they had never come; `erased`
    tells of persons who are (`process.erasure`). `log` reads the bodies that stand there.
    """
    reader = Reader(connection, definitions, log)
    memory.identities.tombstones = definitions.tombstones
    opened = keep_out(connection, memory, opened)
    removed = nothing_removed()
    remove(reader, memory, without, removed)
    if erased is not None:
        take_out(reader, memory, erased, removed)
    settled = settle(connection, memory, opened.arrived, reader.bodies)
    remove(reader, memory, settled.replaced, removed, keep_bodies=True)
    return fold(reader, memory, definitions, take_in(connection, memory, definitions, opened, settled), removed)


def fold(
    reader: Reader,
    memory: Memory,
    definitions: Definitions,
    taken: Taken,
    removed: Removed,
) -> Applied:
    """Give what is taken in to whom it concerns. The caller commits; after a failure `memory` must be thrown away.

    Where the rows of `taken` are not written yet they are.
    """
    connection, opened, settled = reader.connection, taken.opened, taken.settled
    kept = [message for message in settled.messages if message.outcome == KEPT]
    people = [message for message in kept if message.kind < CHANNEL_TYPE]
    if len(people) != len(kept):
        profiles, aliases = manual.follow(reader, memory, [m for m in kept if m.kind > CHANNEL_TYPE])
        removed.profiles.update(profiles)
        removed.aliases.update(aliases)
        kept = [message for message in kept if message.kind <= CHANNEL_TYPE]

    carried = addresses_in(people, definitions).write(connection, memory)
    moved = link_aliases(connection, memory, people, reader.stamp, removed.profiles)
    resolver = Resolver(connection, memory, definitions.account)
    activity = resolver.number([message for message in kept if message.kind == CHANNEL_TYPE])
    memory.identities.write(connection)
    find_owners(memory, people)
    for message in kept:
        if message.kind == CHANNEL_TYPE:
            message.owner = owner_of(connection, message.identity, message.t)

    if not taken.is_written:
        write_rows(connection, memory, taken)
    if definitions.outside:
        outgoing.write(connection, settled.messages)
    history.add(connection, [(message.identity, message.t, message.n, message.kind) for message in kept])
    channels.add(connection, activity)
    removed.addresses.update(carried)
    _follow_channels(connection, resolver, kept, removed, moved)

    folding = Folding(connection, memory, definitions.account)
    orders = Orders(connection, definitions.account)
    groups = _by_owner(kept)
    _join(folding, orders, groups, moved)
    apart = settled.numbers
    before = refold(reader, folding, moved.refolds, orders, apart=apart)
    refold_orders(reader, memory, orders, removed.orders, apart=apart)
    folding.read_ahead(groups)
    for owner, group in groups.items():
        folding.fold(owner, group)
    folding.keep_figures(before)
    events = _order_events(people, taken.connectors)
    orders.add(folding, events)
    pieces.grow(folding, groups, {message.n: key[1] for key, message, _ in events})
    orders.take_of(folding.new_customers)
    orders.write(folding)
    members = Members(reader, memory, definitions.ready, opened.received_at) if definitions.computes else None
    if members is not None:
        told = members.take_told([message for message in settled.messages if message.outcome == TOLD])
        leaving.leave_with(folding, members, told)
    folding.write(_uids(connection, folding))
    if members is not None:
        members.add(groups)
        members.follow(folding, moved)
        members.write()

    _write_traces(connection, folding, settled, opened.refused)
    if opened.again is None:  # What a replay decides about anew arrived long ago.
        traffic.count(connection, _arrivals(settled, opened.refused), opened.received_at)
    erasing.add(connection, [(each.place, each.size) for each in opened.private])
    memory.advance(connection, opened.end, opened.received_at)
    counts = len(settled.messages), len(settled.repeats), len(opened.refused)
    return Applied(
        opened.end, *counts, opened.received_at, opened.private, bool(opened.private) or opened.regulation is not None
    )


def addresses_in(people: list[Incoming], definitions: Definitions) -> Addresses:
    """Note the addresses that messages carry."""
    found = Addresses(definitions.account)
    for message in people:
        found.note(message)
    return found


def _follow_channels(
    connection: Connection, resolver: Resolver, kept: list[Incoming], touched: Removed, moved: Moved
) -> None:
    """Move channel activity whose sender became known, or is no more; both sides are folded afresh.

    Only activity of this batch is not in a profile yet. `touched` has the addresses that this batch's messages carry.
    """
    if not channels.any_at_all(connection):
        return
    arrived = {message.n: message for message in kept if message.kind == CHANNEL_TYPE}
    people = [message for message in kept if message.kind != CHANNEL_TYPE]
    uids = {message.owner for message in people} | moved.refolds | set(moved.joins.values())
    aliases = {message.alias or message.identity for message in people if message.anonymous is not None}
    named = touched.addresses | addresses.of_uids(connection, uids)
    for row, t, old in resolver.follow(named, aliases | touched.aliases):
        owner = owner_of(connection, row.identity, t)
        if row.n in arrived:
            arrived[row.n].owner = owner
        else:
            moved.refolds.update((owner_of(connection, old, t), owner))


def _by_owner(kept: list[Incoming]) -> dict[int, list[Incoming]]:
    groups: defaultdict[int, list[Incoming]] = defaultdict(list)
    for message in kept:
        groups[message.owner].append(message)
    return groups


def _join(folding: Folding, orders: Orders, groups: dict[int, list[Incoming]], moved: Moved) -> None:
    """Give visitors' profiles to those who they turned out to be; where one of both is folded afresh, both are."""
    for visitor, uid in list(moved.joins.items()):
        if visitor in moved.refolds or uid in moved.refolds:
            moved.refolds.update((visitor, uid))
            del moved.joins[visitor]
    folding.load({*groups, *moved.joins, *moved.joins.values()})
    joining: defaultdict[int, list[int]] = defaultdict(list)
    for visitor, uid in moved.joins.items():
        joining[uid].append(visitor)
    for uid, visitors in joining.items():
        folding.join(visitors, uid, groups.get(uid, []))
    if moved.joins:
        orders.hand_over(moved.joins)


def _order_events(
    people: list[Incoming], connectors: dict[int, int]
) -> list[tuple[tuple[int, str], Incoming, dict[str, object]]]:
    events = []
    for message in people:
        found = of_message(message)
        if found is not None:
            order_id, properties = found
            events.append(((connectors[message.n], order_id), message, properties))
    return events


def _uids(connection: Connection, folding: Folding) -> dict[int, str]:
    """Give the uids of the customers whose names changed, for the search."""
    renamed = [number for number, opened in folding.open.items() if opened.renamed]
    return {number: value for number, (_, value, _) in identities.by_number(connection, renamed).items()}


def _write_traces(connection: Connection, folding: Folding, settled: Settled, refused: list[Refused]) -> None:
    """Write what people look up: changes, repeats, discards, and the counts of each."""
    messages.add_changes(connection, [(n, _encode(changed).decode()) for n, changed in folding.changes.items()])
    messages.add_repeats(
        connection, [(r.number, r.place, r.size, r.lead, r.received, int(r.conflict)) for r in settled.repeats]
    )
    messages.add_discards(
        connection,
        [
            (r.hash, r.source.number, r.at, r.discard.code.value, r.place, r.size, r.discard.size, r.lead)
            for r in refused
        ],
    )
    counts: Counter[tuple[int, str]] = Counter()
    counts.update((message.source.number, OUTCOMES[message.outcome]) for message in settled.messages)
    counts.update((repeat.source, "duplicate") for repeat in settled.repeats)
    counts.update((r.source.number, f"discarded:{r.discard.code.value}") for r in refused)
    if refused:
        newest = max(r.at for r in refused)
        dropped = messages.trim_discards(connection, {r.source.number for r in refused}, newest)
        counts.update({(source, "discards_dropped"): number for source, number in dropped.items()})
    messages.count(connection, counts)


def _arrivals(settled: Settled, refused: list[Refused]) -> list[traffic.Arrival]:
    """Tell of each call when it arrived, and what became of it."""
    arrivals = [
        (m.source.number, m.received, traffic.KEPT if m.outcome == KEPT else traffic.OTHER) for m in settled.messages
    ]
    arrivals += [(repeat.source, repeat.received, traffic.REPEATED) for repeat in settled.repeats]
    return arrivals + [(each.source.number, each.at, traffic.DISCARDED) for each in refused]
