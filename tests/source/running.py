"""A door that runs: uvicorn on a free port, the segment log behind it, and the hands to knock at it."""

import asyncio
import base64
import gzip
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import uvicorn

from richpanel.core import record
from richpanel.core.record import Record
from richpanel.log.contract import LogWriter
from richpanel.log.segments import SegmentReader, SegmentWriter
from richpanel.roles.serving import BoundedConnection
from richpanel.source.asgi import Door, DoorOptions, build
from richpanel.source.keys import KeySnapshot, Source, SourceType

NOW = 1_764_000_000_000
"""What the door's clock says, ms UTC."""
SUCCESS = b'{"success":true}'
_numbers = count(1)


def basic(user: str, colon: str = ":") -> dict[str, str]:
    """The header of Basic credentials with an empty password."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}{colon}".encode()).decode()}


@dataclass
class Answer:
    """An HTTP answer, read to its end."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """The code of an error in its exact shape; None for the exact success."""
        assert self.headers["content-type"] == "application/json"
        assert self.headers["access-control-allow-origin"] == "*"
        content = self.json()
        if content == {"success": True}:
            assert self.status == 200
            return None
        assert (content.keys(), content["success"]) == ({"success", "code", "message"}, False)
        assert self.status >= 400
        assert content["message"].endswith(".")
        return str(content["code"])


@dataclass
class Connection:
    """One connection, for several requests and for ones that no HTTP client would send."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def write(self, raw: bytes) -> None:
        self.writer.write(raw)
        await self.writer.drain()

    async def read(self) -> Answer:
        """Read one answer, all of it, within ten seconds."""
        return await asyncio.wait_for(self._read(), 10)

    async def _read(self) -> Answer:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in head[1:] if line)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        assert "transfer-encoding" not in headers
        return Answer(int(head[0].split()[1]), headers, await self.reader.readexactly(int(headers["content-length"])))

    async def peek(self) -> None:
        """Give the server a moment, and take what it says, if anything."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.reader.read(1), 0.005)

    async def closed(self) -> bool:
        """Whether the server has nothing more to say."""
        return await asyncio.wait_for(self.reader.read(), 5) == b""

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):  # The server may have been first.
            await self.writer.wait_closed()


def http(method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """A request as it goes over the wire."""
    lines = {"Host": "track.example", "Content-Length": str(len(body)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


@dataclass
class Running:
    """A door at `port`, the keys that it knows, and the log behind it."""

    port: int
    keys: KeySnapshot
    reader: SegmentReader
    door: Door
    sources: list[Source] = field(default_factory=list)

    def add(self, kind: SourceType = "web", *, enabled: bool = True, **more: Any) -> Source:
        """A new source with a key of its own."""
        number = next(_numbers)
        source = Source(f"src_{number}", f"Source {number}", kind, enabled, (f"{number:032x}",), **more)
        self.sources.append(source)
        self.keys.replace(self.sources)
        return source

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection to the door, closed at the end whatever happens."""
        connection = Connection(*await asyncio.open_connection("127.0.0.1", self.port))
        try:
            yield connection
        finally:
            await connection.close()

    async def send(self, raw: bytes) -> Answer:
        """One request on a connection of its own, as bytes."""
        async with self.connection() as connection:
            await connection.write(raw)
            return await connection.read()

    async def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        return await self.send(http(method, path, body, headers))

    async def post(
        self,
        path: str,
        content: object,
        source: Source | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        zipped: bool = False,
    ) -> Answer:
        """Post bytes as they are, anything else as JSON, with the source's key as Basic credentials."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        sent = {
            "Content-Type": "application/json",
            **(basic(source.write_keys[0]) if source else {}),
            **(headers or {}),
        }
        if zipped:
            body, sent = gzip.compress(body), {**sent, "Content-Encoding": "gzip"}
        return await self.request("POST", path, body, sent)

    def records(self, source: Source | None = None) -> list[Record]:
        """What the log holds, of one source where one is given."""
        found: list[Record] = []
        position = 0
        while entries := self.reader.read(position):
            found += (record.decode(entry.payload) for entry in entries)
            position = entries[-1].end
        return [kept for kept in found if source is None or kept.meta.source == source.id]

    def record(self, source: Source) -> Record:
        """The only record of a source."""
        (kept,) = self.records(source)
        return kept

    def bodies(self, source: Source) -> list[Any]:
        """The kept items of a source, decoded."""
        return [json.loads(item.body) for kept in self.records(source) for item in kept.items]

    def discards(self, source: Source) -> list[tuple[str, bytes]]:
        """The discards of a source: code and payload."""
        return [(discard.code.value, item.body) for kept in self.records(source) for discard, item in kept.discarded]


@asynccontextmanager
async def running(
    folder: Path,
    options: DoorOptions | None = None,
    *,
    wrap: Callable[[SegmentWriter], LogWriter] = lambda writer: writer,
    max_waiting_bytes: int = 64 << 20,
) -> AsyncIterator[Running]:
    """Run a door over a log in `folder`; `wrap` may stand between the two."""
    writer = SegmentWriter.open(folder, segment_bytes=8 << 20, max_waiting_bytes=max_waiting_bytes)
    reader = SegmentReader(folder)
    keys = KeySnapshot()
    door = build(wrap(writer), keys, options or DoorOptions(), lambda: NOW)
    config = uvicorn.Config(
        door,
        port=0,
        http=BoundedConnection,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        proxy_headers=False,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        while not server.started:
            assert not serving.done()
            await asyncio.sleep(0.001)
        yield Running(server.servers[0].sockets[0].getsockname()[1], keys, reader, door)
    finally:
        server.should_exit = True
        await serving
        await writer.close()
        reader.close()


def track(**fields: Any) -> dict[str, Any]:
    """A good track call."""
    return {"type": "track", "event": "Product Viewed", "userId": "u-1", "messageId": "m-1", **fields}


def chunks(*pieces: bytes) -> bytes:
    """A body in chunked transfer coding, without its end."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
