"""Delivery: how fast a backlog goes to a server on this machine that takes everything, and bare aiohttp beside it.

Both have one core, and the server the other one. The backlog is made while the destination's rate holds it back.
"""

import asyncio
import json
import os
import time
from collections.abc import Callable
from http.client import HTTPConnection
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Final, Self

import aiohttp

from bench.calls import batches
from bench.options import Bench
from bench.processes import cores, cpu_seconds, pin
from bench.report import Figure, at_least, show
from bench.serving import Server
from bench.workload import Shop
from richpanel.core.wire import sealed
from richpanel.store.bulk import fetch
from richpanel.store.database import open_engine
from richpanel.store.destinations import DestinationChanges, add_destination, update_destination
from richpanel.store.directory import DataDirectory
from richpanel.store.secrets import open_secrets
from richpanel.store.sources import list_sources

_ANSWER: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
_CALLERS: Final = 64
_GIVE_UP_SECONDS: Final = 300.0


class _Talk(asyncio.Protocol):
    """Answers each request as soon as all of it is there."""

    requests = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._rest = transport, b""

    def data_received(self, data: bytes) -> None:
        """Answer what is whole."""
        self._rest += data
        while (end := self._rest.find(b"\r\n\r\n")) >= 0:
            head = self._rest[:end].lower()
            at = head.index(b"content-length:") + 15
            whole = end + 4 + int(head[at:].split(b"\r\n", 1)[0])
            if len(self._rest) < whole:
                return
            self._rest = self._rest[whole:]
            _Talk.requests += 1
            self._transport.write(_ANSWER)


def _listen(pipe: Connection, core: int) -> None:
    pin(os.getpid(), {core})

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(_Talk, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])

        def tell() -> None:
            pipe.recv()
            pipe.send(_Talk.requests)

        loop.add_reader(pipe.fileno(), tell)
        await server.serve_forever()

    asyncio.run(serve())


class Stranger:
    """A server in a process on a core of its own."""

    def __init__(self, core: int) -> None:
        context = get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_listen, args=(other, core), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        self.port: int = self._pipe.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()

    def requests(self) -> int:
        """Tell how many requests were taken."""
        self._pipe.send("?")
        found: int = self._pipe.recv()
        return found


def delivery(bench: Bench, events: int) -> None:
    """Measure it, and print it beside its reference."""
    first, second = cores()[0], cores()[-1]
    with Stranger(second) as stranger, Server(bench.where, allow_private_endpoints="true") as server:
        number, change = _held_back(server, stranger.port)
        with bench.task(f"{events:,} events to be delivered", 1):
            _send(server, events)
            server.wait_processed()
        waiting = _outbox(server, number)
        pin(server.pids["deliver"], {first})
        held = stranger.requests()
        cpu, start = cpu_seconds(server.pids["deliver"]), time.perf_counter()
        change(None)
        with bench.task("delivering", _GIVE_UP_SECONDS) as task:
            while (done := stranger.requests()) < waiting:
                task.tick()
                if time.perf_counter() - start > _GIVE_UP_SECONDS:
                    raise TimeoutError(f"{done} of {waiting} were delivered")
                time.sleep(0.02)
        seconds, cpu = time.perf_counter() - start, cpu_seconds(server.pids["deliver"]) - cpu
        ours = (waiting - held) / seconds
        with bench.task("bare aiohttp", 1), server.paused():
            bare = get_context("spawn").Pool(1, _pinned, (first,)).apply(_post, (stranger.port, waiting))
    figure = Figure(
        0,
        "delivery, one core",
        ours,
        "requests/s",
        reference=bare,
        against="bare aiohttp",
        ratio=ours / bare,
        targets=[at_least(ours / bare, 0.5, "0.5 x")],
        details={"CPU seconds": cpu, "seconds": seconds, "requests": waiting - held},
    )
    show([figure], bench.console)


def _held_back(server: Server, port: int) -> tuple[int, Callable[[int | None], None]]:
    """Connect the source to the stranger, hardly anything a minute; give its number, and what changes the rate."""
    data = DataDirectory(server.data)
    engine, box = open_engine(data.account_url), open_secrets(data.path)
    with engine.begin() as connection:
        source = next(row.id for row in list_sources(connection) if row.name == "Benchmark")
        changes = DestinationChanges(sources=[source], api_key="k", endpoint=f"http://127.0.0.1:{port}", rate=1)
        row = add_destination(connection, box, "richpanel", changes, now=int(time.time() * 1000))

    def change(rate: int | None) -> None:
        with engine.begin() as connection:
            update_destination(connection, box, row.id, DestinationChanges(rate=rate))

    time.sleep(1.5)
    return row.number, change


def _send(server: Server, events: int) -> None:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
    for call in batches(Shop(3).messages(events), server.key, int(time.time() * 1000)):
        head, _, body = bytes(call.wire).partition(b"\r\n\r\n")
        path = head.split(b" ")[1].decode()
        lines = dict(line.decode().split(": ", 1) for line in head.split(b"\r\n")[1:])
        connection.request("POST", path, body, lines)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()


def _outbox(server: Server, number: int) -> int:
    engine = open_engine(DataDirectory(server.data).state_url, read_only=True)
    with engine.connect() as connection:
        found = fetch(connection, "SELECT count(*) FROM outbox WHERE destination = ?", number)
    engine.dispose()
    return int(found[0][0])


def _pinned(core: int) -> None:
    pin(os.getpid(), {core})


def _post(port: int, count: int) -> float:
    """Post as many bodies as fast as they are answered; give requests a second."""

    async def run() -> float:
        event = {
            "event": "Clicked",
            "eventId": "e" * 36,
            "time": {"originalTimestamp": 1},
            "properties": {"a": "b" * 700},
        }
        body = json.dumps(sealed(event, "k", None, "none", 1)).encode()
        left = iter(range(count))

        async def call(session: aiohttp.ClientSession) -> None:
            for _ in left:
                async with session.post(f"http://127.0.0.1:{port}/v2/t", data=body) as answer:
                    await answer.read()

        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=_CALLERS)) as session:
            start = time.perf_counter()
            await asyncio.gather(*(call(session) for _ in range(_CALLERS)))
            return count / (time.perf_counter() - start)

    return asyncio.run(run())
