"""What a commit promises, database by database."""

from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from richpanel.store.database import Branch, Changes, open_engine, sqlite_url


@pytest.mark.parametrize(("branch", "level"), [("account", 2), ("state", 1)])
def test_definitions_are_synced_and_the_state_is_not(tmp_path: Path, branch: Branch, level: int) -> None:
    """FULL (2) where nothing else keeps what was acknowledged; NORMAL (1) where it is folded again from the log."""
    engine = open_engine(sqlite_url(tmp_path, branch))
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == level
    engine.dispose()


def test_an_error_tells_nobody_s_values(tmp_path: Path) -> None:
    """Its text is logged and shown; a parameter may be a person's."""
    engine = open_engine(sqlite_url(tmp_path, "state"))
    with engine.connect() as connection, pytest.raises(OperationalError) as caught:
        connection.exec_driver_sql("INSERT INTO nowhere VALUES (?)", ("ada@example.com",))
    assert "no such table" in str(caught.value)
    assert "ada@example.com" not in str(caught.value) + repr(caught.value)
    engine.dispose()


def test_what_others_commit_is_noticed_once_also_in_another_file(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path, "state")
    engine, other = open_engine(url), open_engine(url)

    def write(number: int) -> None:
        with other.begin() as connection:
            connection.exec_driver_sql(f"CREATE TABLE t{number} (a)")

    write(1)
    changes = Changes(engine)
    assert [changes.any(), changes.any()] == [True, False]
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT * FROM t1")
        assert [changes.any(), changes.any()] == [True, False]  # By another connection, while this one is in use.
    assert not changes.any()
    write(2)
    assert changes.any()
    other.dispose()
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / f"state.db{suffix}").rename(tmp_path / f"old.db{suffix}")
    other = open_engine(url)
    write(1)
    assert changes.any()
    for each in (engine, other):
        each.dispose()
