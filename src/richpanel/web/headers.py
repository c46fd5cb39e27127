"""The headers that every answer carries: what a browser may load (ours alone, nothing inline), embed, keep and tell."""

from typing import Final

from litestar.types import ASGIApp, Message, Receive, Scope, Send

_ALWAYS: Final = {
    b"content-security-policy": (
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        b"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"same-origin",  # `no-referrer` would make the Origin of our own forms "null".
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    b"cache-control": b"no-store",  # Pages and answers hold customers; our own files say otherwise.
}


_HTTPS: Final = {b"strict-transport-security": b"max-age=31536000"}
"""Where clients come by https: a browser asks for nothing here without it any more, for a year."""


def with_headers(app: ASGIApp, *, https: bool) -> ASGIApp:
    """Wrap an application so that each answer has them; one that an answer sets itself stays."""
    always = _ALWAYS | _HTTPS if https else _ALWAYS

    async def answered(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message.get("headers", ()))
                names = {name.lower() for name, _ in given}
                message["headers"] = [*given, *(each for each in always.items() if each[0] not in names)]
            await send(message)

        await app(scope, receive, send_with_headers)

    return answered
