"""Samples: a minute's worst lag counts, minutes become hours, and after a month they go."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from richpanel.store import samples
from richpanel.store.database import open_engine
from richpanel.store.directory import DataDirectory
from richpanel.store.preparing import prepare
from richpanel.store.samples import HOUR_MS, MINUTE_MS, Sample

T0 = 1_764_000_000_000 - 1_764_000_000_000 % HOUR_MS
DAY_MS = 24 * HOUR_MS


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Engine]:
    directory = DataDirectory(tmp_path)
    prepare(directory)
    engine = open_engine(directory.account_url)
    yield engine
    engine.dispose()


def test_samples(account: Engine) -> None:
    with account.begin() as connection:
        assert samples.newest(connection) is None
        samples.note(connection, Sample(T0 + 1_000, 500, 1, 2, 3, 4, T0 - DAY_MS))
        samples.note(connection, Sample(T0 + 30_000, 200, 10, 20, 30, 40, T0))
        samples.note(connection, Sample(T0 + MINUTE_MS, 0, 11, 21, 31, 41))
        first, second = Sample(T0, 500, 10, 20, 30, 40, T0), Sample(T0 + MINUTE_MS, 0, 11, 21, 31, 41)
        assert samples.since(connection, T0) == [first, second]
        assert samples.newest(connection) == second
        assert samples.size_of_state(connection) > 0
        samples.note(connection, Sample(T0 + 2 * DAY_MS))
        assert [each.at for each in samples.since(connection, 0)] == [T0, T0 + 2 * DAY_MS]
        samples.note(connection, Sample(T0 + 32 * DAY_MS))
        assert [each.at for each in samples.since(connection, 0)] == [T0 + 2 * DAY_MS, T0 + 32 * DAY_MS]
