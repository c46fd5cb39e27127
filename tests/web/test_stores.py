"""What pages read: how old a number of people may be, who waits for a new one, and what becomes of replaced files."""

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from richpanel.log.segments import SegmentReader
from richpanel.store.database import open_engine
from richpanel.store.directory import DataDirectory
from richpanel.web import stores
from richpanel.web.stores import Places, Stores, follow_file
from tests.web.running import Clock

MINUTE = 60_000


class Counted:
    """Stands in for the number of customers in the state; counting it takes as long as a test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.number = 1
        self.times = 0
        self.going_on = threading.Event()
        self.going_on.set()
        monkeypatch.setattr(stores, "count_profiles", self)

    def __call__(self, _connection: object, _customers: bool) -> int:
        self.going_on.wait(10)
        self.times += 1
        return self.number


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reads(data: Path, clock: Clock) -> Iterator[Stores]:
    directory = DataDirectory(data)
    log = SegmentReader(directory.log)
    made = Stores(Places(directory.state_url, directory.account_url, directory.delivery_url, log, clock))
    yield made
    made.close()
    log.close()


async def shown(reads: Stores) -> int:
    return await reads.read(lambda reading: reading.count(True))


async def test_a_quick_count_is_at_most_three_seconds_old(reads: Stores, counted: Counted, clock: Clock) -> None:
    assert await shown(reads) == 1
    counted.number = 2
    assert await shown(reads) == 1
    clock.ms += 3_000
    assert await shown(reads) == 2
    assert counted.times == 2


async def test_nobody_waits_for_a_long_count(
    reads: Stores, counted: Counted, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "_LONG_COUNT_SECONDS", 0.0)
    assert await shown(reads) == 1
    counted.number = 2
    counted.going_on.clear()
    clock.ms += 3_000
    for _ in range(3):
        assert await shown(reads) == 1, "the old one, while it is counted again"
    counted.going_on.set()

    async with asyncio.timeout(10):
        while await shown(reads) == 1:  # noqa: ASYNC110  # a thread of its own counts
            await asyncio.sleep(0.01)
    assert (await shown(reads), counted.times) == (2, 2), "counted once for all who asked"


async def test_no_number_is_older_than_a_minute(
    reads: Stores, counted: Counted, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "_LONG_COUNT_SECONDS", 0.0)
    assert await shown(reads) == 1
    counted.number = 2
    clock.ms += MINUTE
    assert await shown(reads) == 2


def is_open(link: Path) -> bool:
    """Whether it is not just the one that lists them."""
    with suppress(OSError):
        os.fstat(int(link.name))
        return True
    return False


async def test_a_file_that_was_replaced_is_let_go_though_nobody_asks(tmp_path: Path) -> None:
    """An open file keeps its room on the disk, and what stands in it."""
    path, other = tmp_path / "state.db", tmp_path / "other.db"
    for each in (path, other):
        made = open_engine(f"sqlite:///{each}")
        with made.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE t (id)")
        made.dispose()
    engine = open_engine(f"sqlite:///{path}", read_only=True)
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT * FROM t")
    inode = path.stat().st_ino

    def held() -> bool:
        return any(
            os.fstat(int(link.name)).st_ino == inode for link in Path("/proc/self/fd").iterdir() if is_open(link)
        )

    following = asyncio.create_task(follow_file(engine, 0.01))
    await asyncio.sleep(0.05)
    assert held()
    other.replace(path)
    await asyncio.sleep(0.2)
    following.cancel()
    assert not held()
    engine.dispose()
