"""What a rebuild that is to be put in force tells the account: how far it is, for `richpanel status` and the pages."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Final

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DatabaseError, OperationalError

from richpanel.log.contract import LogDamaged, LogGone
from richpanel.process.rebuilding import RebuildError
from richpanel.store import rebuilds
from richpanel.store.account import AccountSettings, read_account
from richpanel.store.database import open_engine
from richpanel.store.directory import DataDirectory
from richpanel.store.rebuilds import Step
from richpanel.store.successor import StillReadError

CHANGED: Final = "the account's settings were changed meanwhile: run it again"
STOPPED: Final = "it was stopped"
ENDING: Final = (RebuildError, StillReadError, LogGone, LogDamaged, OSError)
"""What ends a rebuild and leaves the state in force what it was; beside these the database may refuse."""
_EVERY_SECONDS: Final = 1.0


class Telling:
    """Tells how far a rebuild is, once a second at the most, and ends it as soon as it would be for nothing."""

    def __init__(self, account: Engine | None, settings: AccountSettings) -> None:
        """Without `account` nobody is told. `settings` are those that it begins with."""
        self._account = account
        self._settings = settings
        self._next = 0.0

    def __call__(self, step: Step, done: int = 0, total: int | None = None) -> None:
        """Tell it. Raises RebuildError where the settings are others by now."""
        if time.monotonic() < self._next or self._account is None:
            return
        self._next = time.monotonic() + _EVERY_SECONDS
        change = partial(rebuilds.tell, step=step, done=done, total=total, now=_now())
        with suppress(OperationalError):  # Somebody is in the way: the next time then.
            if self._write(change) != self._settings:
                raise RebuildError(CHANGED)

    def begin(self) -> None:
        """Tell that it begins."""
        self._write(partial(rebuilds.begin, now=_now()))

    def end(self, problem: str | None) -> None:
        """Tell that it ended, and why not well."""
        with suppress(OperationalError):
            self._write(partial(rebuilds.end, problem=problem, now=_now()))

    def _write(self, change: Callable[[Connection], None]) -> AccountSettings:
        if self._account is None:
            return self._settings
        with self._account.begin() as connection:
            change(connection)
            return read_account(connection)


@contextmanager
def told(directory: DataDirectory, *, dry_run: bool) -> Iterator[Telling]:
    """Tell of a rebuild from its beginning to its end. Of a dry run nothing is told: it changes nothing."""
    account = open_engine(directory.account_url, cache_mib=1)
    try:
        with account.connect() as connection:
            settings = read_account(connection)
        telling = Telling(None if dry_run else account, settings)
        telling.begin()
        try:
            yield telling
        except ENDING as error:
            telling.end(str(error))
            raise
        except DatabaseError as error:
            telling.end(f"the database cannot be used: {error.orig}")
            raise
        except BaseException:  # Stopped, most often: the command goes on with it.
            telling.end(STOPPED)
            raise
        telling.end(None)
    finally:
        account.dispose()


def _now() -> int:
    return int(time.time() * 1000)
