"""Checking: once a day all memberships are counted again from the stored messages, and what differs is mended (0025).

It is a first run over rows that are there already: a slice in a transaction, at one instant each, beside live messages.
Nothing should ever differ; what does is a fault of ours, so it is counted, logged, and made afresh. Who has an event
that would have to be opened, and whose body retention let go, is passed over: what is kept knows more than is stored.
"""

import time
from collections.abc import Sequence
from typing import Final

import structlog
from sqlalchemy import Connection

from richpanel.process.definitions import Definitions
from richpanel.process.memberships import Members
from richpanel.process.memory import Memory
from richpanel.process.refold import Reader
from richpanel.process.running import Runs, make, names_of
from richpanel.store import checks, memberships
from richpanel.store.checks import CheckRow
from richpanel.store.memberships import ALL
from richpanel.telemetry import get_logger

ALONE_MS: Final = 600_000
SHARED_MS: Final = 3_600_000
"""So long after it began a check that has not ended counts as cut short; of several workers one may be at it still."""
_DAY_MS: Final = 86_400_000
_log: structlog.stdlib.BoundLogger = get_logger("process")


def minutes(time_of_day: str) -> int | None:
    """Read a time of day as the settings have it, `03:00`, as minutes; None where it is none."""
    hours, colon, rest = time_of_day.partition(":")
    return int(hours) * 60 + int(rest) if colon else None


class Checks:
    """The checks of a worker. `at` is the time of day, minutes UTC; None for never.

    Of several who write the state the first one that begins a check goes on with it. One that was cut short is begun
    again, not at once: where it is the check that stops the processing, messages are to come through in between.
    """

    def __init__(self, at: int | None = None, *, shared: bool = False) -> None:
        """Have none under way."""
        self._at = at
        self._runs = Runs(shared=shared)
        self._low = 0
        self._rows: dict[int, CheckRow] = {}
        self._patience = SHARED_MS if shared else ALONE_MS
        self._none_since: tuple[int, int] | None = None

    def forget(self) -> None:
        """Let go of what is under way: a transaction failed."""
        self._runs.forget()
        self._rows = {}

    def is_wanted(self, connection: Connection, definitions: Definitions, now: int | None) -> bool:
        """Tell whether there is anything to check. `now` as for `tending.tend`."""
        return now is not None and (bool(self._rows) or bool(self._due(connection, definitions, now)))

    def begins(self, definitions: Definitions) -> bool:
        """Tell whether the next step needs what is still to be gathered (`Runs`)."""
        numbers = self._rows.keys() & definitions.ready.ready.keys()
        return bool(numbers) and self._runs.is_new(names_of(definitions.ready, numbers))

    def start(self, connection: Connection, plans: Sequence[int], now: int) -> bool:
        """Have the next steps check these plans, which are live; tell whether there are any."""
        self._rows, self._low = {plan: CheckRow(now, None, 0, 0, ()) for plan in plans}, 0
        checks.begin(connection, plans, now)
        return bool(plans)

    def step(self, reader: Reader, memory: Memory, definitions: Definitions, now: int, *, alone: bool) -> bool:
        """Check some more; tell whether there was anything to do.

        `now` is up to when all messages have come, ms UTC.
        """
        if not self._rows:
            return self.start(reader.connection, self._due(reader.connection, definitions, now), now)
        numbers = sorted(self._rows.keys() & definitions.ready.ready.keys())  # The others are no more.
        if not numbers:
            self.forget()
            return False
        started = time.perf_counter()
        gathered = self._runs.gathering(reader.connection, definitions.ready, numbers, alone=alone)
        if gathered is None:
            return True
        members = Members(reader, memory, definitions.ready, now)
        high = self._runs.slice(reader.connection, self._low)
        looked, differing = make(reader, members, gathered, numbers, (self._low, high), again=True)
        for number in numbers:
            self._rows[number] = _added(self._rows[number], looked, differing.get(number, ()))
        self._low = high
        self._runs.took(time.perf_counter() - started)
        if high == ALL:
            self._end(reader.connection, numbers, now)
        return True

    def _end(self, connection: Connection, numbers: Sequence[int], now: int) -> None:
        ended = {number: self._rows[number]._replace(ended=now) for number in numbers}
        checks.note(connection, ended)
        for number, row in ended.items():
            if row.differing:
                _log.error("memberships_differ", plan=number, differing=row.differing, looked=row.looked)
            else:
                _log.info("memberships_agree", plan=number, looked=row.looked)
        self.forget()

    def _due(self, connection: Connection, definitions: Definitions, now: int | None) -> list[int]:
        """Give the plans that are live since before the time of day came last, and were not checked since."""
        if self._at is None or now is None or not definitions.ready:
            return []
        since = now - (now - self._at * 60_000) % _DAY_MS
        if self._none_since == (since, definitions.version):
            return []
        reached, begun = memberships.reached(connection), checks.begun(connection)
        wanted = [
            number
            for number, plan in definitions.plans.items()
            if plan.live_at is not None and plan.live_at < since
            if number in definitions.ready.ready and reached.get(number) == ALL
        ]
        open_ = [number for number in wanted if not _is_done(begun.get(number), since)]
        self._none_since = None if open_ else (since, definitions.version)
        return [number for number in open_ if begun.get(number, (0, True))[0] < max(since, now - self._patience)]


def _is_done(begun: tuple[int, bool] | None, since: int) -> bool:
    return begun is not None and begun[0] >= since and begun[1]


def _added(row: CheckRow, looked: int, differing: Sequence[int]) -> CheckRow:
    sample = [*row.sample, *differing][: checks.SAMPLE]
    return row._replace(looked=row.looked + looked, differing=row.differing + len(differing), sample=sample)
