"""Five times as much as the server can take: accepted and refused are all that was sent, and everything still works.

An open loop: each call is sent at its time, whatever became of those before, on a connection that is free or a new one.
The suite overloads a server for seconds, `make soak` for a minute.
"""

import asyncio
import gzip
import json
import resource
import socket
import threading
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import pytest

from tests.acceptance.roles import resident_mib, roles, wait_ready
from tests.server import Server, Source, request

ITEMS, ITEM_BYTES = 1_000, 350
"""A batch near the limit of a request, half a megabyte once it is inflated: few a second are too many."""
ROLE_MIB = 400
"""The bound of each process: what waits for the disk (64 MiB) and what is still arriving (64 MiB), twice over."""
PAGE_SECONDS = 20.0
"""In which a page is there in the middle of it, on a machine that does other things, too."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server of its own: what it counts is what this test sent."""
    with Server(tmp_path / "data") as running:
        yield running


def batches(source: Source, count: int) -> list[bytes]:
    """Requests as they are on the wire, each a compressed batch with ids of its own."""
    credentials = b64encode(f"{source.write_key}:".encode()).decode()
    made = []
    for number in range(count):
        text = {"text": "flood " * (ITEM_BYTES // 6)}
        items = [
            {"type": "track", "event": "Flood", "userId": f"f{n}", "messageId": f"b{number}-{n}", "properties": text}
            for n in range(ITEMS)
        ]
        body = gzip.compress(json.dumps({"batch": items}).encode(), 1)
        head = f"POST /v1/batch HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {credentials}\r\nContent-Encoding: gzip\r\n"
        made.append(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return made


@dataclass
class Flood:
    """Sends calls and counts what they were answered."""

    host: str
    port: int
    answers: Counter[int] = field(default_factory=Counter)
    without_retry_after: int = 0
    sent: int = 0
    _idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    async def call(self, wire: bytes) -> None:
        """Send one call and read its answer."""
        self.sent += 1
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(self.host, self.port)
        writer.write(wire)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length:")[2].split(None, 1)[0]))
        status = int(head.split(None, 2)[1])
        self.answers[status] += 1
        self.without_retry_after += status == 429 and b"\r\nretry-after:" not in head
        self._idle.append((reader, writer))

    async def closed(self, wires: list[bytes], callers: int, seconds: float) -> float:
        """Call as fast as it is answered; give the accepted calls a second."""
        end, before = time.monotonic() + seconds, self.answers[200]

        async def go(first: int) -> None:
            number = first
            while time.monotonic() < end:
                await self.call(wires[number % len(wires)])
                number += callers

        started = time.monotonic()
        await asyncio.gather(*(go(first) for first in range(callers)))
        return (self.answers[200] - before) / (time.monotonic() - started)

    async def open(self, wires: list[bytes], rate: float, seconds: float) -> float:
        """Send so many calls a second, each at its time; give the seconds in which they were sent."""
        started, calls = time.monotonic(), []
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(started + number / rate - time.monotonic(), 0))
            calls.append(asyncio.create_task(self.call(wires[number % len(wires)])))
        took = time.monotonic() - started
        await asyncio.gather(*calls)
        return took

    def close(self) -> None:
        """Close every connection."""
        for _, writer in self._idle:
            writer.close()


@dataclass
class Watch:
    """Looks at pages and memory meanwhile, on a thread of its own."""

    server: Server
    seconds: list[float] = field(default_factory=list)
    most: dict[str, float] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _failure: BaseException | None = None

    def __enter__(self) -> "Watch":
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _look(self) -> None:
        try:
            running = roles(self.server.pid)
            while not self._stop.wait(0.2):
                for role, pid in running.items():
                    self.most[role] = max(self.most.get(role, 0), resident_mib(pid))
                started = time.monotonic()
                assert self.server.api("GET", "/customers").status == 200
                assert request("GET", f"{self.server.url}/").status in (200, 302, 303)
                self.seconds.append((time.monotonic() - started) / 2)
        except BaseException as error:  # noqa: BLE001  # it is the test that must fail of it
            self._failure = error


async def flooded(server: Server, source: Source, seconds: float) -> None:
    wires = batches(source, 32)
    parts = urlsplit(server.url)
    flood = Flood(parts.hostname or "", parts.port or 0)
    capacity = await flood.closed(wires, 16, 2.0)
    with Watch(server) as watch:
        took = await flood.open(wires, 5 * capacity, seconds)
    flood.close()
    print(
        f"capacity {capacity:.0f} batches/s; sent {flood.sent} in {took:.1f} s: {dict(flood.answers)};"
        f" pages: median {median(watch.seconds):.2f} s, {max(watch.seconds):.2f} s at the most; MiB: {watch.most}"
    )
    assert set(flood.answers) == {200, 429}
    assert flood.answers.total() == flood.sent
    assert flood.answers[429] > flood.answers[200], "it was no overload"
    assert flood.without_retry_after == 0
    assert max(watch.seconds) < PAGE_SECONDS
    assert max(watch.most.values()) < ROLE_MIB
    await asyncio.to_thread(server.wait_processed, 120 + ITEMS * flood.answers[200] / 10_000)
    outcomes = server.get("/status")["outcomes"][source.id]
    assert outcomes["kept"] == ITEMS * len(wires)
    assert outcomes["kept"] + outcomes["duplicate"] == ITEMS * flood.answers[200], "accepted, and nothing else"
    wait_ready(server)


async def test_five_times_the_capacity_for_seconds(server: Server) -> None:
    await flooded(server, await asyncio.to_thread(server.add_source, "Flood", "server"), 3.0)


def test_more_connections_than_there_may_be_are_turned_away(server: Server) -> None:
    """A quarter of a thousand descriptors are kept back, and as many connections are turned away as are served."""
    most, parts = 50, urlsplit(server.url)
    limit = 256 + 2 * most
    front = roles(server.pid)["front"]
    resource.prlimit(front, resource.RLIMIT_NOFILE, (limit, limit))
    with ExitStack() as opened:
        many = [
            opened.enter_context(socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10))
            for _ in range(most + 20)
        ]
        answers = [each.recv(65_536) for each in many[most:]]
        assert all(answer.startswith(b"HTTP/1.1 429 ") and b"\r\nretry-after: 2\r\n" in answer for answer in answers)
        assert all(each.recv(1) == b"" for each in many[most:]), "and closed"
        many[0].sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert many[0].recv(65_536).startswith(b"HTTP/1.1 200 ")
    deadline = time.monotonic() + 60
    while request("GET", f"{server.url}/ready").status != 200:
        assert time.monotonic() < deadline


@pytest.mark.soak
async def test_five_times_the_capacity_for_a_minute(server: Server) -> None:
    await flooded(server, await asyncio.to_thread(server.add_source, "Flood", "server"), 60.0)
