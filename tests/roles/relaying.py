"""A front that relays: the relay on a free port, and behind it, on a Unix socket, pages that a test makes up."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from richpanel.roles import forwarded
from richpanel.roles.relay import Relay
from richpanel.roles.serving import Application, Server, configure
from richpanel.source.address import Proxies

Pages = Callable[[Any, Any, Any], Awaitable[None]]


@dataclass
class Answer:
    """An answer as it came; `whole` is false where it was shorter than it said."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    whole: bool = True

    def header(self, name: str) -> str | None:
        """The first header of a name."""
        return next((value for each, value in self.headers if each == name), None)


@dataclass
class Front:
    """The relay at `port`, and what the pages behind it were asked."""

    port: int
    relay: Relay
    asked: list[Any] = field(default_factory=list)

    async def has_asked(self, number: int) -> None:
        """Wait until the pages were asked so often."""
        async with asyncio.timeout(10):
            while len(self.asked) < number:  # noqa: ASYNC110  # whoever is asked is uvicorn's
                await asyncio.sleep(0.01)

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the relay."""
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def send(self, raw: bytes) -> Answer:
        """One request as bytes, on a connection of its own."""
        reader, writer = await self.open()
        try:
            writer.write(raw)
            return await read(reader, head_only=raw.startswith(b"HEAD"))
        finally:
            writer.close()

    async def get(self, path: str, *headers: str) -> Answer:
        """GET a path."""
        return await self.send(request("GET", path, *headers))


def request(method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    """A request as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", "Host: shop.example", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join((*lines, "", "")).encode("latin-1") + body


async def read(reader: asyncio.StreamReader, *, head_only: bool = False) -> Answer:
    """One answer, within ten seconds."""
    async with asyncio.timeout(10):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = [line.partition(":") for line in head[1:] if line]
        answer = Answer(int(head[0].split()[1]), [(name.lower(), value.strip()) for name, _, value in pairs], b"")
        length = answer.header("content-length")
        try:
            if head_only or answer.status in (204, 304):
                pass
            elif length is not None:
                answer.body = await reader.readexactly(int(length))
            else:
                answer.body = await _chunks(reader)
        except asyncio.IncompleteReadError as error:
            answer.body, answer.whole = error.partial, False
        return answer


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return body


@asynccontextmanager
async def serving(app: Application, listening: socket.socket) -> AsyncIterator[Server]:
    """uvicorn over a socket, as the roles run it."""
    ready = asyncio.Event()
    server = Server(configure(app, keep_alive=5, drain=1), ready.set)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    await ready.wait()
    try:
        yield server
    finally:
        server.stop()
        await task


@asynccontextmanager
async def front(
    directory: Path, pages: Pages | None, *, trusted: tuple[str, ...] = (), body_seconds: float = 5.0
) -> AsyncIterator[Front]:
    """Run the relay and, where `pages` are given, them behind it; each request that they get is noted."""
    path = str(directory / "web")
    async with AsyncExitStack() as opened:
        behind = opened.enter_context(socket.socket(socket.AF_UNIX))
        behind.bind(path)
        behind.listen()
        relay = await opened.enter_async_context(Relay(path, Proxies(trusted), body_seconds))
        port = socket.create_server(("127.0.0.1", 0))
        found = Front(port.getsockname()[1], relay)
        if pages is not None:
            await opened.enter_async_context(serving(_noting(found.asked, pages), behind))
        else:
            behind.close()
        await opened.enter_async_context(serving(relay, port))
        yield found


def _noting(asked: list[Any], pages: Pages) -> Pages:
    async def noted(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope)
        await pages(scope, receive, send)

    return noted


async def body_of(receive: Any) -> bytes:
    """The whole body of a request."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def mirror(scope: Any, receive: Any, send: Any) -> None:
    """Answer what was asked, as the pages see it."""
    told = {
        "method": scope["method"],
        "path": scope["raw_path"].decode("latin-1"),
        "query": scope["query_string"].decode("latin-1"),
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]],
        "body": (await body_of(receive)).decode("latin-1"),
        "client": forwarded.client(scope),
        "origin": forwarded.origin(scope),
    }
    content = json.dumps(told).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})
