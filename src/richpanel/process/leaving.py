"""Leaving: when an audience or a computed trait is deleted, who was told keeps the last value as a plain trait (0025).

Such a trait follows from what was told, and has its time: whoever folds a profile afresh, or a state, sets it again,
and a source's identify of a later time goes on from there. How far the slices are, by uid, stands among the state's
first runs, by the negative of the computation's number; once that is there, what is folded late is left at once.
"""

from collections.abc import Mapping, Set

from sqlalchemy import Connection

from richpanel.core import traits
from richpanel.core.announcing import Told
from richpanel.core.money import encode_exact
from richpanel.process.computing import Plans
from richpanel.process.definitions import Definitions
from richpanel.process.folding import Folding
from richpanel.process.memberships import Members
from richpanel.process.memory import Memory
from richpanel.process.people import Moved
from richpanel.process.refold import Reader
from richpanel.store import identities, memberships, progress
from richpanel.store.memberships import ALL


def unfinished(connection: Connection, plans: Plans) -> dict[int, int]:
    """Give what is deleted and not left to everybody, with the uid behind which that goes on."""
    if not plans.ended:
        return {}
    reached = memberships.reached(connection)
    return {number: at for number in plans.ended if (at := reached.get(-number, 0)) < ALL}


def leave_with(folding: Folding, members: Members, told: Set[int]) -> None:
    """Leave what was told of whom a batch folds afresh or tells of, where that has begun. Nobody is made by it."""
    begun = [number for number in members.plans.ended if -number in members.reached]
    if not begun:
        return
    people = told | {number for number, opened in folding.open.items() if opened.stored is None}
    for number in begun:
        last = memberships.last_told(folding.connection, number)  # Most are newer, and nothing is known of them.
        concerned = {each for each in people if each <= last}
        known = memberships.told(folding.connection, number, concerned)
        _leave(folding, members.plans.ended[number], known)


def leave_some(reader: Reader, memory: Memory, definitions: Definitions, number: int, limit: int) -> bool:
    """Leave what was told of some more uids; tell whether those were all."""
    connection, plans = reader.connection, definitions.ready
    told = memberships.told_behind(connection, number, memberships.reached(connection).get(-number, 0), limit)
    folding = Folding(connection, memory, definitions.account)
    members = Members(reader, memory, plans, progress.read(connection).received_at)
    _leave(folding, plans.ended[number], told)
    found = identities.by_number(connection, folding.open)
    folding.write({each: value for each, (_, value, _) in found.items()})
    members.follow(folding, Moved({}, set(), set()))  # Audiences may ask for that trait.
    members.write()
    is_over = len(told) < limit
    memberships.reach(connection, [-number], ALL if is_over else max(told))
    return is_over


def _leave(folding: Folding, key: str, told: Mapping[int, Told]) -> None:
    folding.load(told)
    for number, each in told.items():
        if number not in folding.open and number not in folding.memory.profiles:
            continue
        text = None if each.value is None else encode_exact(each.value).decode()
        opened = folding.take(number, each.t)
        if traits.apply(opened.profile.traits, {key: text}, (each.t, "", "")):
            opened.renamed = True
