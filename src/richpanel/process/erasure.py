"""Erasure: take persons out of the state with all that tells of them (`semantics.md` 10).

What a profile owns goes, whole: there is nothing to fold afresh of it, and nothing of it need be read. Others keep what
is theirs, of a shared device too; nobody gets what was somebody's who is gone, for the tombstones hold it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from sqlalchemy import Connection

from richpanel.core.channel import CHANNEL_TYPE
from richpanel.core.identity import ANONYMOUS, MAX_UIDS, UID, Runs, moves, owner, part, spans, visitor_spans, without
from richpanel.core.ids import hash64
from richpanel.core.regulation import Erased, Hashed, Regulation, digest_of, hashed, index_of
from richpanel.process.deciding import KEPT, OUTCOMES
from richpanel.process.definitions import Definitions
from richpanel.process.manual import relink
from richpanel.process.memory import Memory
from richpanel.process.people import changing_hands
from richpanel.process.pieces import give_up
from richpanel.process.refold import Reader
from richpanel.process.removal import Removed
from richpanel.process.theirs import Theirs, find_theirs
from richpanel.store import (
    addresses,
    channels,
    history,
    identities,
    manual_rows,
    memberships,
    names,
    piece_rows,
    refused_rows,
)
from richpanel.store import message_rows as messages
from richpanel.store import order_rows as orders
from richpanel.store import profile_rows as profiles
from richpanel.store import session_rows as sessions
from richpanel.store.bulk import on_postgres
from richpanel.store.history import FOREVER, Span
from richpanel.store.identities import Key
from richpanel.store.ledger import Tombstone
from richpanel.store.message_rows import StoredMessage

_AT_ONCE: Final = 1_000
"""Messages that are opened at a time."""


class Person(NamedTuple):
    """A profile that is to be erased: the number, kind and value of the identity by which it is known."""

    number: int
    kind: int
    value: str


@dataclass
class Plan:
    """What a regulation erases, found before anything of it is touched.

    `spans` are those of the histories; `aliases` all ids and addresses that were ever the persons'.
    """

    at: int
    persons: list[Person]
    spans: list[Span] = field(default_factory=list)
    aliases: dict[int, Key] = field(default_factory=dict)
    rows: dict[int, StoredMessage] = field(default_factory=dict)
    hashes: dict[int, int] = field(default_factory=dict)
    repeats: list[tuple[int, int]] = field(default_factory=list)
    theirs: Theirs = field(default_factory=Theirs)
    tombstones: list[Tombstone] = field(default_factory=list)
    tables: dict[str, Erased] = field(default_factory=dict)

    @property
    def numbers(self) -> set[int]:
        """The persons' numbers."""
        return {person.number for person in self.persons}

    def bodies(self) -> list[tuple[int, int]]:
        """Where the bodies stand in the log that are to be erased."""
        return [*((row.place, row.size) for row in self.rows.values()), *self.repeats, *self.theirs.bodies()]


def plan(reader: Reader, definitions: Definitions, regulation: Regulation, at: int, known: Iterable[Tombstone]) -> Plan:
    """Find all that a regulation of the instant `at` (receivedAt, ms UTC) erases.

    `known` are its tombstones, where it was processed before: in a state that this one is made anew of, or that an
    older backup was taken of.
    """
    secret = definitions.account.hash_key
    found = _resolve(reader.connection, secret, {each.hashed for each in regulation.ids}, at)
    stones = list(known)
    for person in _resolve(reader.connection, secret, {s.hashed for s in stones if s.kind == UID}, at):
        if person.kind == UID and person not in found:
            found.append(person)
    made = Plan(at, found)
    for person in found:
        _find_spans(reader.connection, made, person, secret)
    _find_by_tombstones(reader.connection, made, stones, secret)
    _find_unknown(made, regulation)
    _find_messages(reader, made, secret)
    values, gone = _own_values(secret, made), set(made.hashes.values())
    made.theirs = find_theirs(reader, definitions, made.tombstones, values, gone)
    with_message = set(made.repeats)
    made.theirs.repeats = [each for each in made.theirs.repeats if each[2:] not in with_message]
    made.tombstones = sorted({*made.tombstones, *stones})
    made.tables = _told(secret, reader.connection, made)
    return made


def _resolve(connection: Connection, secret: bytes, named: set[Hashed], at: int) -> list[Person]:
    """Find the persons that ids mean: whoever a message with that id alone would belong to at this instant."""
    numbers: dict[int, None] = {}
    for number, kind, value, runs in identities.by_hash(connection, {index_of(each) for each in named}):
        if hashed(secret, kind, value) not in named:
            continue
        if kind not in (UID, ANONYMOUS):
            runs = addresses.runs(connection, number)
        numbers[owner(runs, at) or number] = None
    return [Person(n, kind, value) for n, (kind, value, _) in sorted(identities.by_number(connection, numbers).items())]


def _find_spans(connection: Connection, plan: Plan, person: Person, secret: bytes) -> None:
    """Find the histories of a person, and what becomes a tombstone: the uid, and each alias for as long as theirs."""
    plan.aliases[person.number] = (person.kind, person.value)
    grave = _Grave(secret, hashed(secret, person.kind, person.value), plan)
    if person.kind == UID:
        plan.spans.append(Span(person.number, 0, FOREVER))
        grave.bury((person.kind, person.value), [(0, FOREVER)])
        for number, kind, value, runs in identities.aliases(connection, person.number):
            _find_alias(grave, number, (kind, value), spans(runs, person.number, MAX_UIDS))
        for number in addresses.of_uids(connection, [person.number]):
            kind, value, _ = identities.by_number(connection, [number])[number]
            plan.aliases[number] = (kind, value)
            grave.bury((kind, value), spans(addresses.runs(connection, number), person.number, MAX_UIDS))
        return
    _, _, runs = identities.by_number(connection, [person.number])[person.number]
    mine = visitor_spans(runs, MAX_UIDS) if person.kind == ANONYMOUS else [(0, FOREVER)]
    _find_alias(grave, person.number, (person.kind, person.value), mine)
    for number in addresses.of_uids(connection, [person.number]):
        plan.aliases[number] = identities.by_number(connection, [number])[number][:2]


def _find_alias(grave: "_Grave", number: int, key: Key, found: Iterable[tuple[int, int]]) -> None:
    grave.plan.aliases[number] = key
    found = list(found)
    grave.plan.spans += [Span(number, start, end) for start, end in found]
    grave.bury(key, found)


class _Grave(NamedTuple):
    """Where a person's ids become tombstones."""

    secret: bytes
    person: Hashed
    plan: Plan

    def bury(self, key: Key, found: Iterable[tuple[int, int]]) -> None:
        """Make tombstones; what is still theirs at the regulation starts afresh right after it."""
        end_of_all = self.plan.at + 1
        for start, end in found:
            if start < end_of_all:
                parts = key[0] != UID and end >= end_of_all
                stone = (key[0], hashed(self.secret, *key), start, min(end, end_of_all), parts, self.person)
                self.plan.tombstones.append(Tombstone(*stone))


def _find_by_tombstones(connection: Connection, plan: Plan, stones: list[Tombstone], secret: bytes) -> None:
    """Find what is an alias's for as long as it was theirs, although this state does not know that it was."""
    intervals: defaultdict[Hashed, list[Tombstone]] = defaultdict(list)
    for stone in stones:
        if stone.kind != UID:
            intervals[stone.hashed].append(stone)
    for number, kind, value, _ in identities.by_hash(connection, {index_of(each) for each in intervals}):
        for stone in intervals.get(hashed(secret, kind, value), ()):
            plan.aliases[number] = (kind, value)
            plan.spans.append(Span(number, stone.from_t, stone.to_t))


def _find_unknown(plan: Plan, regulation: Regulation) -> None:
    """Keep out what comes late of ids that nobody has heard of yet."""
    known = {stone.hashed for stone in plan.tombstones}
    for each in regulation.ids:
        if each.hashed not in known:
            plan.tombstones.append(Tombstone(each.kind, each.hashed, 0, plan.at + 1, each.kind != UID, each.hashed))


def _find_messages(reader: Reader, plan: Plan, secret: bytes) -> None:
    connection = reader.connection
    visitors = [person.number for person in plan.persons if person.kind == ANONYMOUS]
    free = [number for number in visitors if not history.any_call_links(connection, number)]
    numbers = manual_rows.naming(connection, plan.numbers, free)  # A cut stays where a call would link again.
    for span in plan.spans:
        numbers.update(row[1] for row in history.numbers(connection, span))
        numbers.update(messages.not_kept_of(connection, *span))
    plan.rows = messages.load(connection, numbers)
    plan.hashes = _hashes_of(reader, plan.rows, secret)
    plan.repeats = refused_rows.repeats_of(connection, plan.rows)


def _hashes_of(reader: Reader, numbers: Iterable[int], secret: bytes) -> dict[int, int]:
    """Give the hashes of messages' ids, by number."""
    if not on_postgres(reader.connection):
        return messages.hashes_of(reader.connection, numbers)
    wanted, found = list(numbers), dict[int, int]()
    for start in range(0, len(wanted), _AT_ONCE):
        opened = reader.open(wanted[start : start + _AT_ONCE])
        found.update({each.n: hash64(secret, each.source.id, each.message_id) for each in opened})
    return found


def _own_values(secret: bytes, plan: Plan) -> set[str]:
    """Give the ids that were theirs alone, to be looked for in what was refused and can no longer be read."""
    whole = {(s.kind, s.hashed) for s in plan.tombstones if s.from_t == 0 and s.to_t > plan.at}
    return {value for kind, value in plan.aliases.values() if (kind, hashed(secret, kind, value)) in whole}


def _told(secret: bytes, connection: Connection, plan: Plan) -> dict[str, Erased]:
    """Say what a receipt says: how much of which table goes, and a keyed hash of it."""
    of_orders = orders.of_profiles(connection, plan.numbers)
    theirs = [key for key, order in of_orders.items() if all(e.profile in plan.numbers for e in order.state.entries)]
    of_plans, told = memberships.keys_of_people(connection, plan.numbers)
    spelled = {person.number: f"{person.kind}:{person.value}" for person in plan.persons}
    entries = [str(e.stamp) for order in of_orders.values() for e in order.state.entries if e.profile in plan.numbers]
    counted = {
        "profiles": [f"{person.kind}:{person.value}" for person in plan.persons],
        "identities": [f"{kind}:{value}" for kind, value in plan.aliases.values()],
        "messages": [str(each) for each in plan.hashes.values()],
        "repeats": [f"{place}:{size}" for place, size in (*plan.repeats, *plan.theirs.repeat_bodies())],
        "discards": [f"{place}:{size}" for _, _, place, size in plan.theirs.discards],
        "channel activity": [str(row.n) for row in plan.rows.values() if row.type == CHANNEL_TYPE],
        "manual links": [str(row.n) for row in plan.rows.values() if row.type > CHANNEL_TYPE],
        "sessions": _sessions(connection, plan.numbers),
        "memberships": [f"{of}:{spelled[who]}" for of, who in of_plans],
        "told": [f"{of}:{spelled[who]}" for of, who in told],
        "orders": [f"{connector}:{order_id}" for connector, order_id in theirs],
        "order events": entries,
        "bodies in the log": [f"{place}:{size}" for place, size in plan.bodies()],
    }
    return {table: digest_of(secret, keys) for table, keys in counted.items()}


def _sessions(connection: Connection, numbers: Iterable[int]) -> list[str]:
    found = [session for profile in profiles.load(connection, numbers).values() for session in profile.open]
    found += [session for number in numbers for session in sessions.all_of(connection, number)]
    return [f"{session.key}:{session.start}:{session.events}" for session in found]


def take_out(reader: Reader, memory: Memory, plan: Plan, removed: Removed) -> None:
    """Take all of it out of the tables, and note in `removed` what must follow for others."""
    connection = reader.connection
    removed.profiles.update(plan.numbers)
    removed.addresses.update(addresses.of_uids(connection, plan.numbers))
    removed.aliases.update(number for number, (kind, _) in plan.aliases.items() if kind == ANONYMOUS)
    removed.addresses.update(number for number, (kind, _) in plan.aliases.items() if kind not in (UID, ANONYMOUS))
    memberships.remove_people(connection, plan.numbers)
    _find_others(connection, memory, plan, removed)
    _take_messages(connection, memory, plan)
    for span in plan.spans:
        removed.addresses.update(addresses.forget(connection, *span))
    _take_links(reader, memory, plan, removed)


def _find_others(connection: Connection, memory: Memory, plan: Plan, removed: Removed) -> None:
    """Find the profiles and orders that lose something: also others', where this state did not know whose it was."""
    known = identities.by_number(connection, {row.identity for row in plan.rows.values()})
    for row in plan.rows.values():
        if row.outcome == KEPT and row.type <= CHANNEL_TYPE:
            kind, _, runs = known[row.identity]
            uid = owner(runs, row.t) if kind == ANONYMOUS else None
            removed.profiles.add(row.identity if uid is None else uid)
    gone = set(plan.hashes.values())
    for key, order in orders.of_profiles(connection, removed.profiles).items():
        for entry in order.state.entries:
            _, message_id, source = entry.stamp
            if entry.profile in plan.numbers or hash64(memory.secret, source, message_id) in gone:
                removed.orders.add(key)


def _take_messages(connection: Connection, memory: Memory, plan: Plan) -> None:
    rows = plan.rows.values()
    kept = [row for row in rows if row.outcome == KEPT and row.type <= CHANNEL_TYPE]
    history.remove(connection, [(row.identity, row.t, row.n) for row in kept])
    give_up(connection, memory, kept)
    letters = [row.n for row in kept if row.type == CHANNEL_TYPE]
    piece_rows.remove_wherever(connection, letters)  # They may have stood in another history once.
    channels.remove(connection, letters)
    manual_rows.remove(connection, [row.n for row in rows if row.type > CHANNEL_TYPE])
    memory.message_ids.remove(connection, [(hashed, number) for number, hashed in plan.hashes.items()])
    counts: Counter[tuple[int, str]] = Counter()
    for source, repeats in messages.remove(connection, plan.rows).items():
        counts[source, "duplicate"] -= repeats
    for row in rows:
        counts[row.source, OUTCOMES[row.outcome]] -= 1
    for _, source, code, _ in plan.theirs.counted_discards():
        counts[source, f"discarded:{code}"] -= 1
    for source in plan.theirs.repeat_sources():
        counts[source, "duplicate"] -= 1
    refused_rows.remove_discards(connection, [each[0] for each in plan.theirs.discards])
    refused_rows.remove_repeats(connection, [each[0] for each in plan.theirs.repeats])
    messages.count(connection, counts)


def _take_links(reader: Reader, memory: Memory, plan: Plan, removed: Removed) -> None:
    """Take the persons' links away; their aliases start afresh. Where others' messages move by that, they follow."""
    connection = reader.connection
    aliases = {number for number, (kind, _) in plan.aliases.items() if kind == ANONYMOUS}
    ends: defaultdict[Hashed, set[int]] = defaultdict(set)
    for stone in plan.tombstones:
        if stone.parts:
            ends[stone.hashed].add(stone.to_t)
    if memory.any_manual:
        profiles, moved = relink(reader, memory, aliases, set())
        removed.profiles.update(profiles)
        removed.aliases.update(moved)
    for number, (kind, value, before) in identities.by_number(connection, plan.aliases).items():
        parted = sorted(ends.get(hashed(memory.secret, kind, value), ()))
        if kind not in (UID, ANONYMOUS):
            addresses.part(connection, number, parted)
        if kind != ANONYMOUS:
            continue
        runs = _cut(before, plan.numbers, parted)
        if runs != before:
            identities.relink(connection, number, runs)
            memory.identities.relink(value, runs)
            removed.profiles.update(changing_hands(connection, number, moves(before, runs, MAX_UIDS)))


def _cut(runs: Runs, uids: set[int], parted: Iterable[int]) -> Runs:
    for t in parted:  # First, for a run that follows may be of the same uid as one before.
        runs = part(runs, (t, "", ""))
    for uid in uids:
        runs = without(runs, uid)
    return runs


def forget(connection: Connection, plan: Plan) -> None:
    """Forget ids and names that nothing refers to any more, once all others have been folded."""
    identities.forget_unused(connection, plan.aliases)
    names.forget_unused(connection, {row.event for row in plan.rows.values() if row.event is not None})
