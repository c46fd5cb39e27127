"""The processing role: apply what the log holds, as it comes, for as long as it runs.

One process does this for a data directory. When the log is far ahead, batches grow: a page that many messages touch is
then written once for all of them. When it is not, a batch is what arrived within the last `PACE_SECONDS`.
"""

import gc
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, NamedTuple, TypeVar

import structlog
from sqlalchemy import Connection, Engine, Transaction
from sqlalchemy.exc import OperationalError

from richpanel.log.contract import LogDamaged, LogReader
from richpanel.process import settling, tending
from richpanel.process.batch import Applied, apply
from richpanel.process.checking import Checks
from richpanel.process.definitions import Definitions, Watch
from richpanel.process.earlier import EarlierDecisions
from richpanel.process.incoming import Opened, open_batch
from richpanel.process.memory import Memory
from richpanel.process.refold import Reader
from richpanel.process.refusing import by_source_and_hour, sift
from richpanel.process.regulating import regulate
from richpanel.process.replaying import replay
from richpanel.process.running import Runs
from richpanel.store import memberships, progress
from richpanel.store.checkpoints import Checkpoints
from richpanel.store.ledger import count_refusals
from richpanel.telemetry import get_logger

MAX_BATCH_BYTES: Final = 8 << 20
"""Log bytes per transaction at the most: some 9,000 messages. Larger ones cost memory and gain little."""
CACHE_MIB: Final = 24
"""More holds no pages that count: what a batch touches is all over the place, and the system keeps the files anyway."""
AHEAD_BYTES: Final = 1 << 20
"""With more than so much waiting, batches follow at once, and the next is opened while the disk takes one."""
PACE_SECONDS: Final = 0.1
"""Else they begin so far apart: a batch has a cost of its own, some 4 ms, that its messages share."""
IDLE_SECONDS: Final = (0.02, 0.1)
"""How long to wait for something to do: at first, and after a second of nothing."""
LOOK_SECONDS: Final = 0.5
"""Where nothing comes and no window closes, so often it is looked for audiences that are made, and to be removed."""
RETRY_SECONDS: Final = 1.0
_PATIENCE: Final = 50
_MINUTE_MS: Final = 60_000
_COLLECT_EVERY: Final = 1_024

_log: structlog.stdlib.BoundLogger = get_logger("process")
OnBatch = Callable[[Applied, float], None]
T = TypeVar("T")
OnStall = Callable[[str | None], None]


class _Rested(NamedTuple):
    """When there was nothing to tend: with which definitions, up to which position, and what is due next, ms UTC.

    Nobody else writes the state, so until one of them is another there is nothing; checks begin at whole minutes.
    """

    definitions: Definitions
    position: int | None
    now: int
    due: int | None

    def still(self, definitions: Definitions, position: int | None, now: int) -> bool:
        """Tell whether there is still nothing to tend."""
        if definitions is not self.definitions or position != self.position or now < self.now:
            return False
        return now // _MINUTE_MS == self.now // _MINUTE_MS and (self.due is None or now < self.due)


class Worker:
    """Applies the log to the state, batch by batch. While the disk takes one, the next is opened.

    `earlier` is set to make a state anew: messages that it knows keep their decisions.
    """

    def __init__(
        self,
        reader: LogReader,
        state: Engine,
        definitions: Watch,
        on_batch: OnBatch | None = None,
        *,
        on_stall: OnStall | None = None,
        check_at: int | None = None,
    ) -> None:
        """Hear of each batch with the seconds it took, and of each failure why nothing goes on: None once it does.

        `check_at` is when memberships are checked, minutes of the day in UTC (`process.checking`).
        """
        self._reader = reader
        self._bodies = reader.slice
        self._state = state
        self._definitions = definitions
        self._on_batch = on_batch
        self._on_stall = on_stall or (lambda _reason: None)
        self._checkpoints = Checkpoints(state)
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._batches = 0
        self._memory: Memory | None = None
        self._position: int | None = None
        self._ahead: Opened | None = None
        self._received_at = 0
        self._rested: _Rested | None = None
        self._unswept = tending.Unswept(definitions)
        self._runs = Runs()
        self._checks = Checks(check_at)
        self.earlier: EarlierDecisions | None = None

    def step(self, max_bytes: int = MAX_BATCH_BYTES) -> Applied | None:
        """Apply one batch; None where nothing waits. After an error nothing of it is applied."""
        started = time.perf_counter()
        if self._ahead is None and self._position is not None and self._reader.durable() <= self._position:
            return None  # Asked ten times a second by a server that has nothing to do.
        definitions, opened = self._next(max_bytes)
        if opened is None:
            return None
        gc.disable()  # A batch makes a million objects and no cycles worth looking for meanwhile.
        try:
            with self._state.connect() as connection:
                transaction = connection.begin()
                if self._memory is None:
                    self._memory = Memory(connection, definitions.account.hash_key)
                self._memory.earlier = self.earlier
                applied = self._apply(connection, self._memory, definitions, opened)
                committing = self._disk.submit(self._commit, transaction)
                try:
                    self._memory.trim()
                    if self._reader.durable() - applied.position > min(AHEAD_BYTES, max_bytes):
                        self._ahead = self._open(definitions, applied.position, max_bytes)
                finally:
                    committing.result()
        except BaseException:
            self._memory = self._position = self._ahead = None
            raise
        finally:
            self._collect()
        self._position = applied.position
        self._received_at = max(self._received_at, applied.received_at)
        if opened.regulation is not None:
            self._memory = self._ahead = None
        if applied.private and self.earlier is None:
            self._definitions.write(lambda ledgers: count_refusals(ledgers, by_source_and_hour(applied.private)))
        if self._on_batch is not None:
            self._on_batch(applied, time.perf_counter() - started)
        return applied

    def tend(self, now: int) -> bool:
        """Let time do to memberships what it does (`process.tending`); tell whether there may be more to do at once.

        `now` is ms UTC. Where messages wait, it is as late as the last of those that are applied.
        """
        definitions = self._definitions.current()
        if self._rested is not None and self._rested.still(definitions, self._position, now):
            return False
        self._rested = None
        tending.give_up(self._definitions, definitions)
        unswept = self._unswept.of(definitions)
        if not definitions.computes and not unswept:
            return False
        if self._reader.durable() > self._where():
            now = self._received_at if now - self._received_at < tending.LAG_MS else 0
        with self._state.connect() as connection:
            if not tending.is_wanted(connection, definitions, now or None, unswept, self._checks):
                self._rested = _Rested(definitions, self._position, now, memberships.next_due(connection))
                return False
            tending.begin(self._definitions, connection, definitions)
        tended = self._alone(
            partial(tending.tend, now=now or None, unswept=unswept, runs=self._runs, check=self._checks)
        )
        tending.report(self._definitions, definitions, tended, now)
        return tended.more

    def _rest(self) -> float:
        """Tell for how long, in seconds, there is nothing to tend while nothing comes."""
        due = None if self._rested is None else self._rested.due
        return LOOK_SECONDS if due is None else max(0.0, min(LOOK_SECONDS, due / 1000 - time.time()))

    def settle(self, old: Connection, now: int) -> None:
        """Have in a state made anew what the one in force has besides the log's messages, as of `now`, ms UTC."""
        self._alone(partial(settling.take_over_told, old))
        while self._alone(partial(tending.tend, now=now, unswept=[], runs=self._runs)).more:
            pass

    def _alone(self, change: Callable[[Reader, Memory, Definitions], T]) -> T:
        """Change the state between two batches."""
        definitions = self._definitions.current()
        gc.disable()  # As for a batch.
        try:
            with self._state.begin() as connection:
                if self._memory is None:
                    self._memory = Memory(connection, definitions.account.hash_key)
                found = change(Reader(connection, definitions, self._bodies), self._memory, definitions)
        except BaseException:
            self._memory = None
            self._runs.forget()
            self._checks.forget()
            raise
        self._memory.trim()
        return found

    def close(self) -> None:
        """Let the threads end that commit and copy."""
        self._disk.shutdown()
        self._checkpoints.wait()

    def _where(self) -> int:
        if self._position is None:
            with self._state.connect() as connection:
                self._position = progress.read(connection).position
        return self._position

    def _next(self, max_bytes: int) -> tuple[Definitions, Opened | None]:
        """Give what is next, opened, and the definitions as they are after it was read.

        So what comes into the log after a change of them is decided about with it (`engage.backfilling`).
        """
        definitions = self._definitions.current()
        opened, self._ahead = self._ahead, None
        if opened is None:
            opened = self._open(definitions, self._where(), max_bytes)
            definitions = self._definitions.current()
        while opened is not None and opened.version != definitions.version:
            opened = self._open(definitions, self._where(), max_bytes)
            definitions = self._definitions.current()
        return definitions, opened

    def _open(self, definitions: Definitions, position: int, max_bytes: int) -> Opened | None:
        entries = self._reader.read(position, max_bytes)
        if not entries:
            return None
        return sift(open_batch(entries, definitions), definitions, self._bodies, self._definitions.erased_among)

    def _apply(self, connection: Connection, memory: Memory, definitions: Definitions, opened: Opened) -> Applied:
        if opened.again is not None:
            return replay(connection, memory, definitions, opened, self._bodies, named=opened.again)
        if opened.regulation is None:
            return apply(connection, memory, definitions, opened, self._bodies)
        return regulate(
            connection,
            memory,
            definitions,
            opened,
            self._bodies,
            regulation=opened.regulation,
            watch=self._definitions,
        )

    def _commit(self, transaction: Transaction) -> None:
        """Wait for the disk, on a thread of its own: SQLite lets the interpreter go meanwhile."""
        transaction.commit()
        self._checkpoints.after_batch()

    def _collect(self) -> None:
        """Look for cycles now and then, among young objects: what is remembered between batches is old and has none."""
        self._batches += 1
        if self._batches % _COLLECT_EVERY == 0:
            gc.collect(1)

    def run(self, stop: threading.Event, interrupted: Callable[[], bool] = lambda: False) -> None:
        """Apply batches until told to stop, or until `interrupted`, which is asked between batches, says so.

        What cannot be read or written just now, a database that is busy or full or a disk that fails, is tried again
        and again; nothing is skipped.
        """
        idle, goes, tend_at = 0, False, 0.0
        while not stop.is_set() and not interrupted():
            started = time.monotonic()
            try:
                idle = idle + 1 if self.step() is None else 0
                if not goes:
                    self._on_stall(None)
                    goes = True
                if not idle or started >= tend_at:
                    while (more := self.tend(round(time.time() * 1000))) and time.monotonic() - started < PACE_SECONDS:
                        idle = 0
                    tend_at = started + (0.0 if more else self._rest())
                if idle:
                    stop.wait(IDLE_SECONDS[idle > _PATIENCE])
                elif self._ahead is None:
                    stop.wait(started + PACE_SECONDS - time.monotonic())
            except (OperationalError, LogDamaged, OSError) as error:
                goes, reason = False, str(error.orig if isinstance(error, OperationalError) else error)
                self._on_stall(reason)
                _log.error("batch_failed", error=reason, retry_in_seconds=RETRY_SECONDS)
                stop.wait(RETRY_SECONDS)
