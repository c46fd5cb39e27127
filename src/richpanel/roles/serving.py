"""The HTTP server under the front and the pages: uvicorn, with the bounds on a request's head that it leaves open.

uvicorn waits for ever for a connection's first byte and for the end of a head, and a head may grow without end.
"""

import asyncio
import logging
import resource
import socket
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

Application = Callable[[Any, Any, Any], Awaitable[None]]

HEAD_SECONDS: Final = 10.0
"""A request's head has to be there in this time; a new connection may be idle before its first one for as long."""
MAX_HEAD_BYTES: Final = 65_536
MAX_CONNECTIONS: Final = 8_192
LINGER_SECONDS: Final = 1.0
ACCEPTS_PER_TURN: Final = 64
_TICK_SECONDS: Final = 1.0
_SPARE_DESCRIPTORS: Final = 256
_TOO_MANY: Final = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 2\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class BoundedConnection(HttpToolsProtocol):
    """A connection whose requests' heads arrive in time and end somewhere; one that does not is closed."""

    head_seconds = HEAD_SECONDS
    _in_head = False
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None
    _turned_away = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first head."""
        super().connection_made(transport)  # type: ignore[arg-type]  # it is always a transport that writes
        if len(self.connections) > most_connections():
            self._turn_away()
            return
        self._head_timer = self.loop.call_later(self.head_seconds, self._close_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what comes while a head is open; not the piece that it began in, which may hold the end of a body."""
        if self._turned_away:
            return
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

    def _turn_away(self) -> None:
        """Answer that there are too many connections, and close this one in a moment.

        At once, what the client still sends would be answered with a reset, and that would take our answer with it.
        """
        self._turned_away = True
        self.transport.write(_TOO_MANY)
        if len(self.connections) > 2 * most_connections():
            self.transport.close()
        else:
            self._head_timer = self.loop.call_later(LINGER_SECONDS, self._close_slow)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _close_slow(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()


@cache
def most_connections() -> int:
    """Give how many connections are served: half of what there are descriptors for, as some are being turned away."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * MAX_CONNECTIONS + _SPARE_DESCRIPTORS
    if soft < wanted:
        soft = min(wanted, hard) if hard != resource.RLIM_INFINITY else wanted
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return min(MAX_CONNECTIONS, max((soft - _SPARE_DESCRIPTORS) // 2, 1))


def _doubles(listening: socket.socket) -> list[socket.socket]:
    """Listen on one socket many times over.

    libuv accepts one connection per socket and turn of the loop: under load, new ones would queue behind each other
    for seconds where each turn has much to do, pages among them.
    """
    return [listening.dup() for _ in range(ACCEPTS_PER_TURN - 1)]


class Server(uvicorn.Server):
    """uvicorn's server, told by us when to stop, and telling us when it listens."""

    def __init__(self, config: uvicorn.Config, on_listening: Callable[[], None]) -> None:
        """Call `on_listening` once, when requests are answered."""
        super().__init__(config)
        self._on_listening = on_listening
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told = asyncio.Event()

    def stop(self) -> None:
        """Begin to stop, at once; from a signal's handler, too."""
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._told.set)

    async def main_loop(self) -> None:
        """Keep the date of answers right, once a second, until told to stop: uvicorn looks ten times a second."""
        self._loop = asyncio.get_running_loop()
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), _TICK_SECONDS)

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to stop, and close the sockets."""
        await super().serve([each for given in sockets or () for each in (given, *_doubles(given))])

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
