"""Checkpoints: the write-ahead log stays short while batches come, and keeps its file."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from richpanel.store import checkpoints
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
