"""The HTTP server under the front and the pages: uvicorn, with the bounds on a request's head that it leaves open.

uvicorn waits for ever for a connection's first byte and for the end of a head, and a head may grow without end.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

Application = Callable[[Any, Any, Any], Awaitable[None]]

HEAD_SECONDS: Final = 10.0
"""A request's head has to be there in this time; a new connection may be idle before its first one for as long."""
MAX_HEAD_BYTES: Final = 65_536
_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class BoundedConnection(HttpToolsProtocol):
    """A connection whose requests' heads arrive in time and end somewhere; one that does not is closed."""

    head_seconds = HEAD_SECONDS
    _in_head = False
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first head."""
        super().connection_made(transport)  # type: ignore[arg-type]  # it is always a transport that writes
        self._head_timer = self.loop.call_later(self.head_seconds, self._close_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what comes while a head is open; not the piece that it began in, which may hold the end of a body."""
        was_in_head = self._in_head
        super().data_received(data)
        if not self._in_head:
            return
        if was_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.transport.write(_TOO_LARGE)
                self.transport.close()
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_seconds, self._close_slow)

    def on_message_begin(self) -> None:
        """Note that a head begins."""
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """Note that it has ended."""
        super().on_headers_complete()
        self._in_head = False
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _close_slow(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()


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
    app: Application,
    *,
    keep_alive: float,
    drain: float,
    tls: tuple[str, str] | None = None,
    lifespan: bool = False,
    backlog: int = 2048,
) -> uvicorn.Config:
    """Configure the server: nothing that the application does not ask for. `tls` is (certificate, key) files."""
    # It warns of every line that is no HTTP, and anybody can send those.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    return uvicorn.Config(
        app,
        http=BoundedConnection,
        ws="none",
        loop="none",
        lifespan="on" if lifespan else "off",
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
