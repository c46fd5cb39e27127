"""The reference for single calls: a bare ASGI application that decodes the body and keeps nothing.

`python -m bench.bare_app FD` serves it on a socket that listens already. (uvicorn's own `--fd` takes that for a
socket of another kind, and then waits 40 ms before it sends a body after its head.)
"""

import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec
import uvicorn

_EMPTY = msgspec.Raw()


class Seen(msgspec.Struct):
    """What any door has to decode of a call; nested objects stay as they are."""

    type: str
    messageId: str
    writeKey: str
    timestamp: str
    sentAt: str
    anonymousId: str | None = None
    userId: str | None = None
    event: str | None = None
    name: str | None = None
    context: msgspec.Raw = _EMPTY
    properties: msgspec.Raw = _EMPTY
    traits: msgspec.Raw = _EMPTY


_decode = msgspec.json.Decoder(Seen).decode
_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"16")],
}
_BODY = {"type": "http.response.body", "body": b'{"success":true}'}


async def app(
    _scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    """Answer one request."""
    message = await receive()
    body = message["body"]
    while message["more_body"]:
        message = await receive()
        body += message["body"]
    _decode(body)
    await send(_START)
    await send(_BODY)


if __name__ == "__main__":
    options = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        log_level="error",
        proxy_headers=False,
        server_header=False,
    )
    uvicorn.Server(options).run([socket.socket(fileno=int(sys.argv[1]))])
