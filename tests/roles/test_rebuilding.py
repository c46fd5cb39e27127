"""A rebuild that is due: started, tried again where it could not be, and ended with whoever started it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import msgspec
import pytest
from sqlalchemy import Engine

from richpanel.config import Settings, as_options
from richpanel.roles.rebuilding import Rebuilding
from richpanel.store import rebuilds, state_files
from richpanel.store.account import folded_with, read_account, write_account
from richpanel.store.database import open_engine, reading
from richpanel.store.directory import DataDirectory
from richpanel.store.leadership import Leadership
from richpanel.store.rebuilds import RebuildRow
from tests.web.running import furnish

PATIENCE = 90.0


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    return DataDirectory(furnish(tmp_path / "data"))


@pytest.fixture
def account(directory: DataDirectory) -> Iterator[Engine]:
    engine = open_engine(directory.account_url)
    yield engine
    engine.dispose()


@contextmanager
def rebuilding(directory: DataDirectory, account: Engine) -> Iterator[None]:
    settings = as_options(Settings(data=directory.path))
    made = Rebuilding(settings, account, Leadership(None, "rebuilding"), retry_seconds=0.1)
    try:
        yield
    finally:
        made.close()


def count_in(account: Engine, currency: str) -> None:
    """Change a setting of an account whose state has something."""
    with account.begin() as connection:
        write_account(connection, msgspec.structs.replace(read_account(connection), currency=currency))


def told(account: Engine) -> tuple[bool, RebuildRow | None]:
    """Whether one is due, and what the newest has told."""
    with reading(account) as connection:
        return folded_with(connection) is not None, rebuilds.newest(connection)


def wait_until(there: Callable[[], bool]) -> None:
    until = monotonic() + PATIENCE
    while not there():
        assert monotonic() < until
        sleep(0.05)


def test_it_is_tried_again_until_it_can_be(directory: DataDirectory, account: Engine) -> None:
    path = directory.path / "state.db"
    path.rename(directory.path / "away.db")
    count_in(account, "EUR")
    with rebuilding(directory, account):
        wait_until(lambda: (row := told(account)[1]) is not None and row.problem is not None)
        assert told(account)[0]
        path.unlink(missing_ok=True)
        (directory.path / "away.db").rename(path)
        wait_until(lambda: not told(account)[0])
        wait_until(lambda: (row := told(account)[1]) is not None and row.ended_at is not None and row.problem is None)
    assert state_files.in_force(directory.path) != state_files.STATE


def test_nothing_is_started_where_nothing_is_due(directory: DataDirectory, account: Engine) -> None:
    with rebuilding(directory, account):
        sleep(0.3)
    assert told(account) == (False, None)
