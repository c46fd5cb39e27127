"""The role that folds the log into the state."""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Final

from richpanel import telemetry
from richpanel.config import Settings
from richpanel.log.segments import SegmentReader
from richpanel.process.definitions import Watch
from richpanel.process.worker import Worker
from richpanel.roles.parent import CannotRunError, Parent, on_stop
from richpanel.store.database import open_engine
from richpanel.store.directory import DataDirectory

LOCK_SECONDS: Final = 5.0
"""How long a start waits for the process of a server that is just ending."""
_NICE: Final = 10
"""Calls and pages go first where there are fewer cores than work: the log keeps what waits."""
_REPORT_SECONDS: Final = 1.0
CACHE_MIB: Final = 24
"""More holds no pages that count: what a batch touches is all over the place, and the system keeps the files anyway."""


def run(settings: Settings, parent: Parent) -> None:
    """Fold what the log holds, as it comes, until told to stop; a batch is finished first. Raises CannotRunError."""
    os.nice(_NICE)
    stop = threading.Event()
    on_stop(stop.set)
    parent.listen()
    directory = DataDirectory(settings.data)
    with _alone(directory.path / "process.lock"):
        account = open_engine(directory.account_url, read_only=True, cache_mib=1)
        state = open_engine(directory.state_url, cache_mib=CACHE_MIB)
        reader = SegmentReader(directory.log)
        report = _Report(parent)
        worker = Worker(reader, state, Watch(account), report.on_batch, on_stall=report.on_stall)
        parent.say(ready=True)
        worker.run(stop)
        worker.close()
        reader.close()
        for engine in (account, state):
            engine.dispose()


class _Report:
    """Tells the parent what was counted, once a second at the most, and why nothing goes on where that is so."""

    def __init__(self, parent: Parent) -> None:
        self._parent = parent
        self._told = 0.0

    def on_batch(self, _applied: object, seconds: float) -> None:
        telemetry.BATCHES.add(1)
        telemetry.BATCH_SECONDS.observe(seconds)
        if monotonic() - self._told > _REPORT_SECONDS:
            self._told = monotonic()
            self._parent.say(figures=telemetry.snapshot())

    def on_stall(self, reason: str | None) -> None:
        self._parent.say(stalled=reason)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Be the one process that writes the state."""
    with path.open("a") as lock:
        deadline = monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if monotonic() > deadline:
                    raise CannotRunError(f"another server runs on {path.parent}: stop that one first") from None
                threading.Event().wait(0.05)
        yield
