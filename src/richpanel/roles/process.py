"""The role that folds the log into the state."""

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine

from richpanel.config import Settings, as_options
from richpanel.log.contract import LogWriter
from richpanel.log.remote import RemoteWriter
from richpanel.log.segments import SegmentReader
from richpanel.process.batch import Applied
from richpanel.process.checking import minutes
from richpanel.process.definitions import Watch
from richpanel.process.worker import CACHE_MIB, Worker
from richpanel.roles.alone import alone
from richpanel.roles.erasing import Erasing
from richpanel.roles.parent import Parent, on_stop
from richpanel.roles.rebuilding import Rebuilding
from richpanel.roles.replaying import Means, Replaying
from richpanel.roles.reporting import Report
from richpanel.roles.slack import Slack
from richpanel.roles.succession import Waiting, succeed
from richpanel.store import state_files
from richpanel.store.database import open_engine
from richpanel.store.directory import DataDirectory
from richpanel.store.leadership import Leadership

_NICE: Final = 10
"""Calls and pages go first where there are fewer cores than work: the log keeps what waits."""


def run(settings: Settings, parent: Parent, sockets: Mapping[str, Any]) -> None:
    """Fold what the log holds, as it comes, until told to stop; a batch is finished first. Raises CannotRunError.

    A state that a rebuild hands over, or that erasing has made, takes the place of the one in force between
    two batches.
    """
    os.nice(_NICE)
    stop = threading.Event()
    on_stop(stop.set)
    parent.listen()
    directory = DataDirectory(settings.data, settings.database_url, settings.log_url)
    with alone(directory.path / state_files.PROCESSING):
        _clean(directory.path)
        account = open_engine(directory.account_url, read_only=True, cache_mib=1)
        ledger = open_engine(directory.account_url, cache_mib=1)
        state = open_engine(directory.state_url, cache_mib=CACHE_MIB)
        reader = SegmentReader(directory.log)
        definitions, report, waiting = Watch(account, ledger), Report(parent), Waiting(directory)
        slack = Slack()
        erasing = Erasing(directory, reader, definitions, sockets.get("log_path"))
        replaying = _replaying(directory, ledger, sockets.get("log_path"))
        rebuilding = Rebuilding(as_options(settings), ledger, Leadership(None, "rebuilding"))

        def on_batch(applied: Applied, seconds: float) -> None:
            report.on_batch(applied, seconds)
            slack.worked()
            if applied.owes:
                erasing.wake()

        def between() -> bool:
            erasing.look(state)
            return waiting()

        parent.say(ready=True)
        while not stop.is_set():
            erasing.wake()
            worker = Worker(
                reader,
                state,
                definitions,
                on_batch,
                on_stall=report.on_stall,
                check_at=minutes(settings.audience_check_at),
            )
            worker.run(stop, between)
            worker.close()
            if not stop.is_set():
                _remove_later(directory.path, succeed(directory, reader, definitions, lambda: not stop.is_set()))
                state.dispose()  # Its connections are the replaced file's.
        rebuilding.close()
        replaying.close()
        reader.close()
        for engine in (account, ledger, state):
            engine.dispose()


def _replaying(directory: DataDirectory, account: Engine, owner: str | None) -> Replaying:
    """Begin to look for replays; `owner` is the socket of the log's owner, None where this server has none."""
    log = SegmentReader(directory.log)

    def writer() -> LogWriter:
        if owner is None:
            raise OSError("the log's owner is another server: start one with `--role all` here")
        return RemoteWriter(owner, log)

    state = open_engine(directory.state_url, read_only=True, cache_mib=1)
    delivery = open_engine(directory.delivery_url, cache_mib=1)
    return Replaying(Means(state, account, delivery, log, writer, Leadership(None, "replaying")))


def _clean(directory: Path) -> None:
    """Remove files of the state that were left over; a command that rebuilds right now needs its own."""
    with state_files.try_lock(directory / state_files.REBUILDING) as free:
        if free:
            state_files.clean(directory)


def _remove_later(directory: Path, replaced: str | None) -> None:
    """Remove a replaced file once nobody opens it any more; what a crash prevents the next start does."""
    if replaced is not None:
        removing = threading.Timer(state_files.GRACE_SECONDS, state_files.remove, (directory, replaced))
        removing.daemon = True
        removing.start()
