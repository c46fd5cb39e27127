"""The stream engine on three servers that keep each record together: one may go, and with two the log waits."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from richpanel.log.contract import LogFull, LogUnsure
from richpanel.log.jetstream import JetStreamWriter
from richpanel.log.stream import SPAN, Link, Stream
from richpanel.log.stream_reader import JetStreamReader
from tests.contract.engines import everything
from tests.contract.nats_server import NatsServer, cluster


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[dict[str, NatsServer]]:
    made = cluster(tmp_path)
    yield made
    for server in made.values():
        server.stop()


async def leader(stream: Stream) -> tuple[str, int]:
    """Name the server that leads the stream, and tell how many keep it."""
    link = Link(stream, 20.0, lambda: None)
    await link.open()
    told = await link.call("STREAM.INFO")
    await link.close()
    return told["cluster"]["leader"], told["config"]["num_replicas"]


class Clients:
    """Callers that append one record after the other, and note what became of each."""

    def __init__(self, writer: JetStreamWriter) -> None:
        self.kept: dict[bytes, int] = {}
        self.unsure: set[bytes] = set()
        self.refused: set[bytes] = set()
        self._writer = writer
        self._tasks = [asyncio.create_task(self._append_on(number)) for number in range(8)]

    async def more(self, count: int) -> None:
        """Wait until so many more were acknowledged."""
        wanted, deadline = len(self.kept) + count, time.monotonic() + 60
        while len(self.kept) < wanted:
            assert time.monotonic() < deadline, "nothing is acknowledged"
            await asyncio.sleep(0.01)

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _append_on(self, client: int) -> None:
        turn = 0
        while True:
            turn += 1
            payload = f"{client}-{turn} ".encode() * (1 + turn % 100)
            try:
                self.kept[payload] = await self._writer.append(payload)
            except LogUnsure:
                self.unsure.add(payload)
            except LogFull:
                self.refused.add(payload)
            await asyncio.sleep(0.001)


async def test_the_leader_dies_then_a_second_one_and_all_that_was_acknowledged_is_there_once(servers) -> None:
    stream = Stream(tuple(server.url for server in servers.values()))
    log = JetStreamReader(stream)
    writer = JetStreamWriter(stream, log, seconds=4.0)
    deadline = time.monotonic() + 60
    while True:  # The servers have to find each other first.
        with suppress(LogFull, LogUnsure):
            await writer.append(b"first")
            break
        assert time.monotonic() < deadline
    clients = Clients(writer)
    await clients.more(200)
    first, replicas = await leader(stream)
    assert replicas == 3
    servers[first].kill()
    await clients.more(200)
    second, _ = await leader(stream)
    assert second != first
    servers[second].kill()
    await asyncio.sleep(6)
    kept = len(clients.kept)
    await asyncio.sleep(2)
    assert len(clients.kept) == kept, "one of three acknowledges nothing"
    assert clients.unsure | clients.refused
    servers[first].start()
    servers[second].start()
    await clients.more(200)
    await clients.end()
    await writer.close()
    found = everything(log)
    times = Counter(entry.payload for entry in found if entry.payload != b"first")
    assert clients.kept.items() <= {entry.payload: entry.end for entry in found}.items()
    assert set(times.values()) == {1}
    assert not clients.refused & times.keys(), "what was refused was not kept"
    log.close()


async def test_three_servers_that_lost_the_end_go_on_above_it(servers) -> None:
    stream = Stream(tuple(server.url for server in servers.values()))
    log = JetStreamReader(stream, seconds=20.0)
    first = JetStreamWriter(stream, log, seconds=20.0)
    await first.append(b"all there is")
    floor = 1000 * SPAN
    writer = JetStreamWriter(stream, log, seconds=20.0, applied=lambda: floor)
    kept: dict[bytes, int] = {}
    deadline = time.monotonic() + 60
    while len(kept) < 5:
        payload = b"new %d" % len(kept)
        with suppress(LogFull):  # Until another one leads.
            kept[payload] = await writer.append(payload)
        assert time.monotonic() < deadline
    assert floor < min(kept.values())
    led, _ = await leader(stream)
    await asyncio.to_thread(servers[led].kill)
    kept[b"without it"] = await writer.append(b"without it")
    assert {entry.payload: entry.end for entry in everything(log, log.first())} == kept
    for each in (first, writer):
        await each.close()
    log.close()
