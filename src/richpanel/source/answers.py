"""Answers: what the door says, as the ASGI messages that say it (`semantics.md` 2).

Success is exactly `{"success": true}`, an error `{"success": false, "code", "message"}`, always JSON: one SDK of
Segment's parses every answer, and sends again what was answered otherwise. Every answer carries the CORS headers.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, NamedTuple

import msgspec

from richpanel.core.codes import Code

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]

CORS: Final[tuple[Header, ...]] = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"retry-after, x-ratelimit-reset"),
)
_JSON: Final[Header] = (b"content-type", b"application/json")
_ALLOWED_HEADERS: Final = b"authorization, content-type, x-retry-count"
_PREFLIGHT_SECONDS: Final = b"86400"


class Answer(NamedTuple):
    """An answer: its HTTP status, and the two ASGI messages, which are sent many times over and never changed."""

    status: int
    start: MutableMapping[str, Any]
    body: MutableMapping[str, Any]


def answer(status: int, body: bytes, *headers: Header) -> Answer:
    """Make an answer of any kind, with its length and the CORS headers."""
    length = (b"content-length", b"%d" % len(body))
    start = {"type": "http.response.start", "status": status, "headers": [*headers, length, *CORS]}
    return Answer(status, start, {"type": "http.response.body", "body": body})


def json_answer(status: int, content: object, *headers: Header) -> Answer:
    """Make an answer of JSON."""
    return answer(status, msgspec.json.encode(content), _JSON, *headers)


def _error(code: Code, *headers: Header, status: int | None = None) -> Answer:
    content = {"success": False, "code": code.value, "message": code.text}
    return json_answer(status or code.status, content, *headers)


SUCCESS: Final = json_answer(200, {"success": True})
_ERRORS: Final = {code: _error(code) for code in Code if code.status >= 400}


def error(code: Code) -> Answer:
    """Give the answer for a code, with the code's own status."""
    return _ERRORS[code]


def error_with(code: Code, *headers: Header, status: int | None = None) -> Answer:
    """Make an error's answer with more headers, or with another status than the code's own."""
    return _error(code, *headers, status=status)


def try_later(code: Code, seconds: int) -> Answer:
    """Make the answer that asks to try again after so many seconds, in both headers that Segment sends."""
    number = b"%d" % seconds
    return _error(code, (b"retry-after", number), (b"x-ratelimit-reset", number))


def preflight(scope: Scope, methods: bytes) -> Answer:
    """Answer a browser that asks whether it may: yes, with the headers that it names or else those of Segment's SDK."""
    asked = next((value for name, value in scope["headers"] if name == b"access-control-request-headers"), b"")
    if not asked.isascii() or not asked.decode().isprintable():
        asked = b""
    return answer(
        200,
        b"",
        (b"access-control-allow-methods", methods),
        (b"access-control-allow-headers", asked or _ALLOWED_HEADERS),
        (b"access-control-max-age", _PREFLIGHT_SECONDS),
        (b"allow", methods),
        (b"vary", b"access-control-request-headers"),
    )
