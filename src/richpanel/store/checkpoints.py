"""Checkpoints: SQLite's write-ahead log goes back into the database beside the processing, not inside its commits.

Copying pages back, and waiting for the disk, took a sixth of a batch's time. A thread of its own does it while the next
batch is folded; what that batch added meanwhile is copied at its end, so that the log can start over.

What is written here must not hold up the log of accepted calls, which is synced on the same disk many times a second: a
sync waits for what lies before it, so 50 MB that leave memory at once held calls up for 40 ms. So writing is started
bit by bit, right after each commit and all the time while pages are copied, and the syncs find little to do; and the
write-ahead log keeps its length when it starts over, so that writing into it changes nothing of the file system's own.
"""

import ctypes
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from richpanel.store.opened_files import look

START_BYTES: Final = 48 << 20
"""The write-ahead log is copied back once it is this long; a page written often meanwhile is copied once."""
_COPY: Final = "PRAGMA wal_checkpoint(PASSIVE)"
_START_EVERY: Final = 0.01
_INDEX_HEADER: Final = struct.Struct("=12xBBHI")
"""Of `-shm`, from its start: isInit, bigEndCksum, szPage and mxFrame (SQLite's "WAL-mode File Format", 2.1)."""


class Checkpoints:
    """Keeps a SQLite database's write-ahead log short. For other databases it does nothing."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        path = engine.url.database if engine.dialect.name == "sqlite" else None
        # SQLite names its files after the file itself, whatever link led there.
        self._file = None if path is None else Path(path).resolve()
        self._running: threading.Thread | None = None

    def after_batch(self) -> None:
        """Start copying where the log is long; once that is done, copy the rest, so that the log starts over."""
        if self._file is None:
            return
        start_writing(_beside(self._file, "-wal"))
        if self._running is not None:
            if not self._running.is_alive():
                self._running = None
                self._copy(self._file)
        elif log_bytes(self._file) > START_BYTES:
            self._running = threading.Thread(target=self._copy, args=(self._file,), name="checkpoint", daemon=True)
            self._running.start()

    def wait(self) -> None:
        """Let what is being copied be copied to its end, so that the connections can be closed."""
        if self._running is not None:
            self._running.join()

    def _copy(self, file: Path) -> None:
        """Copy what can be copied. A disk that is full or fails loses nothing by it: the next commit says so."""
        failures = (DBAPIError, self._engine.dialect.loaded_dbapi.Error)
        with suppress(*failures), self._engine.connect() as connection, _being_written(file):
            connection.connection.driver_connection.execute(_COPY)  # type: ignore[union-attr]  # outside a transaction


def log_bytes(database: Path) -> int:
    """Tell how long a database's write-ahead log is, as its index says: the file keeps the length that it once had."""
    try:
        head = look(_beside(database, "-shm"), lambda fd: os.pread(fd, _INDEX_HEADER.size, 0))
    except FileNotFoundError:
        return 0
    if len(head) < _INDEX_HEADER.size:
        return 0
    page: int
    frames: int
    _, _, page, frames = _INDEX_HEADER.unpack(head)
    return frames * (65_536 if page == 1 else page)


def start_writing(path: Path) -> None:
    """Have the system start to write what it holds of a file, without waiting; nothing where it cannot be told so."""
    if _sync_file_range is not None:
        with suppress(OSError):
            look(path, lambda fd: _sync_file_range(fd, 0, 0, _SYNC_FILE_RANGE_WRITE))


@contextmanager
def _being_written(path: Path) -> Iterator[None]:
    """Keep starting to write a file while the block runs."""
    done = threading.Event()

    def keep_starting() -> None:
        while not done.wait(_START_EVERY):
            start_writing(path)

    thread = threading.Thread(target=keep_starting, name="writing", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _beside(database: Path, suffix: str) -> Path:
    return database.with_name(database.name + suffix)


_SYNC_FILE_RANGE_WRITE: Final = 2
_sync_file_range = getattr(ctypes.CDLL(None), "sync_file_range", None)
if _sync_file_range is not None:
    _sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
