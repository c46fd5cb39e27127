"""Addresses: where a request comes from, and under which name we were asked, behind proxies that we trust or none.

`X-Forwarded-*` is believed only from addresses that the setting names: anybody can send those headers.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from richpanel.source.answers import Header, Scope


@lru_cache(maxsize=65_536)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Read an address as a proxy writes it, perhaps with a port or in brackets."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _values(headers: Iterable[Header], wanted: bytes) -> list[str]:
    """Give the elements of a header that may come several times, each with several elements, from left to right."""
    lines = [value.decode("latin-1") for name, value in headers if name == wanted]
    return [element.strip() for line in lines for element in line.split(",")]


class Proxies:
    """The proxies that are trusted to say who asked them."""

    def __init__(self, trusted: Sequence[str] = ()) -> None:
        """Trust these addresses and networks (`10.0.0.0/8`). Raises ValueError for what is neither."""
        self._networks = [ip_network(network.strip(), strict=False) for network in trusted]
        self._trusts = lru_cache(maxsize=4_096)(self._find)

    def _find(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._networks)

    def _believed(self, scope: Scope) -> bool:
        """Whether the peer may say on whose behalf it asks."""
        if not self._networks or not scope["client"]:
            return False
        peer = _address(scope["client"][0])
        return peer is not None and self._trusts(peer)

    def client(self, scope: Scope) -> str | None:
        """Give the client's address: the right-most one that is not a trusted proxy's; None on a Unix socket."""
        if not scope.get("client"):
            return None
        found: str = scope["client"][0]
        if not self._believed(scope):
            return found
        for element in reversed(_values(scope["headers"], b"x-forwarded-for")):
            address = _address(element)
            if address is None:  # What stands left of it was passed on by somebody who writes nonsense.
                break
            found = str(address)
            if not self._trusts(address):
                break
        return found

    def origin(self, scope: Scope) -> tuple[str, str]:
        """Give scheme and host (with its port) under which the client asked for us."""
        scheme: str = scope.get("scheme", "http")
        host = next(iter(_values(scope["headers"], b"host")), "")
        if self._believed(scope):
            scheme = next(iter(_values(scope["headers"], b"x-forwarded-proto")), scheme)
            host = next(iter(_values(scope["headers"], b"x-forwarded-host")), host)
        if not host and scope.get("server"):
            host = "{}:{}".format(*scope["server"])
        return scheme, host
