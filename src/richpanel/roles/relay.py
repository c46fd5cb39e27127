"""The relay: what is no call and no question of health goes on to the pages' process, over its Unix socket.

A request's body is read whole first, within bounds, so that a slow client holds nothing of the pages' process; the
answer streams, as fast as the client takes it. Ids in paths are percent-encoded: a path goes on as it came.
"""

import asyncio
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final, Self

import msgspec
from aiohttp import (
    ClientConnectionError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    SocketTimeoutError,
    UnixConnector,
)
from yarl import URL

from richpanel.core.codes import Code
from richpanel.roles import forwarded
from richpanel.roles.away import RETRY_SECONDS, Styles, away_page, load_styles
from richpanel.source.address import Proxies
from richpanel.source.answers import Header, Receive, Scope, Send
from richpanel.source.body import Bodies, Disconnected, Refused

CONNECTIONS: Final = 64
"""Requests that the pages' process is asked at a time; more wait for a moment."""
WAIT_SECONDS: Final = 5.0
"""How long a request waits for one of the connections."""
ANSWER_SECONDS: Final = 60.0
"""How long the pages' process may be silent about a request."""
_IDLE_SECONDS: Final = 15.0
"""Less than the pages' own limit, so that no request meets a connection that is just being closed."""
_UNFINISHED_BYTES: Final = 16 << 20
_HEAD_BYTES: Final = 65_536
_EVENTS: Final = "text/event-stream"
_NOT_PASSED_ON: Final = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection"),
        *(b"te", b"trailer", b"transfer-encoding", b"upgrade"),
        *(b"content-length", b"expect"),  # The body is whole: it is measured anew, and nobody waits for a 100.
    }
)
_NOT_PASSED_BACK: Final = (_NOT_PASSED_ON - {b"content-length"}) | {b"date"}  # The front's own server dates answers.
_REFUSALS: Final = {
    Code.REQUEST_TIMEOUT: (408, "The body took too long to arrive."),
    Code.PAYLOAD_TOO_LARGE: (413, "The body is larger than what is taken here."),
    Code.LOG_FULL: (503, "Too many bodies are on their way; try again."),
}
_AWAY: Final = "The pages are starting; try again in a moment. Calls are taken in meanwhile."
_BUSY: Final = "The pages have more to do than they can; try again in a moment. Calls are taken in meanwhile."
_SILENT: Final = "The pages took too long to answer."
_POLICY: Final = b"default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


class Relay:
    """The ASGI application. `up` is the parent's word on the pages' process: while it is down nobody waits for it.

    `ending` says that the server stops: streams of events, which would go on, end with the next thing that they say.
    """

    def __init__(self, socket_path: str, proxies: Proxies, body_seconds: float) -> None:
        """Hand requests on to the server on this Unix socket. Call it on the event loop that serves."""
        self.up = True
        self.ending = False
        self._styles = load_styles()
        self._proxies = proxies
        self._bodies = Bodies(body_seconds, _UNFINISHED_BYTES)
        self._session = ClientSession(
            connector=UnixConnector(socket_path, limit=CONNECTIONS, keepalive_timeout=_IDLE_SECONDS),
            timeout=ClientTimeout(total=None, connect=WAIT_SECONDS, sock_read=ANSWER_SECONDS),
            cookie_jar=DummyCookieJar(),
            skip_auto_headers=("accept", "accept-encoding", "content-type", "user-agent"),
            auto_decompress=False,
            max_line_size=_HEAD_BYTES,
            max_field_size=_HEAD_BYTES,
        )

    async def __aenter__(self) -> Self:
        """Use it."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self._session.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on one request; it ends where the client goes away."""
        if scope["path"] == self._styles.path:
            await _give_styles(send, self._styles)
            return
        try:
            body = await self._bodies.read(receive)
        except Disconnected:
            return
        if isinstance(body, Refused):
            await self._refuse(scope, send, *_REFUSALS[body.code])
            return
        if not self.up:
            await self._refuse(scope, send, 503, _AWAY)
            return
        handing_on = asyncio.ensure_future(self._hand_on(scope, body, send))
        leaving = asyncio.ensure_future(receive())  # The body is whole: what is left to hear is that the client leaves.
        try:
            await asyncio.wait((handing_on, leaving), return_when=asyncio.FIRST_COMPLETED)
            if handing_on.done():
                handing_on.result()
        finally:
            leaving.cancel()
            handing_on.cancel()

    async def _hand_on(self, scope: Scope, body: bytes, send: Send) -> None:
        """Ask the pages' process, and pass its answer back as it comes."""
        try:
            async with self._session.request(
                scope["method"],
                _url(scope),
                headers=self._headers(scope),
                data=body or None,
                allow_redirects=False,
            ) as answer:
                await self._pass_back(answer, send)
        except ConnectionTimeoutError:
            await self._refuse(scope, send, 503, _BUSY)
        except SocketTimeoutError:
            await self._refuse(scope, send, 504, _SILENT)
        except (ClientConnectionError, OSError):
            await self._refuse(scope, send, 503, _AWAY)

    async def _pass_back(self, answer: ClientResponse, send: Send) -> None:
        """Pass an answer back; one that breaks off half-way ends the connection, which tells the client."""
        given = [(name.lower(), value) for name, value in answer.raw_headers]
        dropped = _NOT_PASSED_BACK | _named_by_connection(given)
        headers = [(name, value) for name, value in given if name not in dropped]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        try:
            async for piece in answer.content.iter_any():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                if self.ending and answer.content_type == _EVENTS:
                    break
        except (ClientError, OSError):
            return
        await send({"type": "http.response.body"})

    async def _refuse(self, scope: Scope, send: Send, status: int, detail: str) -> None:
        """Say why there is no answer: problem details to API clients, a page to people."""
        if scope["path"].startswith("/api/"):
            kind = b"application/problem+json"
            problem = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail}
            body = msgspec.json.encode(problem)
        else:
            kind = b"text/html; charset=utf-8"
            body = away_page(self._styles, status, detail, asks=scope["method"] in ("GET", "HEAD"))
        headers = [
            (b"content-type", kind),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
            (b"content-security-policy", _POLICY),
            (b"x-content-type-options", b"nosniff"),
        ]
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers.append((b"retry-after", b"%d" % RETRY_SECONDS))
        if status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE):
            headers.append((b"connection", b"close"))  # The rest of the body may never come: nothing can follow it.
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _headers(self, scope: Scope) -> list[tuple[str, str]]:
        dropped = _NOT_PASSED_ON | _named_by_connection(scope["headers"])
        kept = [(name, value) for name, value in scope["headers"] if name not in dropped and not forwarded.claims(name)]
        return [(_text(name), _text(value)) for name, value in (*kept, *forwarded.decided(scope, self._proxies))]


def _url(scope: Scope) -> URL:
    """Give the URL with the path and the query as they came; the host in it is never looked up."""
    query = scope["query_string"]
    return URL(f"http://pages{_text(scope['raw_path'])}{'?' if query else ''}{_text(query)}", encoded=True)


def _text(raw: bytes) -> str:
    """Decode so that UTF-8, which is what is written at the other end, gives the same bytes."""
    return raw.decode("utf-8", "replace")


def _named_by_connection(headers: Iterable[Header]) -> set[bytes]:
    """Give the headers that are for this one connection, because its `Connection` names them (RFC 9110 7.6.1)."""
    lists = (value for name, value in headers if name == b"connection")
    return {token.strip().lower() for value in lists for token in value.split(b",")}


async def _give_styles(send: Send, styles: Styles) -> None:
    """Give the styles of the page that stands in for the pages."""
    headers = [
        (b"content-type", b"text/css; charset=utf-8"),
        (b"content-length", b"%d" % len(styles.content)),
        (b"cache-control", b"public, max-age=31536000, immutable"),
        (b"x-content-type-options", b"nosniff"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": styles.content})
