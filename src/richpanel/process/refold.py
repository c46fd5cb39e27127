"""Refolding: fold a profile afresh from its stored messages, where some of them were taken away (`semantics.md` 1).

A late message needs none of this: the fold is a union (`core.profile`). A late link between two uids does, and channel
activity whose sender becomes known, and so does a message that is taken away (`process.removal`).
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator
from contextlib import suppress

from sqlalchemy import Connection

from richpanel.core import order as order_rules
from richpanel.core import profile as people
from richpanel.core.identity import MAX_UIDS
from richpanel.core.ids import hash64
from richpanel.core.order import OrderState
from richpanel.core.profile import Profile
from richpanel.core.record import BodyGone, Meta
from richpanel.core.stamps import Stamp
from richpanel.core.timestamps import parse
from richpanel.process import pieces
from richpanel.process.definitions import Definitions
from richpanel.process.folding import Folding, Open
from richpanel.process.incoming import Incoming, cut_short, open_by
from richpanel.process.memory import Memory
from richpanel.process.orders import Orders, of_message
from richpanel.store import history
from richpanel.store import message_rows as messages
from richpanel.store import order_rows as orders
from richpanel.store.bodies import Bodies, Slice, bodies_of
from richpanel.store.decisions import Cuts
from richpanel.store.message_rows import StoredMessage
from richpanel.store.nearest import ENTRY_TYPES
from richpanel.store.order_rows import OrderKey
from richpanel.store.piece_rows import OrderEvent


class Reader:
    """Opens stored messages again, as they were when they arrived and were decided about."""

    def __init__(self, connection: Connection, definitions: Definitions, log: Slice | Bodies) -> None:
        self.connection = connection
        self._definitions = definitions
        self._blocked = definitions.account.blocked_ids
        self.bodies = bodies_of(connection, log)
        self._cuts = Cuts(connection)
        self._record: int | None = None
        self._meta: Meta
        self.sources = {source.number: source for source in definitions.sources.values()}

    def open(self, numbers: Iterable[int]) -> list[Incoming]:
        """Open messages by number; those whose bodies are no longer kept are left out."""
        found = []
        rows = messages.load(self.connection, numbers).values()
        self.bodies.ahead(rows)
        self._cuts.ahead(rows)
        for row in rows:
            with suppress(BodyGone):
                found.append(self._open(row))
        return found

    def stamp(self, number: int) -> Stamp:
        """Give the stamp of a stored message; where its id went with its body, the first of that instant."""
        opened = self.open([number])
        return opened[0].stamp if opened else (messages.load(self.connection, [number])[number].t, "", "")

    def is_gone(self, number: int) -> bool:
        """Tell whether retention has let a message's body go. If it has, so it has those of all with lower numbers."""
        row = messages.load(self.connection, [number])[number]
        try:
            self.bodies(row.place, row.size)
        except BodyGone:
            return True
        return False

    def _open(self, row: StoredMessage) -> Incoming:
        record = row.place - row.lead
        if record != self._record:  # Those that came together are mostly read together.
            meta = messages.meta(self.bodies, row.place, row.lead)
            meta.sentAt = parse(meta.sentAt)
            self._record, self._meta = record, meta
        body = messages.body(self.bodies, row.place, row.size)
        found = open_by(self._definitions, self._meta, self.sources[row.source], (row.place, row.lead, row.item), body)
        cut = self._cuts.of(row)
        if cut is not None:
            cut_short(found, cut, self._blocked)
        found.n = row.n
        found.identity = row.identity
        return found


def refold(
    reader: Reader, folding: Folding, profiles: set[int], taken: Orders, *, apart: Container[int]
) -> dict[int, Profile]:
    """Fold these profiles afresh from what is stored but what has numbers `apart`; give what they were.

    The orders that their events are of follow. This batch's own messages come next, so that traces tell what they do.
    """
    if not profiles:
        return {}
    before: dict[int, Profile] = {}
    owners: dict[tuple[OrderKey, Stamp], int] = {}
    known = orders.of_profiles(folding.connection, profiles)
    by_order: defaultdict[str, list[OrderKey]] = defaultdict(list)
    for key in known:
        by_order[key[1]].append(key)
    folding.load(profiles)
    for profile in profiles:
        if profile in folding.memory.profiles:
            before[profile] = folding.memory.profiles[profile]
        for order_id, stamp in _afresh(reader, folding, profile, apart):
            for key in by_order.get(order_id, ()):
                owners[(key, stamp)] = profile
    taken.reassign(known, owners, profiles)
    return before


def refold_orders(reader: Reader, memory: Memory, taken: Orders, lost: set[OrderKey], *, apart: Container[int]) -> None:
    """Fold orders that lost an event afresh from what is stored, but what has numbers `apart`.

    The profiles that their events belong to must be up to date. Of events that an order with too many of them does not
    list any more (`core.order.MAX_LISTED`) none comes back; those whose bodies are no longer kept stay as they are.
    """
    for order in taken.take(lost):
        entries = {entry.stamp: entry for entry in order.state.entries}
        hashes = {hash64(memory.secret, stamp[2], stamp[1]): stamp for stamp in entries}
        found = memory.message_ids.find(reader.connection, list(hashes))
        gone = [entries[hashes[known]] for known, numbers in found.items() if any(map(reader.is_gone, numbers))]
        fresh = OrderState(order.key[1], sorted(gone, key=lambda entry: entry.stamp))
        for message in reader.open(number for numbers in found.values() for number in numbers if number not in apart):
            event = of_message(message)
            if event is not None and message.stamp in entries:
                profile = entries[message.stamp].profile
                order_rules.add(fresh, message.event or "", event[1], message.stamp, profile)
        order.state = fresh
    orders.forget_events(reader.connection, [order.number for order in taken.take(lost)])


def _afresh(reader: Reader, folding: Folding, profile: int, apart: Container[int]) -> Iterator[OrderEvent]:
    """Fold one profile afresh, and give the events of orders among its messages."""
    spans = history.of_profile(folding.connection, profile, MAX_UIDS)
    found = [pieces.within(folding.connection, span, apart=apart) for span in spans]
    left = [row for whole in found for row in whole.read]
    was = None
    if left and reader.is_gone(min(number for _, number, _ in left)):
        was = folding.take(profile, 0, whole=True)
    folding.drop(profile)
    kept_from = min((piece.low for whole in found for piece in whole.pieces), default=history.FOREVER)
    folded: set[int] = set()
    for whole in found:
        yield from pieces.join(folding, profile, whole)
        for start in range(0, len(whole.read), pieces.PIECE):
            opened = reader.open(number for _, number, _ in whole.read[start : start + pieces.PIECE])
            if opened:
                yield from pieces.read(folding, profile, whole.identity, opened)
                folded.update(message.n for message in opened)
                kept_from = min(kept_from, *(message.t for message in opened))
    if was is not None:
        gone = sum(number not in folded and kind in ENTRY_TYPES for _, number, kind in left)
        _keep(folding, was, gone, kept_from)


def _keep(folding: Folding, was: Open, gone: int, kept_from: int) -> None:
    """Keep what the profile was where the log no longer tells: a customer must not lose what retention let go.

    Of `gone` events only the number is known; sessions that ended before `kept_from`, the first event that was folded
    afresh, stay as they were. So what has moved to somebody else and is gone stays here, too.
    """
    opened = folding.take(was.number, was.profile.created)
    events = opened.profile.events + gone
    people.merge(opened.profile, was.profile)
    opened.profile.events = events
    opened.renamed = True
    for session in was.book.all():
        if session.last[0] < kept_from:
            opened.book.add(session)
