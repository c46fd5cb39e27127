"""Settling: what a state that is made anew has besides what the log tells, before it is in force (0025).

What the world was told is told by the log, too, but retention may have let go of that: the state in force remembers.
"""

from typing import Final

from sqlalchemy import Connection

from richpanel.core.announcing import Told
from richpanel.core.identity import UID
from richpanel.process.definitions import Definitions
from richpanel.process.memberships import Members
from richpanel.process.memory import Memory
from richpanel.process.refold import Reader
from richpanel.store import identities, memberships, progress

_AT_ONCE: Final = 2_000
"""How many are taken over at a time."""


def take_over_told(old: Connection, reader: Reader, memory: Memory, definitions: Definitions) -> None:
    """Take over what the world was told, where the state in force knows of more; both have the same messages."""
    after = (0, 0)
    new, plans = reader.connection, definitions.ready
    members = Members(reader, memory, plans, progress.read(new).received_at)
    while rows := memberships.all_told(old, after, _AT_ONCE):
        values = {
            number: value for number, (_, value, _) in identities.by_number(old, {key[1] for key in rows}).items()
        }
        numbers = identities.find(new, memory.secret, UID, values.values())
        for computation in {key[0] for key in rows}:
            theirs: dict[int, Told] = {
                numbers[values[uid]][0]: told
                for (of, uid), told in rows.items()
                if of == computation and values.get(uid) in numbers
            }
            known = memberships.told(new, computation, theirs)
            more = {uid: told for uid, told in theirs.items() if uid not in known or known[uid].number < told.number}
            memberships.tell(new, {(computation, uid): told for uid, told in more.items()})
            for each in plans.of_computation.get(computation, ()):
                members.judge((each.number, uid) for uid in more)
        after = max(rows)
    members.write()
