"""Checkpoints: SQLite's write-ahead log goes back into the database beside the processing, not inside its commits.

Copying pages back, and waiting for the disk, took a sixth of a batch's time. A thread of its own does it while the next
batch is folded; what that batch added meanwhile is copied at its end, so that the log can start over.
"""

import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

START_BYTES: Final = 48 << 20
"""The write-ahead log is copied back once it is this long; a page written often meanwhile is copied once."""
_COPY: Final = "PRAGMA wal_checkpoint(PASSIVE)"


class Checkpoints:
    """Keeps a SQLite database's write-ahead log short. For other databases it does nothing."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        path = engine.url.database if engine.dialect.name == "sqlite" else None
        # SQLite names it after the file itself, whatever link led there.
        self._log = None if path is None else Path(f"{Path(path).resolve()}-wal")
        self._running: threading.Thread | None = None

    def after_batch(self) -> None:
        """Start copying where the log is long; once that is done, copy the rest, so that the log starts over."""
        if self._log is None:
            return
        if self._running is not None:
            if not self._running.is_alive():
                self._running = None
                self._copy()
        elif self._log.exists() and self._log.stat().st_size > START_BYTES:
            self._running = threading.Thread(target=self._copy, name="checkpoint", daemon=True)
            self._running.start()

    def wait(self) -> None:
        """Let what is being copied be copied to its end, so that the connections can be closed."""
        if self._running is not None:
            self._running.join()

    def _copy(self) -> None:
        """Copy what can be copied. A disk that is full or fails loses nothing by it: the next commit says so."""
        failures = (DBAPIError, self._engine.dialect.loaded_dbapi.Error)
        with suppress(*failures), self._engine.connect() as connection:
            connection.connection.driver_connection.execute(_COPY)  # type: ignore[union-attr]  # outside a transaction
