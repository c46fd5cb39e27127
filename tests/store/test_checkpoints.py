"""Checkpoints: the write-ahead log stays short while batches come, and keeps its file."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import Engine

from richpanel.store import checkpoints, opened_files
from richpanel.store.checkpoints import Checkpoints, log_bytes, start_writing
from richpanel.store.database import open_engine, reading

ROW = os.urandom(2_000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def engine(path: Path) -> Iterator[Engine]:
    made = open_engine(f"sqlite:///{path}")
    with made.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (x BLOB)")
    yield made
    made.dispose()


def batch(engine: Engine, rows: int = 100) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (?)", [(ROW,)] * rows)


def test_the_length_of_the_write_ahead_log(engine: Engine, path: Path) -> None:
    """As SQLite itself says it, in frames of a page."""
    assert log_bytes(path.with_name("none.db")) == 0
    batch(engine)
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        _, frames, _ = driver.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    assert log_bytes(path) == frames * 4096 > 200_000
    batch(engine, 1)
    assert 0 < log_bytes(path) <= 4 * 4096


def test_a_long_log_is_copied_back_and_starts_over(engine: Engine, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "START_BYTES", 1 << 20)
    keeper = Checkpoints(engine)
    lengths = []
    for _ in range(60):
        batch(engine)
        keeper.after_batch()
        keeper.wait()
        lengths.append(log_bytes(path))
    keeper.wait()
    assert max(lengths) < 2 << 20
    assert lengths[-1] < max(lengths)
    assert path.with_name("state.db-wal").stat().st_size > max(lengths)  # The file is as long as it ever was.
    assert path.stat().st_size > 9 << 20
    with reading(engine) as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM t").scalar() == 6_000


def test_a_short_log_is_left_alone(engine: Engine, path: Path) -> None:
    keeper = Checkpoints(engine)
    batch(engine)
    keeper.after_batch()
    keeper.wait()
    assert path.stat().st_size <= 2 * 4096


def test_starting_to_write_what_is_not_there(path: Path) -> None:
    start_writing(path)


ASK_LOCKED = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, int(sys.argv[3]), int(sys.argv[2]))
    except BlockingIOError:
        print("locked")
"""


def is_locked(path: Path, start: int, size: int = 1) -> bool:
    """As another process sees it."""
    asked = [sys.executable, "-c", ASK_LOCKED, str(path), str(start), str(size)]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout == "locked\n"


def test_sqlite_keeps_its_locks(engine: Engine, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one of the index that says that it is in use, and the shared one of the file (SQLite's os_unix.c)."""
    monkeypatch.setattr(checkpoints, "START_BYTES", 1)
    index, keeper = path.with_name("state.db-shm"), Checkpoints(engine)
    for _ in range(3):
        batch(engine)
        keeper.after_batch()
        keeper.wait()
        assert log_bytes(path) >= 0
        assert is_locked(index, 128)
        assert is_locked(path, 0x40000002, 510)


def test_a_file_that_was_replaced_is_let_go(path: Path) -> None:
    path.write_bytes(b"one")
    assert opened_files.look(path, lambda fd: os.pread(fd, 9, 0)) == b"one"
    path.unlink()
    with pytest.raises(FileNotFoundError):
        opened_files.look(path, lambda fd: os.pread(fd, 9, 0))
    assert not [link for link in opened() if link.startswith(str(path))]
    path.write_bytes(b"two")
    assert opened_files.look(path, lambda fd: os.pread(fd, 9, 0)) == b"two"


def opened() -> list[str]:
    """What this process has open."""
    links = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # The one that lists them.
            links.append(os.readlink(f"/proc/self/fd/{number}"))
    return links
