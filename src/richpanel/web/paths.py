"""Ids in paths: percent-encoded, and free to hold anything, slashes included (contract.md, "REST API").

Servers decode a path before it is routed, which would tear `gid://shopify/Customer/42` into five segments. So routing
sees the path as it was sent, where an id is one segment, and each route decodes its own id.
"""

from urllib.parse import quote, unquote_to_bytes

from litestar.enums import ScopeType
from litestar.exceptions import NotFoundException
from litestar.types import ASGIApp, Receive, Scope, Send


def route_by_raw_path(app: ASGIApp) -> ASGIApp:
    """Wrap an application so that it routes by the undecoded path."""

    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            raw = scope["raw_path"] or quote(scope["path"]).encode()
            scope = scope.copy()
            scope["path"] = raw.partition(b"?")[0].decode("latin-1")
        await app(scope, receive, send)

    return routed


def decode_id(segment: str) -> str:
    """Read an id out of a segment of the path as it was sent; bytes that are no UTF-8 name nothing (404)."""
    try:
        return unquote_to_bytes(segment.encode("latin-1")).decode()
    except UnicodeDecodeError:
        raise NotFoundException("There is nothing with this id.") from None


def segment(identifier: str) -> str:
    """Write an id as one segment of a path."""
    return quote(identifier, safe="")
