"""A copy is what the database was at one instant, however long it takes and whatever is written meanwhile."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from richpanel.store import copying
from richpanel.store.copying import DatabaseDamagedError, WrongRevisionError, clean_copy
from richpanel.store.database import open_engine, plain_connection, sqlite_url
from richpanel.store.migrating import migrate


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A state with a few megabytes of names, and as many as `progress` says."""
    found = sqlite_url(tmp_path, "state")
    migrate(found, "state")
    fill(found, 0, 20_000)
    return found


def fill(url: str, first: int, count: int) -> None:
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "WITH RECURSIVE numbers (n) AS (SELECT ? UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < ?) "
            "INSERT INTO names (value) SELECT printf('%0200d', n) FROM numbers",
            (first, first + count),
        )
        connection.exec_driver_sql(
            "INSERT INTO progress (id, position, messages, received_at) VALUES (1, ?, 0, 0) "
            "ON CONFLICT (id) DO UPDATE SET position = excluded.position",
            (first + count,),
        )
    engine.dispose()


def counted(path: Path) -> tuple[int, int]:
    connection = sqlite3.connect(path)
    found = [
        int(connection.execute(statement).fetchone()[0])
        for statement in ("SELECT count(*) FROM names", "SELECT position FROM progress")
    ]
    connection.close()
    return found[0], found[1]


def test_a_copy_of_what_is_being_written(url: str, tmp_path: Path) -> None:
    steps: list[int] = []
    stop = threading.Event()
    written = [20_000]

    def write() -> None:
        while not stop.is_set():
            fill(url, written[0], 50)
            written[0] += 50

    writing = threading.Thread(target=write)
    with copying.frozen(url) as frozen:
        size = copying.size(frozen)
        writing.start()
        while written[0] < 20_200:
            stop.wait(0.01)
        target = tmp_path / "copy.db"

        def spend(count: int) -> None:
            steps.append(count)
            before = written[0]
            while written[0] == before:  # Somebody commits between any two steps, and the copy does not begin anew.
                stop.wait(0.001)

        copying.copy(frozen, target, spend)
    stop.set()
    writing.join()
    assert counted(target) == (20_000, 20_000)
    assert (sum(steps), len(steps) > 4, target.stat().st_size) == (size, True, size)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("copy")] == ["copy.db"]
    (tmp_path / "copied").mkdir()
    target.rename(tmp_path / "copied" / "state.db")
    copied = sqlite_url(tmp_path / "copied", "state")
    copying.check(copied, "state")
    with copying.frozen(copied) as connection:
        assert copying.revision(connection).startswith("state_")
    fill(copied, 20_000, 1)


def test_a_copy_that_cannot_be_written(url: str, tmp_path: Path) -> None:
    with copying.frozen(url) as frozen, pytest.raises(OSError, match="cannot be written"):
        copying.copy(frozen, tmp_path / "none" / "copy.db", lambda _: None)


def test_a_copy_is_checked(url: str, tmp_path: Path) -> None:
    copying.check(url, "state")
    with pytest.raises(WrongRevisionError, match="is of revision state_"):
        copying.check(url, "account")
    path = tmp_path / "state.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("DELETE FROM sqlite_schema WHERE type = 'index' AND name LIKE 'sqlite_autoindex_names%'")
    connection.commit()
    connection.close()
    with pytest.raises(DatabaseDamagedError, match="is damaged"):
        copying.check(url, "state")


def test_a_clean_copy_has_nothing_of_what_was_deleted_or_replaced(tmp_path: Path) -> None:
    """Pages were split, rows rewritten in several lengths, and the last of it stands in the write-ahead log."""
    source, target = tmp_path / "state.db", tmp_path / "copy.db"
    with closing(plain_connection(source)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
        for turn in range(12):
            names = ["ada" if number % 7 == 0 else "bo" for number in range(2_000)]
            rows = [(n, f"{name}-{turn}-" + "x" * (n * turn % 300)) for n, name in enumerate(names)]
            connection.executemany("INSERT OR REPLACE INTO t VALUES (?, ?)", rows)
        connection.execute("DELETE FROM t WHERE v LIKE 'ada%'")
        assert b"ada-" in source.read_bytes()
        target.touch()
        clean_copy(source, target)
        assert b"ada-" not in target.read_bytes()
        with closing(plain_connection(target)) as copied:
            statement = "SELECT count(*), sum(length(v)) FROM t"
            assert copied.execute(statement).fetchone() == connection.execute(statement).fetchone()


def test_a_clean_copy_that_has_no_room_is_told(tmp_path: Path) -> None:
    with closing(plain_connection(tmp_path / "state.db")) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    (tmp_path / "full.db").write_bytes(b"something")
    with pytest.raises(OSError, match="cannot be written"):
        clean_copy(tmp_path / "state.db", tmp_path / "full.db")
