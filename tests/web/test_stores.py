"""What pages read: how old a number of people may be, and who waits for a new one."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from richpanel.log.segments import SegmentReader
from richpanel.store.directory import DataDirectory
from richpanel.web import stores
from richpanel.web.stores import Places, Stores
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
    made = Stores(Places(directory.state_url, directory.account_url, log, clock))
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
