"""One port for everything: which application a path belongs to, and the HTTP server underneath."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Collection, Generator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from richpanel import telemetry

MutableScope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]

HEAD_SECONDS: Final = 10.0
"""A request's head has to be there in this time; a connection may be idle before it for as long."""
MAX_HEAD_BYTES: Final = 65_536
_UNKNOWN: Final = b'{"success":false,"code":"not_found","message":"This process does not play that role."}'
_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@dataclass(frozen=True)
class Dispatch:
    """The ASGI application of the port: ingest's paths to `ingest`, a few to `health`, all others to `site`."""

    is_ingest: Callable[[str], bool]
    ingest: Application
    health_paths: Collection[str]
    health: Application
    site: Application

    async def __call__(self, scope: MutableScope, receive: Receive, send: Send) -> None:
        """Hand a request on; `lifespan` is the site's."""
        if scope["type"] != "http":
            await self.site(scope, receive, send)
        elif self.is_ingest(scope["path"]):
            await self.ingest(scope, receive, send)
        elif scope["path"] in self.health_paths:
            await self.health(scope, receive, send)
        else:
            await _timed(self.site, scope, receive, send)


async def nothing(scope: MutableScope, receive: Receive, send: Send) -> None:
    """Stand where a part is that this process does not play: every path is unknown (404)."""
    if scope["type"] == "http":
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_UNKNOWN))]
        await send({"type": "http.response.start", "status": 404, "headers": headers})
        await send({"type": "http.response.body", "body": _UNKNOWN})
        return
    while (await receive())["type"] != "lifespan.shutdown":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})


async def _timed(app: Application, scope: MutableScope, receive: Receive, send: Send) -> None:
    """Count how long a page or an API call took; ingest does that by itself."""
    started, status = perf_counter(), 500

    async def watched(message: MutableMapping[str, Any]) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        await send(message)

    try:
        await app(scope, receive, watched)
    finally:
        telemetry.REQUEST_SECONDS.observe(perf_counter() - started, "web", str(status))


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol, with an end to heads that never end: neither slow nor endless ones hold a connection."""

    _late: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_head = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start to wait for the first head."""
        super().connection_made(transport)  # type: ignore[arg-type]  # it is always a transport that writes
        self._late = self.loop.call_later(HEAD_SECONDS, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._settle()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Begin a head."""
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Read on; where a head is not complete by now, mind how long and how large it gets."""
        super().data_received(data)
        if not self._in_head:
            if self._late is not None:
                self._settle()
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES:
            self.transport.write(_TOO_LARGE)
            self.transport.close()
        elif self._late is None:
            self._late = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _settle(self) -> None:
        self._head_bytes = 0
        if self._late is not None:
            self._late.cancel()
            self._late = None


class Server(uvicorn.Server):
    """uvicorn's server, told by us when to stop, and telling us when it listens."""

    def __init__(self, config: uvicorn.Config, on_listening: Callable[[], None]) -> None:
        """Call `on_listening` once, when requests are answered."""
        super().__init__(config)
        self._on_listening = on_listening

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave the signals to whoever runs us: `should_exit` stops the server."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        if self.started:
            self._on_listening()


def configure(
    app: Application, *, keep_alive: float, drain: float, tls: tuple[str, str] | None, backlog: int = 2048
) -> uvicorn.Config:
    """Configure the server: nothing that the application does not ask for. `tls` is (certificate, key) files."""
    # It warns of every line that is no HTTP, and anybody can send those.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    return uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        loop="none",
        lifespan="on",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=backlog,
        timeout_keep_alive=int(keep_alive),
        timeout_graceful_shutdown=int(drain),
        ssl_certfile=tls[0] if tls else None,
        ssl_keyfile=tls[1] if tls else None,
    )
