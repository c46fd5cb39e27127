"""Sampling: how far behind the processing is, what the log and the state take, and what the disk has left.

One node does it, on a thread of the pages' process, which has all that it reads open anyway.
"""

import shutil
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from richpanel import __version__
from richpanel.config import Settings
from richpanel.deliver.sending import Sender
from richpanel.log.age import kept_since, waiting_since
from richpanel.log.contract import LogDamaged, LogGone, LogReader
from richpanel.log.opening import open_reader
from richpanel.log.retention import log_sizes
from richpanel.roles.alarming import Alarming
from richpanel.roles.clock import now_ms
from richpanel.roles.mailing import mailer_of
from richpanel.roles.noticing import Noticing
from richpanel.store import bodies, progress, samples
from richpanel.store.bulk import on_postgres
from richpanel.store.database import open_engine, reading
from richpanel.store.directory import DataDirectory
from richpanel.store.leadership import Leadership
from richpanel.store.samples import MINUTE_MS, Sample
from richpanel.store.secrets import SecretKeyError, open_secrets
from richpanel.telemetry import get_logger

LOOK_SECONDS: Final = 5.0
TELL_SECONDS: Final = 1.0
_log = get_logger(__name__)


class Sampler:
    """Looks at the system, and notes a minute's worst once the minute is over."""

    def __init__(self, directory: DataDirectory, log: LogReader) -> None:
        """Nothing is read yet. `log` is for this thread alone."""
        self._directory = directory
        self._log = log
        self.state: Final[Engine] = open_engine(directory.state_url, read_only=True, cache_mib=1)
        self.account: Final[Engine] = open_engine(directory.account_url, cache_mib=1)
        self._last = Sample(0)
        self._worst = 0

    def close(self) -> None:
        """Let go of the databases."""
        self.state.dispose()
        self.account.dispose()

    def look(self, now: int) -> Sample:
        """Look once; `now` is ms UTC. The lag is as of now; all else is measured, and written, with each new minute.

        Raises SQLAlchemyError, OSError.
        """
        lag, minute = self._lag(now), now - now % MINUTE_MS
        self._worst = max(self._worst, lag)
        if minute != self._last.at:
            sample = self._measure(minute, lag)
            with self.account.begin() as connection:
                if self._last.at:
                    samples.note(connection, sample._replace(at=self._last.at, lag_ms=self._worst))
                samples.note(connection, sample)
            self._last, self._worst = sample, lag
        return self._last._replace(lag_ms=lag)

    def _lag(self, now: int) -> int:
        with reading(self.state) as connection:
            position = progress.read(connection).position
        with suppress(LogGone, LogDamaged, OSError):
            since = waiting_since(self._log, position)
            return 0 if since is None else max(now - since, 0)
        return 0

    def _measure(self, at: int, lag: int) -> Sample:
        with reading(self.state) as connection:
            state = samples.size_of_state(connection)
            kept = bodies.kept_since(connection) if on_postgres(connection) else self._kept_since()
        disk = shutil.disk_usage(self._directory.path)
        return Sample(at, lag, _bytes_of(self._directory.log), state, disk.free, disk.total, kept)

    def _kept_since(self) -> int | None:
        with suppress(LogGone, LogDamaged):
            return kept_since(self._log)
        return None


def _bytes_of(log: Path) -> int:
    """Give what the log takes on this disk; one that is a stream takes nothing here."""
    return log_sizes(log).total if log.is_dir() else 0


@contextmanager
def sampling(settings: Settings, directory: DataDirectory) -> Iterator[None]:
    """Look again and again, on a thread, where this node leads."""
    stop, leads = threading.Event(), threading.Event()
    threads = [
        threading.Thread(target=_look, args=(settings, directory, leads, stop), name="sampling"),
        threading.Thread(target=_tell, args=(settings, directory, leads, stop), name="noticing"),
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _look(settings: Settings, directory: DataDirectory, leads: threading.Event, stop: threading.Event) -> None:
    delivery = open_engine(directory.delivery_url, read_only=True, cache_mib=1)
    with (
        closing(open_reader(directory.log, settings.log_url)) as log,
        closing(Sampler(directory, log)) as sampler,
        closing(Leadership(settings.database_url, "sampling")) as leadership,
    ):
        alarming = Alarming(sampler.state, delivery, sampler.account, settings.public_url)
        while not stop.is_set():
            try:
                if leadership.is_leader():
                    leads.set()
                    now = now_ms()
                    alarming.look(sampler.look(now), now)
                else:
                    leads.clear()
                    alarming.forget()
            except (SQLAlchemyError, OSError) as error:
                _log.warning("sampling_waits", reason=str(error), retry_in_seconds=LOOK_SECONDS)
            stop.wait(LOOK_SECONDS)
    delivery.dispose()


def _tell(settings: Settings, directory: DataDirectory, leads: threading.Event, stop: threading.Event) -> None:
    account = open_engine(directory.account_url, cache_mib=1)
    noticing = Noticing(
        account,
        open_secrets(directory.path, settings.secret_key),
        lambda: Sender(f"richpanel-destination/{__version__}", allow_private=settings.allow_private_endpoints),
        mailer_of(settings.smtp_url, settings.smtp_from),
    )
    while not stop.wait(TELL_SECONDS):
        try:
            if leads.is_set():
                noticing.send_due(now_ms())
        except (SQLAlchemyError, OSError, SecretKeyError) as error:
            _log.warning("notices_wait", reason=str(error), retry_in_seconds=LOOK_SECONDS)
            stop.wait(LOOK_SECONDS)
    account.dispose()
