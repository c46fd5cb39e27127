"""Rebuilding, as the processing role starts it: a setting that the fold uses was changed (`semantics.md` 1).

That a rebuild is due stands with the settings (`store.account.folded_with`) until one is in force, so whatever is
killed is begun again. It runs beside the role, as the command `richpanel rebuild` does, and ends with it. On a cluster
one of the nodes that process leads; that no two run at a time the command itself sees to.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from tempfile import TemporaryFile
from time import monotonic
from typing import IO, Final

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from richpanel.store.account import AccountSettings, folded_with, read_account
from richpanel.store.database import Changes, reading
from richpanel.store.leadership import Leadership
from richpanel.telemetry import get_logger

LOOK_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 10.0
LONGEST_SECONDS: Final = 3_600.0
"""What cannot be, for the log lost its beginning perhaps, is tried ever more seldom."""
STOP_SECONDS: Final = 3.0
_MODULE: Final = "richpanel.commands.rebuild"
_DIFFERENT: Final = 3
"""The command's exit code where the new state is not what the old one was: it is not meant to be."""
_SAID: Final = 1_000
_log = get_logger(__name__)


class Rebuilding:
    """Starts a rebuild whenever one is due, where this process leads, until it is closed."""

    def __init__(
        self,
        settings: Mapping[str, object],
        account: Engine,
        leadership: Leadership,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        """Begin. `settings` are the server's, as `config.as_options` gives them; the account is not closed here."""
        self._settings = settings
        self._account = account
        self._leadership = leadership
        self._changes = Changes(account)
        self._due: AccountSettings | None = None
        self._is_read = False
        self._running: tuple[subprocess.Popen[bytes], IO[bytes]] | None = None
        self._begun_with: AccountSettings | None = None
        self._next = 0.0
        self._retry_seconds = self._pause = retry_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rebuilding", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End, and what runs with it; the next start begins it again."""
        self._stop.set()
        self._thread.join()
        self._leadership.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._look()
            except (SQLAlchemyError, OSError) as error:
                _log.warning("rebuild_waits", reason=str(error), retry_in_seconds=self._retry_seconds)
                self._next = monotonic() + self._retry_seconds
            self._stop.wait(LOOK_SECONDS)
        self._end()

    def _look(self) -> None:
        if self._running is not None:
            process, said = self._running
            if process.poll() is None:
                return
            self._running = None
            self._ended(process.returncode, said)
        if self._changes.any() or not self._is_read:
            self._is_read = False
            with reading(self._account) as account:
                self._due = _due(account)
            self._is_read = True
        if self._due is None:
            return
        if self._due != self._begun_with:  # Changed again: that is not what failed.
            self._next, self._pause = 0.0, self._retry_seconds
        if monotonic() >= self._next and self._leadership.is_leader():
            self._begin(self._due)

    def _begin(self, due: AccountSettings) -> None:
        self._begun_with = due
        said = TemporaryFile()  # noqa: SIM115  # closed once the process has ended
        command = (sys.executable, "-P", "-m", _MODULE)
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said)
        self._running = process, said
        if process.stdin is not None:
            process.stdin.write(json.dumps(self._settings).encode())
            process.stdin.close()
        _log.info("rebuild_started")

    def _ended(self, code: int, said: IO[bytes]) -> None:
        with said:
            said.seek(0)
            reason = said.read(_SAID).decode(errors="replace").strip()
        if code in (0, _DIFFERENT):
            _log.info("rebuilt")
            self._begun_with, self._next, self._pause = None, 0.0, self._retry_seconds
            return
        _log.warning("rebuild_waits", reason=reason or f"it ended with code {code}", retry_in_seconds=self._pause)
        self._next = monotonic() + self._pause
        self._pause = min(self._pause * 2, LONGEST_SECONDS)

    def _end(self) -> None:
        """Let what runs give back what it has; it would be killed with this process."""
        if self._running is None:
            return
        process, said = self._running
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        said.close()


def _due(account: Connection) -> AccountSettings | None:
    """Give the settings with which the state is to be made anew; None where it was made with them."""
    return read_account(account) if folded_with(account) is not None else None
