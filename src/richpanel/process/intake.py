"""Taking in: what is told of a batch's messages whoever they concern: which count, their numbers, what is decided.

It touches nobody's state, only rows that are new and the messages' own. So where several workers write one state, each
takes in what it has while another folds (docs/decisions/0017).
"""

from typing import NamedTuple

from sqlalchemy import Connection

from richpanel.core.identity import ANONYMOUS, UID
from richpanel.process.deciding import decide_all
from richpanel.process.definitions import Definitions
from richpanel.process.incoming import Opened
from richpanel.process.memory import Memory
from richpanel.process.people import number_ids
from richpanel.process.repeats import Settled
from richpanel.store import message_rows as messages
from richpanel.store import parts
from richpanel.store.bodies import Kept, keep
from richpanel.store.schema import part_of


class Taken(NamedTuple):
    """A batch that is taken in; `connectors` has the one under which the account keeps a message, by its number.

    `is_written` tells whether its rows are there.
    """

    opened: Opened
    settled: Settled
    connectors: dict[int, int]
    is_written: bool = False


def take_in(
    connection: Connection, memory: Memory, definitions: Definitions, opened: Opened, settled: Settled
) -> Taken:
    """Number what the messages name, and decide about them."""
    number_ids(connection, memory, settled.messages)
    return Taken(opened, settled, decide_all(connection, memory, definitions, settled.messages))


def introduce(connection: Connection, memory: Memory, settled: Settled) -> None:
    """Store the ids and event names that are new, with this transaction: none of it tells what anybody did."""
    messages = settled.messages
    memory.identities.introduce(connection, UID, {message.uid for message in messages if message.uid is not None})
    aliases = {message.anonymous for message in messages if message.anonymous is not None}
    memory.identities.introduce(connection, ANONYMOUS, aliases)
    memory.name(connection, {message.event for message in messages if message.event})


def still_holds(connection: Connection, taken: Taken) -> bool:
    """Tell whether the stored messages that some of these repeat are there: another may have come to count instead."""
    own = taken.settled.numbers
    repeated = {each.number for each in taken.settled.repeats if each.number not in own}
    return len(messages.load(connection, repeated)) == len(repeated)


def write_rows(connection: Connection, memory: Memory, taken: Taken) -> None:
    """Store the messages' rows and bodies. Raises IntegrityError where somebody else has taken in one of them."""
    _keep_bodies(connection, taken)
    settled = taken.settled
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
    spans: dict[int, tuple[int, int]] = {}
    for message in settled.messages:
        part = part_of(connection, message.n)
        low, high = spans.get(part, (message.t, message.t))
        spans[part] = (min(low, message.t), max(high, message.t))
    parts.widen(connection, spans)


def _keep_bodies(connection: Connection, taken: Taken) -> None:
    """Give what arrived its permanent place. A stored message that is a repeat now has its own."""
    opened, settled = taken.opened, taken.settled
    repeats = {each.place for each in settled.repeats}
    arrived = [*settled.messages, *(message for message in opened.arrived if message.place in repeats)]
    rows = [Kept(each.place, each.lead, each.body, each.head) for each in arrived]
    rows += [Kept(each.place, each.lead, each.body, each.head) for each in opened.refused]
    keep(connection, rows, [each.place for each in opened.private])
