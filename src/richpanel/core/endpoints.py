"""Endpoints: where a destination's calls are sent, and what may not be one.

A name is looked up when a connection is made, not here (`deliver.sending`): it can mean another address by then.
"""

import ipaddress
from typing import Final
from urllib.parse import urlsplit

_TRANSLATED: Final = ipaddress.IPv6Network("64:ff9b::/96")
_LOCAL: Final = (".localhost", ".local", ".internal")


def endpoint_fault(url: str, *, allow_private: bool) -> str | None:
    """Say what is wrong with the base URL of a destination outside; None where nothing is.

    With `allow_private` it may be reached without TLS, and be on this machine or beside it.
    """
    try:
        parts = urlsplit(url)
        host, _ = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return "The endpoint is not a URL."
    if not host or parts.scheme not in ("https", "http"):
        return "The endpoint has a scheme and a host, such as https://api.richpanel.com."
    if parts.username is not None or parts.password is not None:
        return (
            "The endpoint is shown to everybody, so it has no user and no password in it: key and secret are settings."
        )
    if parts.query or parts.fragment or "?" in url or "#" in url:
        return "The endpoint is a base URL, to which /v2/t is added: it has no query and no fragment."
    if allow_private:
        return None
    if parts.scheme != "https":
        return "The endpoint must begin with https://, unless the setting allow_private_endpoints is true."
    if not is_public_host(host):
        return "The endpoint is on a private network, and the setting allow_private_endpoints is not true."
    return None


def webhook_fault(url: str, *, allow_private: bool) -> str | None:
    """Say what is wrong with the URL of a webhook; None where nothing is. It may have a query, as many have."""
    if any(ord(each) < 33 or ord(each) == 127 for each in url):
        return "The webhook is not a URL."
    fault = endpoint_fault(url.partition("?")[0], allow_private=allow_private)
    if fault is None:
        return None
    if fault.startswith("The endpoint is shown"):
        return "The webhook has no user and no password in it."
    if fault.startswith("The endpoint is a base URL"):
        return "The webhook has no fragment."
    return fault.replace("The endpoint", "The webhook").replace(
        "such as https://api.richpanel.com", "https://HOST/PATH"
    )


def is_public_host(host: str) -> bool:
    """Tell whether a host can be one of the Internet, as far as its name says."""
    try:
        return is_public(host)
    except ValueError:
        name = host.lower()
        numbers_only = name.rpartition(".")[2].removeprefix("0x").isdigit()  # 127.1, 0x7f000001: addresses, too.
        return not numbers_only and "." in name and not name.endswith(_LOCAL)


def is_public(address: str) -> bool:
    """Tell whether an IP address is of the Internet; one of IPv6 that stands for another counts as that.

    Raises ValueError for what is no address.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inside = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if inside is None and found in _TRANSLATED:
            inside = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inside is not None:
            return is_public(str(inside))
    return found.is_global and not found.is_multicast
