"""One of several workers that fold a shared stream into a state on PostgreSQL (docs/decisions/0017).

A record is handed to one worker at a time, and acknowledged once all of it is committed. What is handed out again, for
a worker died or was slow, is known and passed over. A regulation holds by its place in the log: while one is on its
way, all go by the log's order.
"""

import gc
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from richpanel.log.consumer import Delivery, StreamConsumer
from richpanel.log.contract import Entry
from richpanel.log.stream import following
from richpanel.process import tending
from richpanel.process.batch import Applied
from richpanel.process.definitions import Watch
from richpanel.process.shared_batch import OvertakenError, SharedBatches
from richpanel.process.worker import OnBatch, OnStall
from richpanel.store import applied as ranges
from richpanel.store import erasing, ledger, progress
from richpanel.telemetry import get_logger

MAX_BATCH_BYTES: Final = 16 << 20
"""Bytes of records that a worker takes at a time: some 14,000 messages of 1 KB."""
WAIT_SECONDS: Final = 0.5
"""How long a worker that has nothing to do waits for a record before it looks whether it is to stop."""
TENDING_SECONDS: Final = 0.1
"""How long memberships are tended before records are looked for again."""
RETRY_SECONDS: Final = 1.0
HOLE_SECONDS: Final = 2.0
"""So often it is looked for what the low-water mark waits for: the stream may have it no more."""
_TURN_SECONDS: Final = 0.05
_COLLECT_EVERY: Final = 256
_log: structlog.stdlib.BoundLogger = get_logger("process")


class SharedWorker:
    """Applies what the consumer hands out, until told to stop."""

    def __init__(
        self,
        consumer: StreamConsumer,
        state: Engine,
        definitions: Watch,
        on_batch: OnBatch | None = None,
        *,
        on_stall: OnStall | None = None,
        check_at: int | None = None,
    ) -> None:
        """As `process.worker.Worker` does."""
        self._consumer = consumer
        self._state = state
        self._definitions = definitions
        self._batches = SharedBatches(state, definitions, check_at)
        self._on_batch = on_batch
        self._on_stall = on_stall or (lambda _reason: None)
        self._count = 0
        self._looked = time.monotonic()
        self._unswept = tending.Unswept(definitions)

    def step(self, max_bytes: int = MAX_BATCH_BYTES, wait_seconds: float = 0.0) -> Applied | None:
        """Take some records and apply them; None where there are none, or where it is not their turn.

        After an error nothing is lost: what was not acknowledged is handed out again.
        """
        left = sorted(self._consumer.fetch(max_bytes, wait_seconds), key=lambda delivery: delivery.entry.start)
        newest: Applied | None = None
        try:
            while left := self._without_passed(left):
                count, newest = self._take(left)
                if not count:
                    time.sleep(_TURN_SECONDS)
                    break
                self._consumer.ack(left[:count])
                left = left[count:]
        except BaseException:
            self._batches.forget()
            raise
        finally:
            self._consumer.give_back(left)
        self._look_for_holes()
        return newest

    def tend(self, now: int) -> bool:
        """Let time do to memberships what it does (`process.tending`); tell whether there may be more to do at once.

        `now` is ms UTC. Where records wait, it is as late as the newest of those that are applied.
        """
        definitions = self._definitions.current()
        tending.give_up(self._definitions, definitions)
        unswept = self._unswept.of(definitions)
        if not definitions.computes and not unswept:
            return False
        until: int | None = now
        if definitions.ready and self._consumer.pending():
            with self._state.connect() as connection:
                received_at = progress.read(connection).received_at
            until = received_at if now - received_at < tending.LAG_MS else None
        return self._batches.tend(now, until, unswept)

    def _without_passed(self, deliveries: list[Delivery]) -> list[Delivery]:
        """Have done with what is applied already."""
        if not deliveries:
            return []
        with self._state.connect() as connection:
            passed = ranges.passed(connection, [delivery.entry.start for delivery in deliveries])
        if not passed:
            return deliveries
        self._consumer.ack([delivery for delivery in deliveries if delivery.entry.start in passed])
        return [delivery for delivery in deliveries if delivery.entry.start not in passed]

    def _take(self, left: Sequence[Delivery]) -> tuple[int, Applied | None]:
        """Apply the first of these records; tell how many. 0 where others have to come first."""
        started = time.perf_counter()
        entries = [delivery.entry for delivery in left]
        orderly = self._is_regulation_coming()
        if orderly:
            with self._state.connect() as connection:
                entries = ranges.in_turn(connection, entries, following)
            if not entries:
                return 0, None
        seen = any(delivery.redelivered for delivery in left)
        count, applied = self._apply(entries, orderly=orderly, seen=seen)
        if applied is not None:
            self._after(applied, time.perf_counter() - started)
        return count, applied

    def _is_regulation_coming(self) -> bool:
        """Tell whether a regulation is on its way to the state: it is in the ledger before it is in the log."""
        coming = self._definitions.look_up(ledger.not_done)
        if not coming:
            return False
        with self._state.connect() as connection:
            return not erasing.applied_among(connection, coming).issuperset(coming)

    def _apply(self, entries: Sequence[Entry], *, orderly: bool, seen: bool) -> tuple[int, Applied | None]:
        while True:
            try:
                return self._batches.apply(entries, orderly=orderly, seen=seen)
            except OvertakenError:  # Whoever changed the definitions is done with it: it is rarely twice in a row.
                seen = True

    def _after(self, applied: Applied, seconds: float) -> None:
        self._count += 1
        if self._count % _COLLECT_EVERY == 0:
            gc.collect(1)
        if self._on_batch is not None:
            self._on_batch(applied, seconds)

    def _look_for_holes(self) -> None:
        """Pass over records that the low-water mark waits for and that are no more, dropped or erased by hand."""
        if time.monotonic() - self._looked < HOLE_SECONDS:
            return
        self._looked = time.monotonic()
        with self._state.connect() as connection:
            if not ranges.any_above(connection):
                return
        acknowledged = self._consumer.acknowledged()
        with self._state.begin() as connection:
            ranges.pass_over(connection, acknowledged, following)

    def run(self, stop: threading.Event, interrupted: Callable[[], bool] = lambda: False) -> None:
        """Apply batches until told to stop, or until `interrupted`, which is asked between batches, says so.

        What cannot be read or written just now is tried again and again; nothing is skipped.
        """
        goes, more = False, False
        while not stop.is_set() and not interrupted():
            try:
                self.step(wait_seconds=0.0 if more else WAIT_SECONDS)
                until, more = time.monotonic() + TENDING_SECONDS, True
                while more and time.monotonic() < until:
                    more = self.tend(round(time.time() * 1000))
                if not goes:
                    self._on_stall(None)
                    goes = True
            except (DBAPIError, ConnectionError, OSError) as error:
                goes, reason = False, str(error.orig if isinstance(error, DBAPIError) else error)
                self._on_stall(reason)
                _log.error("batch_failed", error=reason, retry_in_seconds=RETRY_SECONDS)
                stop.wait(RETRY_SECONDS)
