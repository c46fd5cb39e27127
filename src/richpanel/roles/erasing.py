"""Erasing, as the processing role drives it: beside the folding, which only looks in between two batches.

What has to be waited for (the log's owner, a copy of the state) is done on a thread; the receipts are written, and the
debt is let go, on the thread that owns the state.
"""

import asyncio
import os
import threading
from contextlib import suppress
from time import monotonic
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from richpanel.log.contract import LogBusy, LogClosed, LogDamaged, LogFull, LogReader, LogUnsure
from richpanel.log.remote import RemoteWriter
from richpanel.process.definitions import Watch
from richpanel.process.scrubbing import (
    Debt,
    ScrubbingError,
    conclude,
    copy_state,
    debt,
    erase_bodies,
    erase_deliveries,
    give_up_lost,
    others,
    scrub_definitions,
)
from richpanel.roles.clock import now_ms
from richpanel.store import ledger, state_files
from richpanel.store.database import open_engine
from richpanel.store.directory import DataDirectory
from richpanel.telemetry import get_logger

LOOK_SECONDS: Final = 0.5
RETRY_SECONDS: Final = 5.0
LOST_SECONDS: Final = 60.0
"""After this a regulation that is in the ledger and not in the log will not come any more."""
REFUSED_SECONDS: Final = 10.0
"""How long bodies of refused messages gather: each erasure ends the log's newest file, and late devices send often."""
_NICE: Final = 19
_log = get_logger(__name__)
_TRIED_AGAIN: Final = (
    ScrubbingError,
    LogBusy,
    LogClosed,
    LogDamaged,
    LogFull,
    LogUnsure,
    SQLAlchemyError,
    ValueError,
    OSError,
)


class Gathering:
    """When to pay: regulations at once, bodies of refused messages once they have gathered for a while."""

    def __init__(self) -> None:
        self._since: float | None = None

    def is_due(self, owed: Debt) -> bool:
        """Tell whether it is time."""
        if owed.regulations:
            return True
        self._since = self._since or monotonic()
        return monotonic() - self._since >= REFUSED_SECONDS

    def paid(self) -> None:
        """Begin anew."""
        self._since = None


class Erasing:
    """Pays what the state owes. `look` is called between two batches."""

    def __init__(self, directory: DataDirectory, log: LogReader, watch: Watch, owner: str | None) -> None:
        """`owner` is the socket of the log's owner; None where this server has none."""
        self._directory = directory
        self._log = log
        self._watch = watch
        self._owner = owner
        self._awake = True
        self._next = 0.0
        self._next_lost = 0.0
        self._gathering = Gathering()
        self._working: threading.Thread | None = None
        self._paying: Debt | None = None
        self._copy: str | None = None
        self._problem: str | None = None

    def wake(self) -> None:
        """Look again: a batch owes something, or the state is another one."""
        self._awake = True

    def look(self, state: Engine) -> None:
        """Begin what is owed, or end what is done; half a second passes between two looks at the least."""
        if not self._awake and monotonic() < self._next_lost:
            return  # Asked ten times a second by a server that has nothing to do.
        if monotonic() < self._next or (self._working is not None and self._working.is_alive()):
            return
        self._next = monotonic() + LOOK_SECONDS
        try:
            self._look(state)
        except SQLAlchemyError as error:
            _log.warning("erasing_waits", reason=str(error), retry_in_seconds=RETRY_SECONDS)
            self._next = monotonic() + RETRY_SECONDS

    def _look(self, state: Engine) -> None:
        if self._working is not None:
            self._working = None
            self._end(state)
            return
        if self._paying is not None:
            self._conclude(state)
            return
        self._give_up_lost(state)
        owed = debt(state, self._watch)
        self._awake = owed is not None
        if owed is not None and self._gathering.is_due(owed):
            self._paying, self._copy, self._problem = owed, None, None
            self._working = threading.Thread(target=self._work, args=(owed,), name="erasing", daemon=True)
            self._working.start()

    def _give_up_lost(self, state: Engine) -> None:
        """Say of regulations that never got into the log, for a server was killed, that they must be asked for anew."""
        if monotonic() < self._next_lost:
            return
        self._next_lost = monotonic() + LOST_SECONDS / 4
        give_up_lost(state, self._watch, self._log, now_ms() - round(LOST_SECONDS * 1000))

    def _work(self, owed: Debt) -> None:
        try:
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
            if owed.spans:
                asyncio.run(self._erase(owed))
            self._erase_deliveries(owed)
            scrub_definitions(self._watch, owed)
            if owed.erases:
                self._copy = copy_state(self._directory.path)
        except _TRIED_AGAIN as error:
            self._problem = str(error)
        except Exception as error:  # noqa: BLE001  # whatever it is, the job says so and is tried again
            _log.exception("erasing_failed")
            self._problem = repr(error)

    def _erase_deliveries(self, owed: Debt) -> None:
        delivery = open_engine(self._directory.delivery_url, cache_mib=1)
        try:
            erase_deliveries(delivery, self._watch, owed)
        finally:
            delivery.dispose()

    async def _erase(self, owed: Debt) -> None:
        if self._owner is None:
            raise ScrubbingError("the log's owner is another server: start one with `--role all` here")
        writer = RemoteWriter(self._owner, self._log)
        try:
            await erase_bodies(writer, owed)
        finally:
            await writer.close()

    def _end(self, state: Engine) -> None:
        """Go on after the thread: conclude, or say why it is tried again."""
        if self._paying is None:
            return
        if self._problem is not None:
            _log.warning("erasing_waits", reason=self._problem, retry_in_seconds=RETRY_SECONDS)
            self._explain(self._paying, self._problem)
            self._paying, self._next = None, monotonic() + RETRY_SECONDS
            return
        self._conclude(state)

    def _conclude(self, state: Engine) -> None:
        """Write the receipts once the clean copy is in force and every other file of the state is gone."""
        path, owed = self._directory.path, self._paying
        if owed is None:
            return
        if self._copy is not None:
            if state_files.in_force(path) != self._copy:
                found = state_files.handed_over(path)
                if found is None or found.file != self._copy or found.refused is not None:
                    self._paying = None  # Something else has taken its place, or it was refused: from the beginning.
                    self._next = monotonic() + RETRY_SECONDS
                return
            if others(path):
                return
        conclude(state, self._watch, owed, now_ms())
        self._paying = None
        self._gathering.paid()
        _log.info("erased", regulations=list(owed.regulations), bodies=len(owed.spans))

    def _explain(self, owed: Debt, problem: str | None) -> None:
        try:
            self._watch.write(lambda ledgers: ledger.explain(ledgers, owed.regulations, problem))
        except SQLAlchemyError as error:
            _log.warning("ledger_not_written", reason=str(error))
