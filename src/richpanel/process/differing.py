"""Differing: whose membership is kept otherwise than the stored messages say, as `richpanel audiences check` asks.

It looks as the nightly check does (`process.checking`), set by set, and writes nothing: what differs is told, not
mended. What is kept is judged at the instant at which everybody is, so that a window that closes just now is none.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from richpanel.core.happened import Happened
from richpanel.core.membership import Person
from richpanel.process.computing import Plans, Ready, pack, unpack
from richpanel.process.refold import Reader
from richpanel.process.running import Runs, Seen, look_at
from richpanel.store import memberships
from richpanel.store.memberships import ALL, Row

Difference = Literal["value", "events"]
"""What differs: the value; or only what is kept of the events, from which later values follow."""


class Differs(NamedTuple):
    """Somebody, by number of profile, and the value that is kept, and the one by the messages, as JSON."""

    profile: int
    what: Difference
    kept: str
    counted: str


class Looked(msgspec.Struct):
    """What came of one plan: how many people were looked at, how many differ, and the first of those."""

    looked: int = 0
    differing: int = 0
    sample: list[Differs] = []


def differing(
    reader: Reader, plans: Plans, numbers: Sequence[int], now: int, *, sample: int
) -> Iterator[dict[int, Looked]]:
    """Look at everybody by these plans, which are live, as of `now` (ms UTC); give what came of it after each slice.

    The reader sees one snapshot throughout. Somebody whose events' bodies are gone is passed over, as by the check.
    """
    found = {number: Looked() for number in numbers}
    ready = [plans.ready[number] for number in numbers]
    runs, low = Runs(), 0
    while low < ALL and numbers:
        gathered = runs.gathering(reader.connection, plans, numbers, alone=True)
        if gathered is None:
            yield found
            continue
        high = runs.slice(reader.connection, low)
        began = time.perf_counter()
        seen = look_at(reader, ready, gathered, (low, high))
        for each in ready:
            rows = memberships.load_between(reader.connection, each.number, low, high)
            _compare(each, rows, seen, found[each.number], now=now, sample=sample)
        low = high
        runs.took(time.perf_counter() - began)
        yield found


def _compare(ready: Ready, rows: Mapping[int, Row], seen: Seen, found: Looked, *, now: int, sample: int) -> None:
    wanted = seen.wanted[ready.number]
    concerned = seen.people.keys() if wanted is None else wanted & seen.people.keys()
    for profile in sorted((rows.keys() | concerned) - seen.gone):
        person, row = seen.people.get(profile), rows.get(profile)
        found.looked += 1
        differs = _differs(ready, person, row, seen.histories.get(profile, ()), now)
        if differs is not None:
            found.differing += 1
            if len(found.sample) < sample:
                found.sample.append(Differs(profile, *differs))


def _differs(
    ready: Ready, person: Person | None, row: Row | None, events: Sequence[Happened], now: int
) -> tuple[Difference, str, str] | None:
    """Tell what differs, with the value that is kept and the one by the messages."""
    at = now if row is None else max(now, row.since)
    state = ready.plan.empty()
    for event in events:
        ready.plan.add(state, event)
    counted = ready.written(ready.judge(state, person, at).raw)
    kept, value = (ready.empty, ready.idle) if row is None else (row.state, row.value)
    if row is not None and row.until is not None and row.until <= at:  # Time has changed it, and nobody looked yet.
        value = ready.written(ready.judge(unpack(row.state), person, at).raw)
    if value != counted:
        return "value", value, counted
    return ("events", value, counted) if kept != pack(state) else None
