"""One port for everything: which application a path belongs to."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from time import perf_counter
from typing import Final

from richpanel import telemetry
from richpanel.roles.serving import Application
from richpanel.source.answers import Receive, Scope, Send

_UNKNOWN: Final = b'{"success":false,"code":"not_found","message":"This process does not play that role."}'


@dataclass(frozen=True)
class Dispatch:
    """The ASGI application of the port: ingest's paths to `ingest`, a few to `health`, all others to `site`."""

    is_ingest: Callable[[str], bool]
    ingest: Application
    health_paths: Collection[str]
    health: Application
    site: Application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on."""
        if self.is_ingest(scope["path"]):
            await self.ingest(scope, receive, send)
        elif scope["path"] in self.health_paths:
            await self.health(scope, receive, send)
        else:
            await _timed(self.site, scope, receive, send)


async def nothing(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Stand where a part is that this server does not play: every path is unknown (404)."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_UNKNOWN))]
    await send({"type": "http.response.start", "status": 404, "headers": headers})
    await send({"type": "http.response.body", "body": _UNKNOWN})


async def _timed(app: Application, scope: Scope, receive: Receive, send: Send) -> None:
    """Count how long a page or an API call took; ingest does that by itself."""
    started, status = perf_counter(), 500

    async def watched(message: Scope) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        await send(message)

    try:
        await app(scope, receive, watched)
    finally:
        telemetry.REQUEST_SECONDS.observe(perf_counter() - started, "web", str(status))
