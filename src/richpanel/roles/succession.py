"""Succession: a rebuilt state takes the place of the one in force (docs/decisions/0010).

Only who holds `process.lock` does this, so that nothing else writes the state meanwhile: the processing role where a
server runs, else the command itself.
"""

from collections.abc import Callable
from time import monotonic
from typing import Final

from sqlalchemy.exc import DatabaseError

from richpanel.log.contract import LogReader
from richpanel.process.definitions import Watch
from richpanel.process.rebuilding import Rebuild, RebuildError, position_of
from richpanel.process.worker import CACHE_MIB
from richpanel.store import state_files
from richpanel.store.database import open_engine
from richpanel.store.directory import DataDirectory
from richpanel.store.revisions import is_newest
from richpanel.telemetry import get_logger

_LOOK_SECONDS: Final = 1.0
_log = get_logger(__name__)


class Waiting:
    """Tells whether a state was handed over; it looks once a second at the most."""

    def __init__(self, directory: DataDirectory) -> None:
        self._directory = directory
        self._looked = 0.0

    def __call__(self) -> bool:
        """Tell whether there is one to take over."""
        if monotonic() - self._looked < _LOOK_SECONDS:
            return False
        self._looked = monotonic()
        found = state_files.handed_over(self._directory.path)
        return found is not None and found.refused is None


def succeed(directory: DataDirectory, log: LogReader, definitions: Watch, go_on: Callable[[], bool]) -> str | None:
    """Bring the state that was handed over to where the one in force is, and put it in force.

    Gives the name of the file it replaced, to be removed a little later; None where nothing was switched: `go_on` said
    no between two batches (the hand-over stands), or it cannot be (the hand-over says why).
    """
    path = directory.path
    found = state_files.handed_over(path)
    if found is None or found.refused is not None:
        return None
    if state_files.in_force(path) == found.file:  # Whoever switched was killed right after it.
        state_files.take_back(path)
        return None
    try:
        if not _catch_up(directory, found.file, log, definitions, go_on):
            return None
        old = state_files.switch(path, found.file)
    except Exception as error:  # noqa: BLE001  # whatever is wrong with the new state, the one in force goes on
        _log.exception("state_not_switched", file=found.file)
        _refuse(directory, found.file, str(error.orig if isinstance(error, DatabaseError) else error))
        return None
    state_files.take_back(path)
    _log.info("state_switched", file=found.file, replaced=old)
    return old


def _refuse(directory: DataDirectory, name: str, reason: str) -> None:
    try:
        state_files.hand_over(directory.path, name, refused=reason)
    except OSError:  # A full disk: without the reason then, but never tried again and again.
        state_files.take_back(directory.path)


def _catch_up(
    directory: DataDirectory, name: str, log: LogReader, definitions: Watch, go_on: Callable[[], bool]
) -> bool:
    if not (directory.path / name).is_file():
        raise RebuildError("the file is gone")
    if not is_newest(directory.path / name, "state"):
        raise RebuildError("it is of another version: rebuild again")
    url = directory.state_file_url(name)
    old = open_engine(directory.state_url, read_only=True, cache_mib=4)
    rebuild = Rebuild(log, open_engine(url, cache_mib=CACHE_MIB), old, definitions)
    try:
        return rebuild.advance(position_of(old), lambda _: go_on())
    finally:
        rebuild.close()
        old.dispose()
