"""Connections: uvicorn's HTTP protocol with the bounds that it leaves open, on the head of a request.

It waits for ever for a connection's first byte and for the end of a head, and a head may grow without end. `serve`
gives this class to uvicorn as its `http`; the web's requests are bounded by it, too.
"""

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS: Final = 15.0
MAX_HEAD_BYTES: Final = 65_536


class BoundedConnection(HttpToolsProtocol):
    """A connection whose requests' heads arrive in time and end somewhere; one that does not is closed."""

    head_seconds = HEAD_SECONDS
    _in_head = False
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for the first head."""
        super().connection_made(transport)
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
            if self._head_bytes > MAX_HEAD_BYTES:
                self.send_400_response("The head of the request is too large.")
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
