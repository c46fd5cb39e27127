"""What the front tells the pages about a client: its address, and the scheme and host by which it asked.

The front decides whom to believe (`source/address.py`) and writes the three headers over whatever a client sent; the
pages believe them, because nobody but the front reaches their socket.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from richpanel.source.address import Proxies
from richpanel.source.answers import Header, Scope

_FOR: Final = b"x-forwarded-for"
_SCHEME: Final = b"x-forwarded-proto"
_HOST: Final = b"x-forwarded-host"
_CLAIMS: Final = (b"x-forwarded-", b"x-real-ip", b"forwarded")


def claims(name: bytes) -> bool:
    """Whether a header of this name (lower case) says on whose behalf a request is made."""
    return name.startswith(_CLAIMS)


def decided(scope: Scope, proxies: Proxies) -> list[Header]:
    """Give the headers that say who asked, as the front sees it."""
    scheme, host = proxies.origin(scope)
    told = ((_FOR, proxies.client(scope) or ""), (_SCHEME, scheme), (_HOST, host))
    return [(name, value.encode("latin-1")) for name, value in told]


def client(scope: Mapping[str, Any]) -> str:
    """Give the client's address as the front decided it; empty where it has none."""
    return _told(scope["headers"], _FOR)


def origin(scope: Mapping[str, Any]) -> tuple[str, str]:
    """Give scheme and host under which the client asked, as the front decided it."""
    return _told(scope["headers"], _SCHEME), _told(scope["headers"], _HOST)


def _told(headers: Iterable[Header], wanted: bytes) -> str:
    return next((value.decode("latin-1") for name, value in headers if name == wanted), "")
