"""The files of the state: the switch is one step, readers follow it, and what is left over goes."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from richpanel.store import state_files
from richpanel.store.checkpoints import Checkpoints
from richpanel.store.database import open_engine, reading, sqlite_url

try:
    import pysqlite3.dbapi2 as wheel
except ImportError:  # a platform without it
    wheel = sqlite3


def made(directory: Path, word: str, connect: Callable[..., Any] = wheel.connect) -> str:
    """A closed file of a state that holds one word."""
    path = state_files.create(directory)
    fill(path, word, connect)
    return path.name


def fill(path: Path, word: str, connect: Callable[..., Any] = wheel.connect) -> None:
    connection = connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE t (word)")
    connection.execute("INSERT INTO t VALUES (?)", (word,))
    connection.commit()
    connection.close()


def word(engine: Engine) -> str:
    with reading(engine) as connection:
        return str(connection.exec_driver_sql("SELECT word FROM t").scalar())


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    """The state in force, a plain file, as it is before the first rebuild."""
    fill(tmp_path / "state.db", "first")
    opened = open_engine(sqlite_url(tmp_path, "state"), read_only=True)
    yield opened
    opened.dispose()


def test_a_new_file_is_for_this_user_alone(tmp_path: Path) -> None:
    assert state_files.create(tmp_path).stat().st_mode & 0o777 == 0o600


def test_pooled_connections_follow_the_switch(tmp_path: Path, engine: Engine) -> None:
    assert word(engine) == "first"
    assert state_files.switch(tmp_path, made(tmp_path, "second")) == "state.db"
    assert word(engine) == "second"
    second = state_files.in_force(tmp_path)
    assert state_files.switch(tmp_path, made(tmp_path, "third")) == second
    assert word(engine) == "third"


def test_who_reads_already_reads_on(tmp_path: Path, engine: Engine) -> None:
    with reading(engine) as connection:
        assert connection.exec_driver_sql("SELECT word FROM t").scalar() == "first"
        old = state_files.switch(tmp_path, made(tmp_path, "second"))
        state_files.remove(tmp_path, old)
        assert connection.exec_driver_sql("SELECT word FROM t").scalar() == "first"
        assert word(engine) == "second"
    assert word(engine) == "second"


def test_connections_are_kept_while_nothing_changes(tmp_path: Path, engine: Engine) -> None:
    del tmp_path
    with engine.connect() as connection:
        first = connection.connection.driver_connection
    with engine.connect() as connection:
        assert connection.connection.driver_connection is first


@pytest.mark.parametrize("connect", [sqlite3.connect, wheel.connect], ids=["standard library", "wheel"])
def test_the_write_ahead_log_belongs_to_the_file_and_not_to_the_link(
    tmp_path: Path, connect: Callable[..., Any]
) -> None:
    """What the design stands on, asked of each SQLite that can be in use."""
    fill(tmp_path / "state.db", "first", connect)
    old = connect(tmp_path / "state.db")
    old.execute("INSERT INTO t VALUES ('not yet copied back')")
    old.commit()
    name = made(tmp_path, "second", connect)
    state_files.switch(tmp_path, name)
    new = connect(tmp_path / "state.db")
    new.execute("INSERT INTO t VALUES ('more')")
    new.commit()
    assert names(tmp_path) >= {"state.db", name, f"{name}-wal"}
    state_files.remove(tmp_path, "state.db")
    assert names(tmp_path) == {"state.db", name, f"{name}-wal", f"{name}-shm"}
    assert old.execute("SELECT word FROM t").fetchall() == [("first",), ("not yet copied back",)]
    old.close()
    new.close()
    assert names(tmp_path) == {"state.db", name}
    check = connect(tmp_path / "state.db")
    assert check.execute("SELECT word FROM t").fetchall() == [("second",), ("more",)]
    check.close()


def test_checkpoints_look_at_the_log_of_the_file_behind_the_link(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    del engine
    monkeypatch.setattr("richpanel.store.checkpoints.START_BYTES", 0)
    name = made(tmp_path, "second")
    state_files.switch(tmp_path, name)
    writer = open_engine(sqlite_url(tmp_path, "state"))
    checkpoints = Checkpoints(writer)
    with writer.begin() as connection:
        connection.exec_driver_sql("INSERT INTO t SELECT hex(zeroblob(100000))")
    size = (tmp_path / name).stat().st_size
    checkpoints.after_batch()
    checkpoints.wait()
    assert (tmp_path / name).stat().st_size > size + 100_000
    writer.dispose()


def test_a_hand_over_is_read_back_refused_and_ended(tmp_path: Path) -> None:
    assert state_files.handed_over(tmp_path) is None
    state_files.hand_over(tmp_path, "state-0123abcd.db")
    assert state_files.handed_over(tmp_path) == state_files.HandOver("state-0123abcd.db")
    state_files.hand_over(tmp_path, "state-0123abcd.db", refused="the disk is full")
    assert state_files.handed_over(tmp_path) == state_files.HandOver("state-0123abcd.db", "the disk is full")
    state_files.take_back(tmp_path)
    assert state_files.handed_over(tmp_path) is None


@pytest.mark.parametrize(
    "text", ["", "{", '{"file": "../account.db"}', '{"file": "account.db"}', '{"file": "state.db"}']
)
def test_what_is_no_hand_over_of_ours_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.next").write_text(text)
    assert state_files.handed_over(tmp_path) is None


def test_what_is_left_over_goes_and_nothing_else(tmp_path: Path, engine: Engine) -> None:
    del engine
    name = made(tmp_path, "second")
    state_files.switch(tmp_path, name)
    handed = made(tmp_path, "third")
    state_files.hand_over(tmp_path, handed)
    for other in ("account.db", "state-mine.db", f"{name}-wal", f"{handed}-wal"):
        (tmp_path / other).touch()
    keep = names(tmp_path)
    left = made(tmp_path, "left")
    for other in (f"{left}-wal", f"{left}-shm", "state-00000000.db-wal", "state.db-wal", "state.db-shm", "state.link"):
        (tmp_path / other).touch()
    state_files.clean(tmp_path)
    assert names(tmp_path) == keep
    state_files.hand_over(tmp_path, handed, refused="no")
    state_files.clean(tmp_path)
    assert names(tmp_path) == keep - {"state.next", handed, f"{handed}-wal"}


def test_the_plain_file_and_its_log_stay_while_they_are_in_force(tmp_path: Path, engine: Engine) -> None:
    word(engine)
    before = names(tmp_path)
    state_files.clean(tmp_path)
    state_files.remove(tmp_path, "state.db")
    assert names(tmp_path) == before >= {"state.db", "state.db-wal"}


def test_one_at_a_time_holds_a_lock(tmp_path: Path) -> None:
    with state_files.try_lock(tmp_path / "lock") as first, state_files.try_lock(tmp_path / "lock") as second:
        assert (first, second) == (True, False)
    with state_files.try_lock(tmp_path / "lock") as again:
        assert again


def test_a_switch_that_was_cut_short_is_made_again(tmp_path: Path, engine: Engine) -> None:
    os.symlink("state-00000000.db", tmp_path / "state.link")
    state_files.switch(tmp_path, made(tmp_path, "second"))
    assert word(engine) == "second"
    assert "state.link" not in names(tmp_path)
