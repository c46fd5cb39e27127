"""What pages read: how old a number of people may be, and what becomes of replaced files."""

import asyncio
import os
import threading
from contextlib import suppress
from pathlib import Path

from richpanel.log.segments import SegmentReader
from richpanel.store.database import open_engine
from richpanel.web.remembered import FRESH_MS
from richpanel.web.stores import THREADS, Places, Stores, follow_file
from tests.web.running import running


async def test_nobody_waits_for_many_people_to_be_counted_again(data: Path) -> None:
    with running(data, much=1) as site:
        log = SegmentReader(site.directory.log)
        places = site.directory.state_url, site.directory.account_url, site.directory.delivery_url
        reads = Stores(Places(*places, log, site.clock), much=1)

        async def shown(customers: bool) -> int:
            return await reads.read(lambda reading: reading.count(customers))

        def arrive(*uids: str) -> None:
            site.send([{"type": "identify", "messageId": uid, "userId": uid, "traits": {}} for uid in uids])
            site.process()

        arrive("ann")
        assert (await shown(True), await shown(False)) == (1, 0)
        arrive("bob")
        assert await shown(True) == 2, "few are counted each time"
        arrive("cid")
        assert await shown(True) == 2
        site.clock.ms += FRESH_MS
        async with asyncio.timeout(10):
            while await shown(True) == 2:  # noqa: ASYNC110  # a thread of its own counts
                await asyncio.sleep(0.01)
        assert await shown(True) == 3
        reads.close()
        log.close()


async def test_definitions_known_a_moment_ago_take_no_thread(data: Path) -> None:
    """The audit log asks for them at each look at somebody; whoever looks at much else has all threads."""
    with running(data) as site:
        log = SegmentReader(site.directory.log)
        places = site.directory.state_url, site.directory.account_url, site.directory.delivery_url
        reads = Stores(Places(*places, log, site.clock), fresh_seconds=60.0)
        known = await reads.definitions()
        held = threading.Event()
        busy = [asyncio.create_task(reads.look_up(lambda _: held.wait(30))) for _ in range(THREADS)]
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(10):
                assert await reads.definitions() is known
        finally:
            held.set()
            await asyncio.gather(*busy)
        reads.close()
        log.close()


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
