"""What is dropped from a stream, when, and by whom (roles/stream_keeping.py)."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from richpanel.log.jetstream import JetStreamWriter
from richpanel.log.stream import SPAN, Stream
from richpanel.log.stream_reader import JetStreamReader
from richpanel.roles.stream_keeping import TAIL_SECONDS, KeepingStream
from richpanel.store.directory import DataDirectory
from richpanel.store.glance import open_glance
from richpanel.store.preparing import prepare
from tests.contract.nats_server import NatsServer

_MAX_BYTES = 1 << 20


@dataclass
class Kept:
    """A stream with ten records, a state that has applied so many of them, and who leads."""

    directory: Path
    stream: Stream
    writer: JetStreamWriter
    log: JetStreamReader
    leads: bool = True
    asked: list[bool] = field(default_factory=list)

    def applied(self, records: int) -> None:
        with closing(sqlite3.connect(self.directory / "state.db")) as connection:
            connection.execute("INSERT OR REPLACE INTO progress VALUES (1, ?, 0, 0)", ((records - 1) * SPAN + 1000,))
            connection.commit()

    def is_leader(self) -> bool:
        self.asked.append(self.leads)
        return self.leads

    @asynccontextmanager
    async def keeping(self, tail: float = TAIL_SECONDS) -> AsyncIterator[None]:
        """Keep the stream, with a round every fifth of a second."""
        with closing(open_glance(self.directory, None)) as glance:
            keeping = KeepingStream(self.stream, self.writer, glance, self.is_leader, pause=0.2, tail=tail)
            yield
            await keeping.stop()

    async def first(self) -> int:
        """Give the number of the first record, once there was a round."""
        rounds = len(self.asked)
        deadline = time.monotonic() + 60
        while len(self.asked) < rounds + 2:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        return self.log.first() // SPAN


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    server = NatsServer(tmp_path / "nats")
    stream = Stream((server.url,), max_bytes=_MAX_BYTES)
    log = JetStreamReader(stream)
    writer = JetStreamWriter(stream, log)
    prepare(DataDirectory(tmp_path), secret_key="k" * 40)
    made = Kept(tmp_path, stream, writer, log)
    for _ in range(10):
        await writer.append(bytes(900))
    async with made.keeping():
        yield made
    await writer.close()
    await asyncio.to_thread(log.close)
    server.stop()


async def test_what_is_applied_stays_for_a_minute_where_there_is_room(kept) -> None:
    kept.applied(7)
    assert await kept.first() == 0
    await asyncio.sleep(2.5)
    async with kept.keeping(tail=1.0):
        await kept.first()  # Two keep it now: after the rounds of both it has been seen to.
        assert await kept.first() == 7, "and what is not applied stays"


async def test_a_stream_that_fills_up_keeps_nothing_that_is_applied(kept) -> None:
    kept.applied(4)
    assert await kept.first() == 0
    await kept.writer.append(bytes(_MAX_BYTES * 6 // 10))
    assert await kept.first() == 4


async def test_who_does_not_lead_drops_nothing(kept) -> None:
    kept.leads = False
    await kept.first()  # A round of the time when it led may have been under way.
    kept.applied(4)
    await kept.writer.append(bytes(_MAX_BYTES * 6 // 10))
    assert await kept.first() == 0
    kept.leads = True
    assert await kept.first() == 4
