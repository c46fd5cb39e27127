"""The site that runs: uvicorn on a free port over `richpanel.web.app`, a segment log, and processing on demand."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from queue import Queue
from typing import Any
from urllib.parse import quote, urlencode

from richpanel.config import Settings
from richpanel.core import record
from richpanel.core.record import Discard, Meta
from richpanel.log.segments import SegmentReader, SegmentWriter
from richpanel.process.definitions import Watch
from richpanel.process.worker import Worker
from richpanel.roles.lines import Lines
from richpanel.roles.serving import Server, configure
from richpanel.store.database import open_engine
from richpanel.store.directory import DataDirectory
from richpanel.store.preparing import prepare, prepare_login
from richpanel.store.secrets import open_secrets
from richpanel.store.sources import SourceRow, list_sources
from richpanel.store.tokens import add_token
from richpanel.web.app import WebOptions, build
from tests.server import Answer, request

NOW = 1_764_000_000_000
"""What the site's clock says at first, ms UTC: 2025-11-24T16:00:00Z."""
LOGIN, PASSWORD, TOKEN = "admin", "correct horse battery", "rp_tests"


@dataclass
class Clock:
    """Gives the time that a test sets."""

    ms: int = NOW

    def __call__(self) -> int:
        """Give it, ms UTC."""
        return self.ms


@dataclass
class Site:
    """A site at `url`, and the hands to use it with."""

    directory: DataDirectory
    clock: Clock
    url: str
    writer: SegmentWriter
    loop: asyncio.AbstractEventLoop
    reader: SegmentReader
    cookies: dict[str, str] = field(default_factory=dict)

    def source(self, name: str = "Website") -> SourceRow:
        """Give a source by name."""
        engine = open_engine(self.directory.account_url, read_only=True)
        with engine.connect() as connection:
            found = next(row for row in list_sources(connection) if row.name == name)
        engine.dispose()
        return found

    def send(
        self,
        messages: Iterable[Mapping[str, Any]],
        *,
        source: str = "Website",
        discards: Iterable[tuple[Discard, bytes]] = (),
        at: int | None = None,
    ) -> None:
        """Put messages (and discards) into the log as the door would: one record."""
        bad = list(discards)
        items = [json.dumps(message).encode() for message in messages] + [payload for _, payload in bad]
        meta = Meta(self.clock() if at is None else at, self.source(source).id, [], discards=[each for each, _ in bad])
        append = self.writer.append(record.encode(meta, items))
        asyncio.run_coroutine_threadsafe(append, self.loop).result(10)

    def process(self) -> None:
        """Apply all that is in the log."""
        state, account = open_engine(self.directory.state_url), open_engine(self.directory.account_url)
        worker = Worker(self.reader, state, Watch(account))
        while worker.step() is not None:
            pass
        state.dispose()
        account.dispose()

    def api(self, method: str, path: str, body: object = None, *, token: str | None = TOKEN, **query: Any) -> Answer:
        """Call the REST API: `path` below /api/v1, ids already percent-encoded. Bytes are sent as they are."""
        headers = {"Content-Type": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        return request(method, f"{self.url}/api/v1{path}" + (f"?{urlencode(query)}" if query else ""), content, headers)

    def get(self, path: str, **query: Any) -> Any:
        """GET below /api/v1, asserted to be 200, decoded."""
        answer = self.api("GET", path, **query)
        assert answer.status == 200, f"GET {path}: {answer.status} {answer.body[:500]!r}"
        return answer.json()

    # ------------------------------------------------------------------------------------------------------ the pages

    def page(self, path: str, **headers: str) -> Answer:
        """GET a page with this site's cookies."""
        return self._with_cookies("GET", path, None, headers)

    def submit(self, path: str, form: Mapping[str, str], **headers: str) -> Answer:
        """POST a form with this site's cookies."""
        content = {"Content-Type": "application/x-www-form-urlencoded", **headers}
        return self._with_cookies("POST", path, urlencode(form).encode(), content)

    def sign_in(self, password: str = PASSWORD, login: str = LOGIN, next_path: str = "/") -> Answer:
        """Sign in by the form."""
        form = {"csrf": csrf_of(self.page("/")), "username": login, "password": password, "next": next_path}
        return self.submit("/sign-in", form)

    def _with_cookies(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = request(method, self.url + path, body, {**headers, **({"Cookie": cookie} if cookie else {})})
        for name, morsel in SimpleCookie(answer.headers.get("set-cookie", "")).items():
            self.cookies[name] = morsel.value
        return answer


def csrf_of(answer: Answer) -> str:
    """Read the token out of a page's form."""
    return answer.body.decode().partition('name="csrf" value="')[2].partition('"')[0]


def segment(identifier: str) -> str:
    """Write an id as one segment of a path."""
    return quote(identifier, safe="")


def furnish(path: Path, database_url: str | None = None) -> Path:
    """Make a data directory with an account, a login and a token: made once, copied for each site."""
    directory = DataDirectory(path, database_url)
    prepare(directory)
    prepare_login(directory, PASSWORD)
    engine = open_engine(directory.account_url)
    with engine.begin() as connection:
        add_token(connection, "tests", now=NOW, token=TOKEN)
    engine.dispose()
    return path


@contextmanager
def running(path: Path, database_url: str | None = None, **options: Any) -> Iterator[Site]:
    """Run a site over a furnished data directory; `options` are `WebOptions`' own. It stops at the end."""
    directory, clock = DataDirectory(path, database_url), Clock()
    is_private = bool(options.get("allow_private_endpoints"))
    listening = socket.create_server(("127.0.0.1", 0))
    made: Queue[tuple[Server, SegmentWriter, SegmentReader]] = Queue()

    async def serve() -> None:
        writer, reader = SegmentWriter.open(directory.log), SegmentReader(directory.log)
        given: dict[str, Any] = {
            "state_url": directory.state_url,
            "account_url": directory.account_url,
            "delivery_url": directory.delivery_url,
            "log_writer": writer,
            "log_reader": reader,
            "secrets": open_secrets(path),
            "now": clock,
            "version": "0.0.0",
            "lines": Lines(Settings(data=path, allow_private_endpoints=is_private), writer),
        }
        app = build(WebOptions(**{**given, **options}))
        config = configure(app, keep_alive=5, drain=5, lifespan=True)
        server = Server(config, lambda: made.put((server, writer, reader)))
        await server.serve(sockets=[listening])
        await writer.close()
        reader.close()

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), name="site")
    thread.start()
    server, writer, reader = made.get(timeout=60)
    try:
        yield Site(directory, clock, f"http://127.0.0.1:{listening.getsockname()[1]}", writer, loop, reader)
    finally:
        server.stop()
        thread.join(20)
        assert not thread.is_alive()
        loop.close()
