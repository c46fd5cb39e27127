"""A channel: one connection to a destination, on which a request follows the answer to the one before.

HTTP/1.1 as httptools reads it, and no more of it than one POST and its answer need: a client for every use costs three
times as much a request. Of an answer a piece is kept; where it has no end, or its head none, it is cut off.
"""

import asyncio
from typing import Any, Final, NamedTuple, cast

import httptools

ANSWER_BYTES: Final = 4_096
"""What is kept of an answer."""
MOST_BYTES: Final = 65_536
"""A longer answer is not read to its end, and a longer head not at all."""
_INTERIM: Final = range(100, 200)
_SWITCHING: Final = 101


class AnswerUnreadableError(Exception):
    """What came is no answer in HTTP."""


class Reply(NamedTuple):
    """A status, what Retry-After said, and the beginning of the body."""

    status: int
    retry_after: str | None
    body: bytes


class Channel(asyncio.Protocol):
    """A connection. Where anything else than a whole answer comes, it is closed."""

    def __init__(self) -> None:
        """To be connected by an event loop."""
        self._transport: asyncio.Transport | None = None
        self._parser: Any = None
        self._waiting: asyncio.Future[Reply] | None = None

    @property
    def is_open(self) -> bool:
        """Whether another request can be made."""
        return self._transport is not None and not self._transport.is_closing()

    def close(self) -> None:
        """Close it at once; who waits for an answer gets ConnectionResetError."""
        if self._transport is not None:
            self._transport.abort()

    async def ask(self, request: bytes) -> Reply:
        """Send a request, and wait for the whole answer. Raises OSError where the connection breaks,
        AnswerUnreadableError, and what a timer puts in by `fail`.
        """
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        self._parser = httptools.HttpResponseParser(self)
        self._read, self._kept = 0, bytearray()
        self._has_end = self._has_head = False
        self._retry_after: str | None = None
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._waiting
        finally:
            self._waiting = None

    def fail(self, error: BaseException) -> None:
        """Give up waiting for the answer."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)
        self.close()

    # ---------------------------------------------------------------------------------------------------- the protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there."""
        self._transport = cast("asyncio.Transport", transport)  # Every loop's own class; uvloop's has no such base.

    def data_received(self, data: bytes) -> None:
        """Read on."""
        if self._waiting is None or self._waiting.done():
            self.close()  # Nobody has asked.
            return
        self._read += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._end(reusable=False)
        except httptools.HttpParserError as error:
            self.fail(AnswerUnreadableError(str(error)))
        if self._read > MOST_BYTES:
            if self._has_head:
                self._end(reusable=False)
            else:
                self.fail(AnswerUnreadableError("a head without an end"))

    def connection_lost(self, error: Exception | None) -> None:
        """It is gone; where nothing said how long the answer is, that was its end."""
        self._transport = None
        if error is None and self._has_waiting() and self._has_head and not self._has_end:
            self._end(reusable=False)
        else:
            self.fail(error if isinstance(error, OSError) else ConnectionResetError("the connection was closed"))

    # ------------------------------------------------------------------------------------------------------ the parser

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note what matters."""
        known = name.lower()
        if known in (b"content-length", b"transfer-encoding"):
            self._has_end = True
        elif known == b"retry-after":
            self._retry_after = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._has_head = self._parser.get_status_code() not in _INTERIM

    def on_body(self, body: bytes) -> None:
        """Keep the beginning."""
        if len(self._kept) < ANSWER_BYTES:
            self._kept += body[: ANSWER_BYTES - len(self._kept)]

    def on_message_complete(self) -> None:
        """The answer is whole, unless it only says that one will come."""
        status = self._parser.get_status_code()
        if status in _INTERIM and status != _SWITCHING:
            self._has_end, self._retry_after = False, None
        else:
            self._end(reusable=self._parser.should_keep_alive())

    def _has_waiting(self) -> bool:
        return self._waiting is not None and not self._waiting.done()

    def _end(self, *, reusable: bool) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(Reply(self._parser.get_status_code(), self._retry_after, bytes(self._kept)))
        if not reusable:
            self.close()
