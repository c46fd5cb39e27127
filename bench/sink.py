"""A stranger that deliveries go to: a server in a process on a core of its own, which takes or refuses what comes."""

import asyncio
import json
import os
import random
import time
from base64 import b64decode
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Final, NamedTuple, Self

from bench.processes import pin

_TAKEN: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
_REFUSED: Final = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"


class Arrival(NamedTuple):
    """A request: when it came (seconds of a monotonic clock), whose event it had, and whether that was taken."""

    at: float
    event: str
    taken: bool


class _Mood:
    """What all connections share."""

    def __init__(self, *, records: bool) -> None:
        self.requests = 0
        self.failing = 0.0
        self.arrivals: list[Arrival] | None = [] if records else None
        self._chance = random.Random(7)

    def answer(self, body: bytes) -> bytes:
        self.requests += 1
        taken = not self.failing or self._chance.random() >= self.failing
        if self.arrivals is not None:
            event = json.loads(b64decode(json.loads(body)["h"]))["eventId"]
            self.arrivals.append(Arrival(time.monotonic(), event, taken))
        return _TAKEN if taken else _REFUSED


class _Talk(asyncio.Protocol):
    """Answers each request as soon as all of it is there."""

    def __init__(self, mood: _Mood) -> None:
        self._mood, self._rest = mood, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer what is whole."""
        self._rest += data
        while (end := self._rest.find(b"\r\n\r\n")) >= 0:
            head = self._rest[:end].lower()
            at = head.index(b"content-length:") + 15
            whole = end + 4 + int(head[at:].split(b"\r\n", 1)[0])
            if len(self._rest) < whole:
                return
            body, self._rest = self._rest[end + 4 : whole], self._rest[whole:]
            self._transport.write(self._mood.answer(body))


def _listen(pipe: Connection, core: int, records: bool) -> None:
    pin(os.getpid(), {core})
    mood = _Mood(records=records)

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Talk(mood), "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])

        def tell() -> None:
            asked = pipe.recv()
            if isinstance(asked, float):
                mood.failing = asked
            pipe.send(mood.arrivals if asked == "arrivals" else mood.requests)

        loop.add_reader(pipe.fileno(), tell)
        await server.serve_forever()

    asyncio.run(serve())


class Stranger:
    """The server; with `records` it notes what comes."""

    def __init__(self, core: int, *, records: bool = False) -> None:
        context = get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_listen, args=(other, core, records), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        self.port: int = self._pipe.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()

    def requests(self) -> int:
        """Tell how many requests came."""
        return int(self._ask("requests"))

    def fail(self, share: float) -> None:
        """From now on refuse so large a share of what comes, with 503."""
        self._ask(float(share))

    def arrivals(self) -> list[Arrival]:
        """Give what was noted, in the order of arrival."""
        return [Arrival(*each) for each in self._ask("arrivals")]

    def _ask(self, what: object) -> Any:
        self._pipe.send(what)
        return self._pipe.recv()
