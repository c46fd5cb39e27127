"""A batch: records of the log become state, in one transaction with the log position. Read `apply` top to bottom."""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence

import msgspec
from sqlalchemy import Connection

from richpanel.core.channel import CHANNEL_TYPE
from richpanel.process import manual, pieces
from richpanel.process.channels import Addresses, Resolver, owner_of
from richpanel.process.deciding import KEPT, OUTCOMES, decide_all
from richpanel.process.definitions import Definitions
from richpanel.process.erasure import Plan, take_out
from richpanel.process.folding import Folding
from richpanel.process.incoming import Incoming, Opened, Private, Refused
from richpanel.process.lanes import Lanes, TooNarrowError
from richpanel.process.memory import Memory
from richpanel.process.orders import Orders, of_message
from richpanel.process.people import Moved, find_owners, link_aliases, number_ids
from richpanel.process.refold import Reader, refold, refold_orders
from richpanel.process.removal import Removed, remove
from richpanel.process.repeats import Settled, settle
from richpanel.process.suppressing import keep_out
from richpanel.store import addresses, channels, erasing, history, identities, parts
from richpanel.store import message_rows as messages
from richpanel.store.bodies import Kept, Slice, bodies_of, keep
from richpanel.store.schema import part_of

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
    lanes: Lanes | None = None,
) -> Applied:
    """Apply records to the state. The caller commits; after a failure `memory` must be thrown away.

    `without` names stored messages that are taken away before, so that the state is as if they had never come; `erased`
    tells of persons who are (`process.erasure`). `log` reads the bodies that stand there. Where others apply something
    meanwhile, `lanes` are those held; raises TooNarrowError where more are needed.
    """
    bodies = bodies_of(connection, log)
    memory.tombstones = definitions.tombstones
    opened = keep_out(connection, memory, opened)
    refused = opened.refused
    reader = Reader(connection, definitions, bodies)
    removed = Removed(set(), set(), set(), set())
    remove(reader, memory, without, removed)
    if erased is not None:
        take_out(reader, memory, erased, removed)
    settled = settle(connection, memory, opened.arrived, bodies)
    if lanes is not None and settled.replaced:
        raise TooNarrowError(None)
    remove(reader, memory, settled.replaced, removed, keep_bodies=True)
    number_ids(connection, memory, settled.messages)
    connectors = decide_all(connection, memory, definitions, settled.messages)
    kept = [message for message in settled.messages if message.outcome == KEPT]
    people = [message for message in kept if message.kind < CHANNEL_TYPE]
    if len(people) != len(kept):
        profiles, aliases = manual.follow(reader, memory, [m for m in kept if m.kind > CHANNEL_TYPE])
        removed.profiles.update(profiles)
        removed.aliases.update(aliases)
        kept = [message for message in kept if message.kind <= CHANNEL_TYPE]

    carried = _addresses(people, definitions).write(connection, memory)
    moved = link_aliases(connection, memory, people, reader.stamp, removed.profiles)
    resolver = Resolver(connection, memory, definitions.account)
    activity = resolver.number([message for message in kept if message.kind == CHANNEL_TYPE])
    memory.write_identities(connection)
    find_owners(memory, people)
    for message in kept:
        if message.kind == CHANNEL_TYPE:
            message.owner = owner_of(connection, message.identity, message.t)

    _keep_bodies(connection, opened, settled)
    _write_messages(connection, memory, settled, kept)
    channels.add(connection, activity)
    removed.addresses.update(carried)
    _follow_channels(connection, resolver, kept, removed, moved)

    folding = Folding(connection, memory, definitions.account)
    orders = Orders(connection, definitions.account)
    since = settled.since
    groups = _by_owner(kept)
    _join(folding, orders, groups, moved)
    before = refold(reader, folding, moved.refolds, orders, since=since)
    refold_orders(reader, memory, orders, removed.orders, since=since)
    for owner, group in groups.items():
        folding.fold(owner, group)
    folding.keep_figures(before)
    events = _order_events(people, connectors)
    orders.add(folding, events)
    pieces.grow(folding, groups, {message.n: key[1] for key, message, _ in events})
    orders.take_of(folding.new_customers)
    orders.write(folding)
    if lanes is not None:
        lanes.check(connection, folding.open.keys() | folding.gone | moved.aliases | orders.profiles, settled.messages)
    folding.write(_uids(connection, folding))

    _write_traces(connection, folding, settled, refused)
    erasing.add(connection, [(each.place, each.size) for each in opened.private])
    memory.advance(connection, opened.end, opened.received_at)
    counts = len(settled.messages), len(settled.repeats), len(refused)
    return Applied(
        opened.end, *counts, opened.received_at, opened.private, bool(opened.private) or opened.regulation is not None
    )


def _keep_bodies(connection: Connection, opened: Opened, settled: Settled) -> None:
    """Give what arrived its permanent place. A stored message that is a repeat now has its own."""
    repeats = {each.place for each in settled.repeats}
    arrived = [*settled.messages, *(message for message in opened.arrived if message.place in repeats)]
    rows = [Kept(each.place, each.lead, each.body, each.head) for each in arrived]
    rows += [Kept(each.place, each.lead, each.body, each.head) for each in opened.refused]
    keep(connection, rows, [each.place for each in opened.private])


def _addresses(people: list[Incoming], definitions: Definitions) -> Addresses:
    """Note the addresses that messages carry."""
    found = Addresses(definitions.account)
    for message in people:
        found.note(message)
    return found


def _write_messages(connection: Connection, memory: Memory, settled: Settled, kept: list[Incoming]) -> None:
    events = memory.name(connection, {message.event for message in settled.messages if message.event})
    messages.add(
        connection,
        [
            (
                m.n,
                m.place,
                m.size,
                m.lead,
                m.item,
                m.source.number,
                m.kind,
                m.t,
                m.received,
                m.identity,
                m.alias or None,
                events[m.event] if m.event else None,
                m.outcome,
                m.decision or None,
            )
            for m in settled.messages
        ],
    )
    memory.message_ids.add(connection, [(message.hash, message.n) for message in settled.messages])
    history.add(connection, [(message.identity, message.t, message.n, message.kind) for message in kept])
    spans: dict[int, tuple[int, int]] = {}
    for message in settled.messages:
        part = part_of(connection, message.n)
        low, high = spans.get(part, (message.t, message.t))
        spans[part] = (min(low, message.t), max(high, message.t))
    parts.widen(connection, spans)


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
