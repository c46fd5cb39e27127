"""What a commit promises, database by database."""

from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from richpanel.store.database import Branch, open_engine, sqlite_url


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
