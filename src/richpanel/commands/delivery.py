"""Where `richpanel import` puts its batches: through the running server, or into the log where none runs."""

import asyncio
import http.client
import json
import ssl
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Final, Protocol
from urllib.parse import urlsplit
from uuid import uuid4

from richpanel.commands.appending import appending
from richpanel.commands.running import Running, running_server
from richpanel.core.codes import Code
from richpanel.log.contract import LogFull, LogLocked, LogUnsure
from richpanel.source.accept import Intake, Request, Route
from richpanel.source.keys import KeySnapshot, Source
from richpanel.store.directory import DataDirectory
from richpanel.store.sources import SourceRow

_PATIENCE: Final = 120.0
"""Seconds for which a server that is busy or starting again is asked once more."""
_BRIEFLY: Final = 0.5
_TRIES_WHILE_UNKNOWN: Final = 6


class SinkError(Exception):
    """The batch was not taken, and asking again will not help."""


class Sink(Protocol):
    """Takes batches for one source."""

    source: SourceRow

    def send(self, body: bytes) -> None:
        """Keep a batch (`{"batch": [...]}`); returns once it is durable. Raises SinkError."""


@contextmanager
def open_sink(directory: DataDirectory, source: SourceRow) -> Iterator[Sink]:
    """Open the way in: the server's own door if one runs, else the log, which is ours as long as this lasts."""
    running = running_server(directory.path)
    if running is not None:
        server = ThroughServer(running, source)
        try:
            yield server
        finally:
            server.close()
        return
    log = IntoLog(directory, source)
    try:
        yield log
    finally:
        log.close()


class ThroughServer:
    """Posts to `/v1/import` with the source's write key; waits where the server says so, or is just starting again."""

    def __init__(self, running: Running, source: SourceRow) -> None:
        """Take the server's address."""
        self.source = source
        self._running = running
        credentials = b64encode(f"{source.write_keys[0]}:".encode()).decode()
        self._headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/json"}
        self._connection: http.client.HTTPConnection | None = None
        self._unknown = 0

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def send(self, body: bytes) -> None:
        """Post one batch."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                status, answer, wait = self._post(body)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                status, answer, wait = 503, str(error) or type(error).__name__, _BRIEFLY
            if status == 200:
                return
            # A source that was made a moment ago is known to the door within a second.
            self._unknown = self._unknown + 1 if status == 401 else 0
            if status not in (401, 429, 503) or self._unknown > _TRIES_WHILE_UNKNOWN or time.monotonic() > deadline:
                raise SinkError(f"the server at {self._running.url} answered {status}: {answer}")
            time.sleep(wait)

    def _post(self, body: bytes) -> tuple[int, str, float]:
        if self._connection is None:
            self._connection = connect(self._running)
        self._connection.request("POST", "/v1/import", body, self._headers)
        response = self._connection.getresponse()
        text = response.read()
        wait = float(response.headers.get("Retry-After") or _BRIEFLY)
        try:
            return response.status, str(json.loads(text).get("message", "")), wait
        except (ValueError, AttributeError):
            return response.status, text[:200].decode(errors="replace"), wait


def connect(running: Running, *, seconds: float = 60.0) -> http.client.HTTPConnection:
    """Give a connection to the running server, which is opened with the first request."""
    parts = urlsplit(running.url)
    host, port = parts.hostname or "127.0.0.1", parts.port
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=seconds)
    context = ssl.create_default_context(cafile=running.tls_cert)
    context.check_hostname = (
        False  # We speak to our own server by its address; the certificate is the one it was given.
    )
    return http.client.HTTPSConnection(host, port, timeout=seconds, context=context)


class IntoLog:
    """Judges batches as the door does, and appends them."""

    def __init__(self, directory: DataDirectory, source: SourceRow) -> None:
        """Open the log. Raises SinkError where it is files and another process owns them."""
        self.source = source
        self._runner = asyncio.Runner()
        self._opened = AsyncExitStack()
        self._door = Source(source.id, source.name, source.type, True, source.write_keys)
        self._intake = Intake(KeySnapshot([self._door]), lambda: str(uuid4()))
        try:
            self._writer = self._runner.run(self._opened.enter_async_context(appending(directory)))
        except LogLocked as error:
            self._runner.close()
            raise SinkError(f"{error}, and no server answers there: try again in a moment") from None

    def send(self, body: bytes) -> None:
        """Judge and append one batch."""
        request = Request(Route("import", batch=True), int(time.time() * 1000), None, self._door, True)
        outcome = self._intake.take(body, request)
        if outcome.code is not None and outcome.code is not Code.EMPTY_BATCH:
            raise SinkError(f"the batch was refused: {outcome.code.text}")
        if outcome.record is None:
            return
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                self._runner.run(self._writer.append(outcome.record))
            except (LogFull, LogUnsure, ConnectionError) as error:  # A line that comes twice counts once.
                if time.monotonic() > deadline:
                    raise SinkError(str(error)) from None
                time.sleep(_BRIEFLY)
            else:
                return

    def close(self) -> None:
        """Let the log go."""
        self._runner.run(self._opened.aclose())
        self._runner.close()
