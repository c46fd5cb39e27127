"""Erasing on a cluster: of all workers one pays what the state owes, on a thread of its own.

The rows are gone when a regulation is applied, bodies and all. What is left to do is to let go of the records in the
stream that held them, to vacuum the tables, and to write the receipts. Every step can be made again after a crash.
"""

import threading
from time import monotonic
from typing import NamedTuple

from msgspec import UNSET
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from richpanel.core.regulation import Wal
from richpanel.log.contract import LogReader
from richpanel.log.stream_erasing import StreamEraser
from richpanel.process.definitions import Watch
from richpanel.process.scrubbing import Debt, conclude, debt, erase_deliveries, give_up_lost, scrub_definitions
from richpanel.roles.clock import now_ms
from richpanel.roles.erasing import LOOK_SECONDS, LOST_SECONDS, RETRY_SECONDS, Gathering
from richpanel.store import ledger, successor
from richpanel.store.database import reading
from richpanel.store.leadership import Leadership
from richpanel.store.status import processed
from richpanel.store.vacuum import vacuum
from richpanel.telemetry import get_logger

_log = get_logger(__name__)


class Databases(NamedTuple):
    """The state and the deliveries."""

    state: Engine
    delivery: Engine


class SharedErasing:
    """Pays what the state owes, where this process leads."""

    def __init__(
        self, databases: Databases, watch: Watch, log: LogReader, eraser: StreamEraser, leadership: Leadership
    ) -> None:
        """Begin; all but the state and what `watch` reads by ends with it, and is used by its thread alone."""
        self._state, self._delivery = databases
        self._watch = watch
        self._log = log
        self._eraser = eraser
        self._leadership = leadership
        self._gathering = Gathering()
        self._next_lost = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="erasing", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it; what is owed stays owed. The next one to lead goes on."""
        self._stop.set()
        self._thread.join()
        self._log.close()
        self._eraser.stop()
        self._delivery.dispose()
        self._leadership.close()

    def _run(self) -> None:
        pause = LOOK_SECONDS
        while not self._stop.wait(pause):
            pause = LOOK_SECONDS
            owed: Debt | None = None
            try:
                if self._leadership.is_leader():
                    self._give_up_lost()
                    owed = debt(self._state, self._watch)
                    if owed is not None and self._gathering.is_due(owed):
                        self._pay(owed)
            except Exception as error:  # noqa: BLE001  # whatever it is, the job says so and is tried again
                pause = RETRY_SECONDS
                _log.warning("erasing_waits", reason=str(error), retry_in_seconds=RETRY_SECONDS)
                self._explain(owed, str(error))

    def _give_up_lost(self) -> None:
        if monotonic() >= self._next_lost:
            self._next_lost = monotonic() + LOST_SECONDS / 4
            give_up_lost(self._state, self._watch, self._log, now_ms() - round(LOST_SECONDS * 1000))

    def _pay(self, owed: Debt) -> None:
        with reading(self._state) as connection:
            applied = processed(connection).position
        if any(place >= applied for place, _ in owed.spans):
            return  # Others are still at work on what came in between: their records are needed.
        if owed.erases:
            self._drop_others()
        records = self._eraser.erase([place for place, _ in owed.spans], applied)
        erase_deliveries(self._delivery, self._watch, owed)
        scrub_definitions(self._watch, owed)
        wal = Wal(vacuum(self._state), now_ms()) if owed.erases else UNSET
        conclude(self._state, self._watch, owed, now_ms(), wal)
        self._gathering.paid()
        _log.info("erased", regulations=list(owed.regulations), bodies=len(owed.spans), records=records)

    def _drop_others(self) -> None:
        """Leave no state beside the one in force: one that is being made anew has what is to go, and begins again."""
        with self._state.begin() as connection:
            if successor.any_beside(connection):
                successor.drop_all(connection)

    def _explain(self, owed: Debt | None, problem: str) -> None:
        if owed is not None:
            try:
                self._watch.write(lambda ledgers: ledger.explain(ledgers, owed.regulations, problem))
            except SQLAlchemyError as error:
                _log.warning("ledger_not_written", reason=str(error))
