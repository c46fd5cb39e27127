"""Tending memberships between batches: windows that closed, first runs in slices, and what is no more (0025).

Each step is one transaction, in the same turn as a batch, and short: live messages wait for it.
"""

import time
from collections.abc import Collection, Mapping
from functools import partial
from typing import Final, NamedTuple

from sqlalchemy import Connection

from richpanel.process import leaving
from richpanel.process.checking import Checks
from richpanel.process.definitions import Definitions, Watch
from richpanel.process.memberships import Members
from richpanel.process.memory import Memory
from richpanel.process.refold import Reader
from richpanel.process.running import Runs, make, names_of
from richpanel.store import computations, identities, memberships, plans, progress
from richpanel.store.members import size_of
from richpanel.store.memberships import ALL

DUE: Final = 1_000
"""Memberships that are judged at a time since time has changed them."""
LEFT: Final = 500
"""Uids at a time who keep what they were told of what is deleted."""
SWEPT: Final = 5_000
"""Rows of a plan that is no more that are removed at a time."""
LAG_MS: Final = 10_000
"""Where the messages that come are older than this nobody leaves: there may be one that keeps them in."""


class Tended(NamedTuple):
    """What a step did: whether there may be more to do at once, how far first runs are, and which plan has no row left.

    A first run is so many profiles far, by number, `ALL` where it is over. `left` is a computation that is deleted, and
    of which people have all that was told as plain traits. `sizes` says how many those versions have that another one
    takes the place of.
    """

    more: bool
    reached: Mapping[int, int] = {}
    swept: int | None = None
    left: int | None = None
    sizes: Mapping[int, int] = {}


class Unswept:
    """Plans that are no more and of which the state may have rows yet, looked for where the definitions are others."""

    def __init__(self, watch: Watch) -> None:
        """Have looked at no definitions."""
        self._watch = watch
        self._version = -1
        self._numbers: list[int] = []

    def of(self, definitions: Definitions) -> list[int]:
        """Give their numbers."""
        if definitions.version != self._version:
            self._numbers = self._watch.look_up(plans.unswept)
            self._version = definitions.version
        return self._numbers


def is_wanted(
    connection: Connection,
    definitions: Definitions,
    now: int | None,
    unswept: list[int],
    check: Checks | None = None,
) -> bool:
    """Tell whether there is anything to do. `now` as for `tend`."""
    ready = definitions.ready
    if unswept or ready.computing or leaving.unfinished(connection, ready):
        return True
    if not ready:
        return False
    if (now is not None and memberships.due(connection, now, 1)) or _unfinished(connection, definitions):
        return True
    return check is not None and check.is_wanted(connection, definitions, now)


def tend(
    reader: Reader,
    memory: Memory,
    definitions: Definitions,
    now: int | None,
    unswept: list[int],
    *,
    runs: Runs,
    check: Checks | None = None,
    alone: bool = False,
) -> Tended:
    """Do a step. `now` is up to when all messages have come, ms UTC; None where they lag behind.

    `unswept` are plans that are no more; `check` counts memberships again where there is nothing else to do; `alone`
    says that nobody else has anything under way (`Runs`). The caller commits; after a failure `memory` must be thrown
    away.
    """
    connection = reader.connection
    due = memberships.due(connection, now, DUE) if now is not None and definitions.ready else []
    if now is not None and due:
        memberships.settle(connection, [key for key in due if key[0] not in definitions.ready.ready])
        members = Members(reader, memory, definitions.ready, now)
        members.judge(due)
        members.write()
        return Tended(True)
    if definitions.ready.computing or _unfinished(connection, definitions):
        return _run(reader, memory, definitions, runs, alone=alone)
    if ended := leaving.unfinished(connection, definitions.ready):
        is_over = leaving.leave_some(reader, memory, definitions, min(ended), LEFT)
        return Tended(True, left=min(ended) if is_over else None)
    if unswept:
        return Tended(True, swept=unswept[0] if memberships.sweep(connection, unswept[0], SWEPT) else None)
    if check is not None and now is not None:
        return Tended(check.step(reader, memory, definitions, now, alone=alone))
    return Tended(False)


def _unfinished(connection: Connection, definitions: Definitions) -> dict[int, int]:
    """Give the plans whose rows are not all there, and up to which profile they are."""
    reached = memberships.reached(connection)
    return {number: at for number in definitions.ready.ready if (at := reached.get(number, 0)) < ALL}


def begins_run(connection: Connection, definitions: Definitions, runs: Runs) -> bool:
    """Tell whether the next slice of a first run needs what is still to be gathered."""
    left = _unfinished(connection, definitions)
    return bool(left) and runs.is_new(names_of(definitions.ready, _behind(left)))


def _behind(left: Mapping[int, int]) -> list[int]:
    """Give those whose first run has come least far."""
    least = min(left.values())
    return [number for number, at in left.items() if at == least]


def _run(reader: Reader, memory: Memory, definitions: Definitions, runs: Runs, *, alone: bool) -> Tended:
    """Make some more rows of those plans whose first run has come least far."""
    connection, ready, started = reader.connection, definitions.ready, time.perf_counter()
    members = Members(reader, memory, ready, progress.read(connection).received_at)
    left = _unfinished(connection, definitions)
    if left:
        numbers = _behind(left)
        gathered = runs.gathering(connection, ready, numbers, alone=alone)
        if gathered is None:
            return Tended(True)
        low = left[numbers[0]]
        high = runs.slice(connection, low)
        memberships.reach(connection, numbers, high)
        members.reached.update(dict.fromkeys(numbers, high))
        make(reader, members, gathered, numbers, (low, high))
        runs.took(time.perf_counter() - started)
    else:
        runs.forget()
    over = [number for number in ready.computing if members.reached[number] >= ALL]
    sizes = _sizes(connection, definitions, over)
    return Tended(bool(left), {number: members.reached[number] for number in ready.computing}, sizes=sizes)


def _sizes(connection: Connection, definitions: Definitions, over: Collection[int]) -> dict[int, int]:
    """Count who is in by the versions in whose place those come whose first run is over, by their numbers."""
    before = [row for row in definitions.computations if row.live and row.next and row.next.number in over]
    return {row.live.number: size_of(connection, row.live.number, row.kind) for row in before if row.live}


def report(watch: Watch, definitions: Definitions, tended: Tended, now: int) -> None:
    """Note in the definitions what a step did, once that is committed. `now` is ms UTC.

    Plans that were made at once, as an edit makes them, go live at once.
    """
    made = definitions.ready.computing
    waiting = {made[number] for number, at in tended.reached.items() if at < ALL}
    live = [number for number in tended.reached if made[number] not in waiting]
    if live:
        watch.write(partial(plans.go_live, numbers=live, now=now, sizes=tended.sizes))
    for number, at in tended.reached.items():
        if number not in live:
            watch.write(partial(plans.advance, number=number, done=at))
    if tended.swept is not None:
        watch.write(partial(plans.swept, number=tended.swept, now=now))
    if tended.left is not None:
        watch.write(partial(computations.release, number=tended.left, now=now))


def give_up(watch: Watch, definitions: Definitions) -> None:
    """Note in the definitions which plans cannot be computed, and why; all others go on."""
    for number, problem in definitions.ready.problems.items():
        watch.write(partial(plans.fail, number=number, problem=problem))


def begin(watch: Watch, connection: Connection, definitions: Definitions) -> None:
    """Note what first runs that begin have before them."""
    for row in definitions.computations:
        plan = row.next
        if plan is not None and plan.boundary is None and plan.status == "computing":
            boundary, total = progress.read(connection).messages, identities.last_number(connection)
            watch.write(partial(plans.begin, number=plan.number, boundary=boundary, total=total))
